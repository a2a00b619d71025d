"""Variants in a model registry: a real MLflow server, real models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from mlflow_server import MlflowServer, mlflow_server  # noqa: F401 - a fixture
from tiny import World, assert_refused

mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def registry(mlflow_server: MlflowServer) -> str:  # noqa: F811 - a fixture
    """A server with two versions of the model `ranker`, and one without a signature."""
    mlflow.set_tracking_uri(mlflow_server.uri)
    _log("ranker", 1.0, signed=True)
    _log("ranker", -1.0, signed=True)
    _log("unsigned", 1.0, signed=False)
    return mlflow_server.uri


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
