"""Code that is not ours, production's own or a model's: what it is given, and how its answer is read."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from rankcast.errors import ConfigError, PluginError, clip, show
from rankcast.plugins import WORD, load_private, private
from rankcast.replay.lists import Lists
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import repeats

_ROW = "_rankcast_row"


@dataclass(frozen=True)
class Generators(Mapping[Any, np.random.Generator]):
    """A NumPy generator for each request, derived from the study's seed and the request's id: the same draws for a request
    however the work is split.
    """

    seed: int
    ids: pl.Series

    def __getitem__(self, request_id: Any) -> np.random.Generator:
        digest = hashlib.blake2b(str(request_id).encode(), digest_size=16, key=str(self.seed).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ids.to_list())

    def __len__(self) -> int:
        return len(self.ids)


def word_of(argument: object, example: str) -> str:
    """A function as it is named in a file: `package.module:function`."""
    if not isinstance(argument, str) or not WORD.fullmatch(argument):
        raise ConfigError(f"expected a function such as `{example}`, found {show(argument)}")
    return argument


def call(word: str, frames: tuple[pl.DataFrame, ...], generators: Generators) -> Any:
    """The answer of a function; the generators go in where it asks for them: by name, or by one more argument than frames."""
    function = load_private(word)
    if not callable(function):
        raise PluginError(f"`{word}` is no function")
    with private(word):
        if _asks_by_name(function):
            return function(*frames, generators=generators)
        return function(*frames, generators) if _needs(function, len(frames) + 1) else function(*frames)


def _asks_by_name(function: Callable[..., Any]) -> bool:
    with suppress(TypeError, ValueError):
        parameter = inspect.signature(function).parameters.get("generators")
        return parameter is not None and parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    return False


def _needs(function: Callable[..., Any], count: int) -> bool:
    """Whether a function cannot do with fewer positional arguments: one that has a default is none of our business."""
    with suppress(TypeError, ValueError):
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [
            one
            for one in inspect.signature(function).parameters.values()
            if one.kind in places and one.default is inspect.Parameter.empty
        ]
        return len(needed) >= count
    return False


def lists_of(word: str, answer: object, before: Lists, asked: pl.DataFrame) -> Lists:
    """What a step's function returned, as lists: rows of the frame that it was `asked` about, fewer or in another order."""
    frame = frame_of(word, answer)
    if frame is None:
        raise PluginError(f"`{word}`: expected a frame with request_id and item_id, found {type(answer).__name__}")
    rows = _rows_of(word, frame, asked)
    value = before.value[rows]
    if c.SCORE in frame.columns:
        value = _numbers(word, frame[c.SCORE])
        broken = np.flatnonzero(np.isnan(value) & ~np.isnan(before.value[rows]))  # what was placed has none
        if len(broken):
            raise PluginError(
                f"`{word}`: {len(broken):,} of {len(value):,} scores are null or NaN, such as {_row(asked, rows[broken[0]])}; "
                "leave the column `score` out to keep the scores as they are"
            )
    order = np.argsort(before.position[rows], kind="stable")
    return replace(before.take(rows[order]), value=value[order])


def scores_of(word: str, answer: object, asked: pl.DataFrame) -> tuple[Bools, Floats]:
    """Which candidates a model scored, and how (one score for each of those): a number per row, or a frame with keys."""
    frame = frame_of(word, answer)
    if frame is None:
        given = pl.Series(_flat(word, answer))
    elif c.SCORE not in frame.columns:
        raise PluginError(f"`{word}`: the frame has no column `score`; found: {', '.join(frame.columns[:10])}")
    else:
        given = frame[c.SCORE]
    if frame is not None and {c.REQUEST_ID, c.ITEM_ID} <= set(frame.columns):
        rows = _rows_of(word, frame, asked)
    elif len(given) != len(asked):
        raise PluginError(
            f"`{word}`: {len(given):,} scores for {len(asked):,} candidates; expected one for each row, or a frame with "
            "request_id, item_id and score"
        )
    else:
        rows = np.arange(len(asked), dtype=np.int64)
    value = _numbers(word, given)
    broken = np.flatnonzero(np.isnan(value))
    if len(broken):
        raise PluginError(
            f"`{word}`: {len(broken):,} of {len(value):,} scores are null or NaN, such as {_row(asked, rows[broken[0]])}; "
            "what cannot be scored is left out of a frame with request_id, item_id and score"
        )
    scored = np.zeros(len(asked), dtype=bool)
    scored[rows] = True
    return scored, value[np.argsort(rows, kind="stable")]


def _row(asked: pl.DataFrame, at: int) -> str:
    row = asked.row(int(at), named=True)
    return f"request_id={clip(str(row[c.REQUEST_ID]), 60)}, item_id={clip(str(row[c.ITEM_ID]), 60)}"


def frame_of(word: str, answer: object) -> pl.DataFrame | None:
    """Any frame as a Polars one (pandas, PyArrow, whatever speaks Arrow); None for what is no frame."""
    if isinstance(answer, pl.DataFrame):
        return answer
    if isinstance(answer, pl.LazyFrame):
        with private(word):
            return answer.collect()
    if isinstance(answer, pl.Series) or (
        not hasattr(answer, "__dataframe__") and not hasattr(answer, "__arrow_c_stream__")
    ):
        return None
    if type(answer).__name__ == "Series" or (not hasattr(answer, "columns") and not hasattr(answer, "schema")):
        return None
    with private(word, "its answer cannot be read as a frame: "):
        return pl.DataFrame(answer)  # type: ignore[arg-type]  # whatever speaks Arrow


def _flat(word: str, answer: object) -> pl.Series:
    with private(word, "its answer cannot be read as scores: "):
        values = answer if isinstance(answer, pl.Series) else np.asarray(answer)
        if isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if isinstance(values, np.ndarray) and values.ndim != 1:
            raise ValueError(f"expected one number a candidate, found an answer of shape {values.shape}")
        return pl.Series(values.tolist() if isinstance(values, np.ndarray) and values.dtype == object else values)


def _numbers(word: str, values: pl.Series) -> Floats:
    if not values.dtype.is_numeric() and values.dtype != pl.Null:
        raise PluginError(f"`{word}`: expected numbers as scores, found {values.dtype}")
    numbers: Floats = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return numbers


def _rows_of(word: str, frame: pl.DataFrame, asked: pl.DataFrame) -> Ints:
    """For each row of an answer, which row of the question it is."""
    keys = [c.REQUEST_ID, c.ITEM_ID]
    missing = [name for name in keys if name not in frame.columns]
    if missing:
        raise PluginError(f"`{word}`: its frame has no column `{missing[0]}`; found: {', '.join(frame.columns[:10])}")
    known = asked.select(keys).with_row_index(_ROW)
    try:
        types = {name: known[name].dtype for name in keys}
        found = frame.select(keys).cast(types).join(known, on=keys, how="left", maintain_order="left")[_ROW]  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        raise PluginError(f"`{word}`: its ids are of another type than ours: {clip(str(error), 200)}") from error
    lost = found.null_count()
    if lost:
        row = frame.filter(found.is_null()).row(0, named=True)
        raise PluginError(
            f"`{word}`: {lost:,} of {len(frame):,} rows are none that it was given, such as request_id={row[c.REQUEST_ID]}, "
            f"item_id={row[c.ITEM_ID]}; items are added by the step `pin`"
        )
    rows = found.cast(pl.Int64).to_numpy()
    twice = repeats(rows)
    if len(twice):
        row = frame.row(int(twice[0]), named=True)
        raise PluginError(
            f"`{word}`: {len(twice):,} rows are repeated, such as request_id={row[c.REQUEST_ID]}, item_id={row[c.ITEM_ID]}"
        )
    return rows
