"""Rows sorted into parts as they stream by: in memory as long as there is room, then on disk, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]


@dataclass
class Room:
    """How many bytes all shelves together may hold in memory."""

    most: int
    used: int = 0
    shelves: list[Shelf] = field(default_factory=list)

    def take(self, size: int) -> None:
        """Account for more rows; everything goes to disk when they do not fit."""
        self.used += size
        if self.used > self.most:
            self.clear()

    def clear(self) -> None:
        """Everything to disk."""
        for shelf in self.shelves:
            shelf.flush()
        self.used = 0


@dataclass
class Shelf:
    """Append-only rows of one record type, by part; a part is read back as often as it is asked for."""

    folder: Path
    dtype: np.dtype[np.void]
    parts: int
    room: Room
    held: dict[int, list[Records]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.room.shelves.append(self)

    def append(self, part: Ints, records: Records) -> None:
        """Add rows, each to its part."""
        if self.parts == 1:
            self._hold(0, records)
        else:
            order = np.argsort(part.astype(np.int16 if self.parts < 32_768 else np.int32), kind="stable")
            ends = np.searchsorted(part[order], np.arange(self.parts + 1))
            records = records[order]
            for number in np.flatnonzero(np.diff(ends)).tolist():
                self._hold(number, records[ends[number] : ends[number + 1]])
        self.room.take(records.nbytes)

    def _hold(self, part: int, records: Records) -> None:
        self.held.setdefault(part, []).append(records)

    def read(self, part: int) -> Records:
        """All rows of a part, in the order in which they came."""
        pieces = list(self.held.get(part, []))
        path = self._path(part)
        if path.exists():
            pieces.insert(0, np.fromfile(path, dtype=self.dtype))
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=self.dtype)

    def replace(self, part: int, records: Records) -> None:
        """Put other rows in the place of a part's."""
        path = self._path(part)
        if path.exists():
            records.tofile(path)
            self.held.pop(part, None)
        else:
            self.held[part] = [records]

    def flush(self) -> None:
        """Move what is held in memory to disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for part, pieces in self.held.items():
            with self._path(part).open("ab") as file:
                for records in pieces:
                    records.tofile(file)
        self.held = {}

    def _path(self, part: int) -> Path:
        return self.folder / f"{part:05}.bin"
