"""Variants in a model registry: a real MLflow server, real models."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from tiny import World, assert_refused

mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def server_interpreter() -> Path:
    """Where the server is installed: an environment of its own."""
    return Path(os.environ.get("RANKCAST_MLFLOW", Path(sys.prefix) / "mlflow" / "bin" / "python"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two versions of the model `ranker`, and one without a signature."""
    if not server_interpreter().exists():
        absent = f"no MLflow server ({server_interpreter()}); `make test` installs it, or set RANKCAST_MLFLOW"
        if os.environ.get("RANKCAST_NEED_PEERS"):
            pytest.fail(absent)
        pytest.skip(absent)
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [str(server_interpreter()), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts"),
               "--workers", "1"]  # fmt: skip
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for(uri, server, folder / "log")
        os.environ["MLFLOW_TRACKING_URI"] = uri
        mlflow.set_tracking_uri(uri)
        _log("ranker", 1.0, signed=True)
        _log("ranker", -1.0, signed=True)
        _log("unsigned", 1.0, signed=False)
        yield uri
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        os.killpg(server.pid, 15)
        server.wait(20)


def _wait_for(uri: str, server: subprocess.Popen[Any], log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


def _log(name: str, sign: float, signed: bool) -> None:
    from mlflow.models import infer_signature

    class Ranker(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> Any:
            return sign * (model_input["item.wage"] + 100.0 * (model_input["tenure"] == "new"))

    example = pd.DataFrame({"item.wage": [1], "tenure": ["new"]})
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="model",
            python_model=Ranker(),
            signature=infer_signature(example, pd.Series([1.0])) if signed else None,
            registered_model_name=name,
            pip_requirements=["cloudpickle", "pandas"],
        )


def world(folder: Path, uri: str, model: str) -> World:
    made = World(folder)
    made.study("variants", "new", to={"mlflow": model})
    return made.write()


def lists(made: World) -> dict[str, list[str]]:
    """The replayed lists of the model, by request."""
    (run,) = (path.parent for path in made.folder.glob("runs/*/*/result.json"))
    rows = pl.read_parquet(run / "slates" / "*.parquet").filter(pl.col("variant") == "new").sort("request_id", "rank")
    return {key: group["item_id"].to_list() for (key,), group in rows.group_by("request_id", maintain_order=True)}


def test_a_registered_model_orders_the_candidates(registry: str, tmp_path: Path) -> None:
    versions = {}
    for version in (1, 2):
        made = world(tmp_path / str(version), registry, f"models:/ranker/{version}")
        outcome = made.run()
        assert outcome.code in (0, 3, 4), outcome.text
        versions[version] = lists(made)
    assert versions[1]
    for request, items in versions[1].items():
        assert items == sorted(items, reverse=True)  # wage grows with the item's number
        assert versions[2][request] == sorted(versions[2][request])


def test_a_model_belongs_to_the_run(registry: str, tmp_path: Path) -> None:
    runs = set()
    for model in ("models:/ranker/1", "models:/ranker/2", "models:/ranker/1"):
        assert world(tmp_path, registry, model).run().code in (0, 3, 4)
        runs = {path.parent.name for path in tmp_path.glob("runs/*/*/result.json")}
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("models:/ranker/9", "models:/ranker/9"),
        ("models:/nobody/1", "models:/nobody/1"),
        ("models:/unsigned/1", "infer_signature"),
    ],
)
def test_what_is_wrong_with_a_model(registry: str, tmp_path: Path, model: str, said: str) -> None:
    made = world(tmp_path, registry, model)
    assert_refused(made.run(), said)
    assert made.left_behind() == []


def test_an_input_that_no_table_has(registry: str, tmp_path: Path) -> None:
    made = World(tmp_path)
    made.study("variants", "new", to={"mlflow": "models:/ranker/1"})
    made.table("users", lambda frame: frame.rename({"tenure": "age"})).study("segments", to=[])
    assert_refused(made.write().run(), "models:/ranker/1", "`tenure` is no column")
