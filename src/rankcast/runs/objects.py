"""Object storage: the one place that knows pyarrow's file systems."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from rankcast.errors import RunError, clip

Answer = TypeVar("Answer")
SCHEME = "s3://"
_TOGETHER = 8  # transfers at a time
_PIECE = 8 * 2**20  # bytes
_LONGEST = 300


def is_remote(out: str) -> bool:
    """Whether runs are kept in object storage."""
    return "://" in out


@dataclass(frozen=True)
class Bucket:
    """A prefix of a bucket, `s3://bucket/prefix`. Keys are relative to it.

    Region, credentials and endpoint are taken as every tool of AWS takes them: from AWS_REGION, AWS_PROFILE, the role of a
    service account, and AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for other stores that speak S3.
    """

    url: str

    def __post_init__(self) -> None:
        found = urlsplit(self.url)
        if "@" in found.netloc:  # what stands before it may be a secret
            raise RunError(
                "expected s3://bucket/prefix, found an address with `@`; credentials come from AWS_* variables"
            )
        if found.scheme != "s3":
            raise RunError(f"expected a folder or s3://bucket/prefix, found {clip(self.url, 120)}")
        odd = found.query or found.fragment or ":" in found.netloc or "" in found.path.rstrip("/").split("/")[1:]
        if not found.netloc or odd:
            raise RunError(
                f"expected s3://bucket/prefix, found {clip(self.url, 120)}; region and endpoint come from AWS_* variables"
            )

    def objects(self, below: str = "") -> list[str]:
        """The keys below a prefix, sorted."""
        return sorted(self.sizes(below))

    def sizes(self, below: str = "") -> dict[str, int]:
        """The keys below a prefix, and how many bytes each object has."""
        files = self._files
        from pyarrow.fs import FileSelector, FileType

        root = self._path(below)
        with self._told(f"list {below or 'runs'}"):
            found = files.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
            if not found and self._files.get_file_info(self._path("").split("/")[0]).type == FileType.NotFound:
                raise OSError("there is no such bucket")
        start = len(self._path("").rstrip("/")) + 1
        return {one.path[start:]: one.size for one in found if one.type == FileType.File}

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        files = self._files
        from pyarrow.fs import FileType

        with self._told(f"look for {key}"):
            return bool(files.get_file_info(self._path(key)).type == FileType.File)

    def read(self, key: str) -> bytes | None:
        """An object; None where it is not there."""
        if not self.has(key):
            return None
        with self._told(f"read {key}"), self._files.open_input_stream(self._path(key)) as stream:
            content: bytes = stream.read()
        return content

    def get(self, pairs: Iterable[tuple[str, Path]]) -> None:
        """Copy objects to files, each of which appears whole or not at all."""

        def copy(key: str, file: Path) -> None:
            partial = file.with_name(f".{file.name}.{uuid4().hex[:8]}")
            file.parent.mkdir(parents=True, exist_ok=True)
            with self._told(f"read {key}"):
                self._copy_files(self._path(key), str(partial), source_filesystem=self._files)
            partial.replace(file)

        self._each(copy, pairs)

    def put(self, pairs: Iterable[tuple[Path, str]]) -> None:
        """Copy files to objects. RunError where one is not there afterwards as it is here."""

        def copy(file: Path, key: str) -> None:
            # Piece by piece: `pyarrow.fs.copy_files` does not tell of an upload whose line is cut.
            with self._told(f"write {key}"):
                with file.open("rb") as source, self._files.open_output_stream(self._path(key)) as target:
                    while piece := source.read(_PIECE):
                        target.write(piece)
                there = self._files.get_file_info(self._path(key)).size
                if there != file.stat().st_size:
                    raise OSError(f"{there} bytes are there of {file.stat().st_size}")

        self._each(copy, pairs)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        for key in keys:
            with self._told(f"remove {key}"):
                self._files.delete_file(self._path(key))

    def _each(self, work: Callable[[Any, Any], None], pairs: Iterable[tuple[Any, Any]]) -> None:
        with ThreadPoolExecutor(_TOGETHER) as pool:
            for done in [pool.submit(work, *pair) for pair in pairs]:
                done.result()

    def _path(self, key: str) -> str:
        found = urlsplit(self.url)
        return "/".join(part for part in (found.netloc, found.path.strip("/"), key.strip("/")) if part)

    @property
    def _copy_files(self) -> Any:
        from pyarrow.fs import copy_files

        return copy_files

    @cached_property
    def _files(self) -> Any:
        try:
            from pyarrow.fs import S3FileSystem, resolve_s3_region
        except ImportError as error:
            raise RunError(f"{self.url}: needs an extra: pip install 'rankcast[s3]' ({error})") from error
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        options: dict[str, Any] = {"connect_timeout": 10, "request_timeout": 60}
        if endpoint:
            where = urlsplit(endpoint)
            if where.scheme not in ("http", "https") or not where.netloc:
                raise RunError(
                    f"AWS_ENDPOINT_URL: expected an address such as http://localhost:9000, found {clip(endpoint, 120)}"
                )
            options |= {"endpoint_override": where.netloc, "scheme": where.scheme}
        with self._told("find its region"):
            if not endpoint and not region:
                region = resolve_s3_region(urlsplit(self.url).netloc)
            return S3FileSystem(region=region, **options)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """What storage refuses is told with its address, and what to look at."""
        try:
            yield
        except (OSError, ValueError) as error:
            said = clip(" ".join(str(error).split()), _LONGEST)
            raise RunError(
                f"{self.url}: cannot {what}: {said}; look at the bucket's name and region (AWS_REGION), at the credentials "
                "(AWS_PROFILE, or the role of the pod) and at what they may do"
            ) from error
