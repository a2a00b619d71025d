"""A real MLflow server, in an interpreter of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def server_interpreter() -> Path:
    """Where the server is installed: an environment of its own."""
    return Path(os.environ.get("RANKCAST_MLFLOW", Path(sys.prefix) / "mlflow" / "bin" / "python"))


class MlflowServer:
    """A server that can be killed and started again on the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.artifacts = folder / "artifacts"
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[Any] | None = None

    def start(self) -> MlflowServer:
        command = [
            *(str(server_interpreter()), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"),
            *("--artifacts-destination", str(self.artifacts), "--workers", "1"),
        ]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)
        for _ in range(240):
            assert self.process.poll() is None, self.log()
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return self
            except OSError:
                time.sleep(0.5)
        raise AssertionError(self.log())

    def log(self) -> str:
        """Its last words."""
        return (self.folder / "log").read_text()[-2000:]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(20)


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server; MLFLOW_TRACKING_URI names it."""
    if not server_interpreter().exists():
        absent = f"no MLflow server ({server_interpreter()}); `make test` installs it, or set RANKCAST_MLFLOW"
        if os.environ.get("RANKCAST_NEED_PEERS"):
            pytest.fail(absent)
        pytest.skip(absent)
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    try:
        server.start()
        os.environ["MLFLOW_TRACKING_URI"] = server.uri
        yield server
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        server.stop()
