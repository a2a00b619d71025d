"""A server that speaks S3 (moto, in an environment of its own), buckets on it, and machines that share them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


def server_interpreter() -> Path:
    """Where the server is installed."""
    return Path(os.environ.get("RANKCAST_S3", Path(sys.prefix) / "s3" / "bin" / "python"))


@contextmanager
def s3_server(folder: Path, **environ: str) -> Iterator[str]:
    """The address of a server of one's own."""
    if not server_interpreter().exists():
        absent = f"no S3 server ({server_interpreter()}); `make test` installs it, or set RANKCAST_S3"
        if os.environ.get("RANKCAST_NEED_PEERS"):
            pytest.fail(absent)
        pytest.skip(absent)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [str(server_interpreter()), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = folder / "s3.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=folder, env=os.environ | environ, start_new_session=True
        )
    try:
        for _ in range(240):
            assert server.poll() is None, log.read_text()[-2000:]
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=2):
                break
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(20)


@pytest.fixture(name="s3", scope="session")
def s3_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all tests of this process."""
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@dataclass
class Shelf:
    """A bucket, and this machine's cache of it; `move` makes it another machine."""

    url: str
    out: str
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def place(self) -> str:
        """As pyarrow names the prefix."""
        return self.out.removeprefix("s3://")

    @property
    def files(self) -> Any:
        from pyarrow.fs import S3FileSystem

        where = self.url.removeprefix("http://")
        return S3FileSystem(
            endpoint_override=where, scheme="http", access_key="a", secret_key="b", allow_bucket_creation=True
        )

    def move(self, machine: str) -> Path:
        """From now on this is another machine."""
        cache = self.folder / machine
        self.monkeypatch.setenv("RANKCAST_CACHE", str(cache))
        return cache

    def names(self) -> list[str]:
        from pyarrow.fs import FileSelector, FileType

        found = self.files.get_file_info(FileSelector(self.place, recursive=True, allow_not_found=True))
        start = len(self.place) + 1
        return sorted(one.path[start:] for one in found if one.type == FileType.File)

    def read(self, key: str) -> bytes:
        with self.files.open_input_stream(f"{self.place}/{key}") as stream:
            return bytes(stream.read())

    def write(self, key: str, content: bytes) -> None:
        with self.files.open_output_stream(f"{self.place}/{key}") as stream:
            stream.write(content)

    def remove(self, below: str) -> None:
        for key in self.names():
            if key.startswith(below):
                self.files.delete_file(f"{self.place}/{key}")


@pytest.fixture(name="shelf")
def shelf_fixture(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A new bucket."""
    return new_shelf(s3, tmp_path, monkeypatch)


def new_shelf(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, make: bool = True) -> Shelf:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ(url).items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    made = Shelf(url, f"s3://{bucket}/team/runs", folder, monkeypatch)
    if make:
        made.files.create_dir(bucket)
    made.move("cache")
    return made


def environ(url: str) -> dict[str, str]:
    """The variables by which every tool of AWS finds a server."""
    return {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Relay:
    """Stands between a client and a server; when so many bytes were sent, the line is cut until it is mended."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.target = (host, int(port))
        self.left: float = float("inf")
        self.open: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def close(self) -> None:
        self.cut()
        self.listener.close()

    def cut(self) -> None:
        self.left = 0
        for one in list(self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                if self.left <= 0:
                    client.close()
                    continue
                server = socket.create_connection(self.target)
                self.open |= {client, server}
                for source, target, counts in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pump, args=(source, target, counts), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if counts:
                    self.left -= len(data)
                    if self.left <= 0:
                        self.cut()
                        break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            self.open.discard(one)
