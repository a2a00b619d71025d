"""`rankcast export mlflow` against a real MLflow server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlflow_server import MlflowServer, mlflow_server  # noqa: F401 - a fixture
from rankcast.errors import RunError
from rankcast.export.to_mlflow import export_run, metrics_of, name_of
from rankcast.runs.folder import Run
from tiny import World, assert_refused, rankcast

pytest.importorskip("mlflow")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LEGAL = re.compile(r"[/\w.\- ]{1,250}")  # what every version of MLflow takes
FILES = ("report.html", "report.md", "result.json", "manifest.json")


@pytest.fixture(scope="module")
def client(mlflow_server: MlflowServer) -> Any:  # noqa: F811 - a fixture
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=mlflow_server.uri)


@pytest.fixture(scope="module")
def exported(client: Any, demo: Any) -> Any:
    """The demo's run, as the server has it."""
    outcome = rankcast("export", "mlflow", str(demo.run.folder), "--experiment", "whole", "--json")
    assert outcome.code == 0, outcome.text
    return client.get_run(json.loads(outcome.out)["run_id"])


def runs_of(client: Any, experiment: str) -> list[Any]:
    place = client.get_experiment_by_name(experiment)
    return [] if place is None else list(client.search_runs([place.experiment_id]))


def command(run: Path, *more: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; None takes a variable away."""
    variables = {key: value for key, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-m", "rankcast", "export", "mlflow", str(run), *more],
        capture_output=True, text=True, check=False, timeout=240, env=variables,
    )  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Run]:
    def make(change: Callable[[World], object] = lambda _: None) -> Run:
        world = World(tmp_path)
        change(world)
        outcome = world.write().run()
        assert outcome.code in (0, 3, 4, 5), outcome.text
        (found,) = tmp_path.glob("runs/*/*/result.json")
        return Run(found.parent)

    return make


# --- What arrives ---


def test_metrics_are_those_of_the_result(exported: Any, demo: Any) -> None:
    told = json.loads((demo.run.folder / "result.json").read_text(encoding="utf-8"))["results"]
    expected: dict[str, float] = {}
    for row in told["metrics"]:
        if row["segment"] is None and row["value"] is not None:
            expected[f"{row['variant']}/{row['metric']}"] = row["value"]
    for row in told["comparisons"]:
        if row["segment"] is None:
            for part in ("difference", "relative", "p_adjusted"):
                if row[part] is not None:
                    expected[f"{row['variant']}/{row['metric']}/{part}"] = row[part]
    expected["fidelity/overlap"] = told["fidelity"]["overlap"]
    arrived = exported.data.metrics
    for key, value in expected.items():
        mapped = re.sub(r"[^\w./-]+", "_", key.replace(")@", "@").replace("@", "_at_"))
        assert arrived[mapped] == pytest.approx(value, rel=1e-12), key
    bounds = {key for key in arrived if key.endswith(("/relative_low", "/relative_high"))}
    assert len(arrived) == len(expected) + len(bounds)
    assert len(bounds) > 2
    assert arrived["two_tower/dcg_at_10"] > 0
    assert [key for key in arrived if not LEGAL.fullmatch(key)] == []


def test_plan_and_decision_are_told(exported: Any, demo: Any) -> None:
    study, decision = demo.run.manifest["plan"]["study"], demo.run.decision["two_tower"]
    params, tags = exported.data.params, exported.data.tags
    assert params["study"] == "two-tower"
    assert params["baseline"] == study["baseline"]
    assert params["primary"] == study["metrics"]["primary"]
    assert params["variants"] == ", ".join(study["variants"])
    assert params["period"] == f"{study['period']['from']} to {study['period']['to']}"
    assert params["seed"] == str(study["seed"])
    assert (tags["rankcast.run"], tags["rankcast.study"]) == (demo.run.id, "two-tower")
    assert tags["rankcast.decision.two_tower"] == decision.decision
    fired = [one.rule for one in demo.run.findings if one.status == "fired"]
    assert tags["rankcast.fired"] == ", ".join(fired)
    assert decision.because in tags["mlflow.note.content"]
    assert exported.info.status == "FINISHED"
    assert demo.run.id in exported.info.run_name


def test_artifacts_are_the_files(exported: Any, demo: Any, client: Any, tmp_path: Path) -> None:
    assert sorted(one.path for one in client.list_artifacts(exported.info.run_id)) == sorted(FILES)
    for name in FILES:
        there = Path(client.download_artifacts(exported.info.run_id, name, str(tmp_path)))
        assert there.read_bytes() == (demo.run.folder / name).read_bytes()


def test_a_second_export_finds_the_first(exported: Any, demo: Any, client: Any) -> None:
    outcome = rankcast("export", "mlflow", str(demo.run.folder), "--experiment", "whole")
    assert "was exported before" in outcome.out
    assert exported.info.run_id in outcome.out
    assert len(runs_of(client, "whole")) == 1


def test_json_is_all_of_stdout(demo: Any, mlflow_server: MlflowServer) -> None:  # noqa: F811 - a fixture
    for before in (False, True):
        done = command(
            demo.run.folder, "--json", "--experiment", "json", "--uri", mlflow_server.uri, MLFLOW_TRACKING_URI=None
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert set(told) == {"run_id", "experiment", "before"}
        assert (told["experiment"], told["before"]) == ("json", before)
    plain = command(demo.run.folder, "--experiment", "json")
    assert plain.stdout.splitlines() == [f"was exported before: run {told['run_id']} of the experiment json"]


def test_the_experiment_is_the_service(demo: Any, client: Any) -> None:
    service = demo.run.manifest["plan"]["service"]["service"]
    outcome = rankcast("export", "mlflow", demo.run.id[:6], "--out", str(demo.folder / "runs"))
    assert outcome.code == 0, outcome.text
    assert service in outcome.out
    (run,) = runs_of(client, service)
    assert run.data.tags["rankcast.run"] == demo.run.id


@pytest.mark.parametrize("name", ["日本語", "a/b c", "it's", 'quo"ted', "x" * 200])
def test_an_experiment_of_any_name(tiny: Callable[..., Run], client: Any, name: str) -> None:
    run = tiny()
    for _ in range(2):
        outcome = rankcast("export", "mlflow", str(run.folder), "--experiment", name)
        assert outcome.code == 0, outcome.text
    assert len(runs_of(client, name)) == 1


def test_nothing_is_decided(tiny: Callable[..., Run], client: Any) -> None:
    run = tiny(lambda world: world.study("variants", "new", to={"builtin": "random"}))
    assert run.decision == {}
    made = client.get_run(export_run(run, experiment="nothing").run_id)
    assert made.info.status == "FINISHED"
    assert made.data.params["variants"] == "production, new, popular"
    assert made.data.metrics["popular/dcg_at_10"] > 0


def test_what_is_not_measurable_is_left_out(tiny: Callable[..., Run], client: Any) -> None:
    run = tiny(lambda world: world.study("metrics", "also", to=["ndcg@10", "novelty@5", "auc", "serendipity@3"]))
    told = json.loads((run.folder / "result.json").read_text(encoding="utf-8"))
    for row in told["results"]["metrics"]:
        row["value"] = None
    for row in told["results"]["comparisons"]:
        row.update(relative=None, p_adjusted=None, relative_low=None, relative_high=None)
    (run.folder / "result.json").write_text(json.dumps(told), encoding="utf-8")
    made = client.get_run(export_run(Run(run.folder), experiment="nulls").run_id)
    assert not any(key.endswith(("relative", "p_adjusted")) for key in made.data.metrics)
    assert "new/ndcg_at_10" not in made.data.metrics
    assert "new/ndcg_at_10/difference" in made.data.metrics


@pytest.mark.parametrize(
    "name", ["a b", "二塔", "a/b", "..", "a@b", "x" * 250, "it's", "é", "a:b", ".", "-", " b", "{}"]
)
def test_variants_of_any_name(tiny: Callable[..., Run], client: Any, name: str) -> None:
    """Two names that would be one stay two; what arrives says which is which."""
    near = name.replace("a", "a_", 1) if "a" in name else f"{name}_"

    def renamed(world: World) -> None:
        variants = dict(world.study_document["variants"])
        new = variants.pop("new")
        world.study("variants", to={**variants, name: new, near: {"scores": {"path": "data/scores.parquet"}}})

    try:
        run = tiny(renamed)
    except AssertionError as error:
        if "expected a name" in str(error):
            pytest.skip("no name of a variant")
        raise
    made = client.get_run(export_run(run, experiment="names").run_id)
    told = {row.value for row in run.results.metrics if row.segment is None and row.metric == "dcg@10"}
    arrived = [value for key, value in made.data.metrics.items() if re.fullmatch(r"[^/]+/dcg_at_10(_\d+)?", key)]
    assert len(arrived) == 4
    assert {round(one, 9) for one in arrived if one is not None} == {round(one, 9) for one in told if one is not None}
    decisions = [key for key in made.data.tags if key.startswith("rankcast.decision.")]
    assert len(decisions) == len(run.decision)


def test_names_are_legal_and_apart() -> None:
    keys = (
        "ndcg@10",
        "ndcg_at_10",
        "ndcg at 10",
        "a(b=c.d)@5",
        "a" * 400,
        "a" * 399 + "b",
        "../x",
        "//",
        "a//b",
        "日本語",
        "",
    )
    rows = [
        SimpleNamespace(segment=None, value=float(at), variant=variant, metric=key)
        for at, (variant, key) in enumerate((variant, key) for variant in ("a/b", "a_b", "..") for key in keys)
    ]
    results = SimpleNamespace(metrics=rows, comparisons=[], fidelity=None)
    manifest = {"plan": {"study": {"variants": {"a/b": {}, "a_b": {}, "..": {}}}}}
    found = metrics_of(SimpleNamespace(results=results, manifest=manifest))  # type: ignore[arg-type]
    assert max(map(len, found)) <= 250
    assert sorted(found.values()) == [float(at) for at in range(len(rows))]
    assert [
        key for key in found if not LEGAL.fullmatch(key) or os.path.normpath(key) != key or key.startswith((".", "/"))
    ] == []
    assert name_of("ndcg@10") == "ndcg_at_10"


def test_a_folder_of_any_name_is_the_same_run(demo: Any, tiny: Callable[..., Run], client: Any, tmp_path: Path) -> None:
    """What a run is called is in its result: copies of two runs into folders `latest` are two runs, a copy of one is one."""
    for at, run in enumerate((demo.run, tiny())):
        shutil.copytree(run.folder, tmp_path / str(at) / "latest")
        assert not export_run(Run(tmp_path / str(at) / "latest"), experiment="copies").before, (
            "another run was taken for it"
        )
    assert export_run(demo.run, experiment="copies").before
    assert {one.data.tags["rankcast.run"] for one in runs_of(client, "copies")} == {demo.run.result.run, run.result.run}


def test_a_run_that_was_deleted_there_is_exported_again(tiny: Callable[..., Run], client: Any) -> None:
    run = tiny()
    first = export_run(run, experiment="deleted")
    client.delete_run(first.run_id)
    second = export_run(run, experiment="deleted")
    assert (second.before, second.run_id == first.run_id) == (False, False)


def test_an_experiment_that_was_deleted_there(tiny: Callable[..., Run], client: Any) -> None:
    run = tiny()
    export_run(run, experiment="gone")
    client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
    assert_refused(rankcast("export", "mlflow", str(run.folder), "--experiment", "gone"), "gone", "delete")


# --- What fails ---


def finished(client: Any, experiment: str) -> list[Any]:
    return [one for one in runs_of(client, experiment) if one.info.status == "FINISHED"]


def test_an_artifact_that_is_refused(
    tiny: Callable[..., Run], client: Any, mlflow_server: MlflowServer  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    run = tiny()
    kept = mlflow_server.folder / "kept"
    if mlflow_server.artifacts.exists():
        mlflow_server.artifacts.rename(kept)
    mlflow_server.artifacts.write_text("no folder", encoding="utf-8")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    try:
        assert_refused(rankcast("export", "mlflow", str(run.folder), "--experiment", "refused"), "MLflow")
    finally:
        os.environ.pop("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
        mlflow_server.artifacts.unlink()
        if kept.exists():
            kept.rename(mlflow_server.artifacts)
    assert finished(client, "refused") == []
    assert [one.info.status for one in runs_of(client, "refused")] == ["FAILED"]
    outcome = rankcast("export", "mlflow", str(run.folder), "--experiment", "refused", "--json")
    assert json.loads(outcome.out)["before"] is False
    assert len(finished(client, "refused")) == 1


def test_a_connection_that_breaks_while_it_is_marked(
    tiny: Callable[..., Run], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that refuses an upload may close the connection: the next call over it fails, the one after does not."""
    from mlflow.tracking import MlflowClient

    run, really, calls = tiny(), MlflowClient.set_terminated, []
    (run.folder / "report.md").unlink()

    def broken_once(self: Any, made: str, **named: Any) -> Any:
        calls.append(made)
        if len(calls) == 1:
            raise ConnectionResetError("reset by peer")
        return really(self, made, **named)

    monkeypatch.setattr(MlflowClient, "set_terminated", broken_once)
    assert_refused(rankcast("export", "mlflow", str(run.folder), "--experiment", "broken"), "report.md")
    assert [one.info.status for one in runs_of(client, "broken")] == ["FAILED"]


def test_a_run_without_a_report(tiny: Callable[..., Run], client: Any) -> None:
    run = tiny()
    (run.folder / "report.md").rename(run.folder / "away.md")
    assert_refused(rankcast("export", "mlflow", str(run.folder), "--experiment", "part"), "report.md")
    assert finished(client, "part") == []
    (run.folder / "away.md").rename(run.folder / "report.md")
    assert rankcast("export", "mlflow", str(run.folder), "--experiment", "part").code == 0


def test_a_server_that_goes_in_the_middle(
    tiny: Callable[..., Run], client: Any, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    from mlflow.tracking import MlflowClient

    run, really = tiny(), MlflowClient.log_artifact

    def last(self: Any, made: str, path: str, *more: Any, **named: Any) -> Any:
        if path.endswith("result.json"):
            mlflow_server.stop(signal.SIGKILL)
        return really(self, made, path, *more, **named)

    monkeypatch.setattr(MlflowClient, "log_artifact", last)
    begun = time.monotonic()
    try:
        assert_refused(rankcast("export", "mlflow", str(run.folder), "--experiment", "killed"), "MLflow")
        taken = time.monotonic() - begun
    finally:
        monkeypatch.undo()
        mlflow_server.stop()
        mlflow_server.start()
    assert finished(client, "killed") == []
    outcome = rankcast("export", "mlflow", str(run.folder), "--experiment", "killed", "--json")
    assert json.loads(outcome.out)["before"] is False
    assert len(finished(client, "killed")) == 1
    assert taken < 150, f"{taken:.0f} s until it says that nobody answers"


def test_a_server_that_nobody_reaches(demo: Any) -> None:
    begun = time.monotonic()
    try:
        done = command(demo.run.folder, "--uri", "http://127.0.0.1:9")
    except subprocess.TimeoutExpired:
        pytest.fail("no answer within four minutes")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) <= 10
    assert "127.0.0.1" in done.stderr
    assert "--uri" in done.stderr
    assert done.stdout == ""
    assert time.monotonic() - begun < 150


def test_no_server_is_named(demo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(demo.run.folder, MLFLOW_TRACKING_URI=None)
    assert done.returncode == 2
    assert "MLFLOW_TRACKING_URI" in done.stderr
    assert "registry" not in done.stderr, "nobody asked for a registry"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["nonsense://x", "http://", "/nowhere/at/all"])
def test_an_address_that_is_none(demo: Any, uri: str) -> None:
    done = command(demo.run.folder, "--uri", uri, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert done.returncode == 2, done.stderr
    assert "bug in Rankcast" not in done.stderr
    assert len(done.stderr.splitlines()) <= 40


def test_the_extra_is_missing(demo: Any, tmp_path: Path) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text("raise ModuleNotFoundError('no mlflow')", encoding="utf-8")
    done = command(demo.run.folder, "--uri", "http://127.0.0.1:9", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "rankcast[mlflow]" in done.stderr


def test_what_cannot_be_exported(demo: Any) -> None:
    assert_refused(rankcast("export", "wandb", str(demo.run.folder)), "expected mlflow")
    assert_refused(rankcast("export", "mlflow", "nosuchrun", "--out", str(demo.folder / "runs")), "nosuchrun")
    with pytest.raises(RunError):
        export_run(Run(demo.folder))
