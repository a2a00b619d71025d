"""What several tests share: a small demo that was written and run once, and the real logs where they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from browsing import browser  # noqa: F401 - a fixture
from own_code import Shop, small
from rankcast.progress import Progress
from rankcast.runs.folder import Run
from rankcast.study import run, schema_files
from rankcast.testing.demo import write_demo
from rankcast.testing.jobboard import JobBoard

collect_ignore = ["peers_rectools.py"]  # runs in an environment of its own, where RecTools is

settings.register_profile("rankcast", deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
settings.load_profile("rankcast")


class Demo:
    """A demo folder with its truth and the run of its first study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board: JobBoard = write_demo(folder, requests=2_000, seed=7, schemas=schema_files())
        self.run: Run = run(self.study("two-tower"), folder / "runs", Progress())

    def study(self, name: str) -> Path:
        return self.folder / "studies" / f"{name}.yaml"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo of 2,000 requests. Tests must not change it."""
    return Demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real logs, which stay outside the repository."""
    named = os.environ.get("RANKCAST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    if not (folder / "slantour_ab").is_dir():
        pytest.skip(f"the real logs are not here ({folder}); set RANKCAST_DATA to the folder that holds slantour_ab")
    return folder


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # code that is rewritten within a second is read anew
    yield Shop(small(tmp_path))
    sys.modules.pop("shop", None)
