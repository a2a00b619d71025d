"""What a run is known by: what gives it another id, what only judges the same lists anew, how it is repeated, what is no part."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from ruamel.yaml import YAML

import rankcast
import rankcast.sources.load
import rankcast.sources.wide.table
import rankcast.study
import tiny
from rankcast.progress import Progress
from rankcast.runs.folder import Run
from worlds import KNOBS, World

SEEDS = [pytest.param(n, marks=[pytest.mark.slow] * (n > 3)) for n in range(20)]
LIGHT = {"studies": 1, "size": "full", "metrics": 3, "coverage": 1, "segments": 1}
EVERY_METRIC = [
    "ndcg@3", "dcg(gain=exp)", "recall@2", "ap@5", "rr", "auc", "err@3", "rbp@3", "list_length", "empty@2",
    "novelty@2", "popularity@3", "serendipity@3", "personalization@2", "entropy@2",
]  # fmt: skip
ON_ITEMS = [
    "coverage@3", "coverage", "gini@2", "gini", "exposure_gini(by=item.company)@2", "diversity(by=item.city)",
    'exposure_share(where="item.is_test")@2',
]  # fmt: skip
ON_IMPRESSIONS = ["judged@2", "unjudged@3", "bpref"]


def world(seed: int, **fixed: Any) -> World:
    chance = Random(f"identity/{seed}")
    return World(seed, {name: chance.choice(choices) for name, choices in KNOBS.items()} | LIGHT | fixed)


def results(run: Run) -> bytes:
    """The bytes of `results` as they stand in result.json, and of what follows from them."""
    text = (run.folder / "result.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return json.dumps([document[name] for name in ("decision", "results", "findings")], ensure_ascii=False).encode()


def tables(run: Run) -> dict[str, list[str]]:
    """All rows of all tables, in an order that does not depend on shards."""
    names = ("slates", "values", "labels", "replays")
    return {name: sorted(getattr(run, name).write_ndjson().splitlines()) for name in names}


def assert_same(run: Run, other: Run) -> None:
    assert results(run) == results(other)
    assert tables(run) == tables(other)


def forbidden(*_: Any, **__: Any) -> Any:
    raise AssertionError("replayed what was replayed before")


class Listener(Progress):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, stage: str, text: str) -> None:
        self.told.append(text)


def judge_anew(study: Path, out: Path, lists: Run) -> Run:
    """Run a study whose lists are there already; nothing may be replayed, no score file opened."""
    listener = Listener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankcast.experiment.shard.reproduce", forbidden)
        patch.setattr("rankcast.sources.wide.table.Wide.open", forbidden)
        run = rankcast.run(study, out, listener)
    assert run.id != lists.id
    assert run.manifest["work"]["lists_of"] == lists.id
    assert run.manifest["replay"] == lists.manifest["replay"]
    assert any("nothing is replayed" in line for line in listener.told)
    return run


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change a document of a world."""
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
    return file


def put(*place: str | int, to: Any) -> Callable[[dict[str, Any]], object]:
    """Set a key."""

    def change(document: Any) -> None:
        for part in place[:-1]:
            document = document.setdefault(part, {}) if isinstance(part, str) else document[part]
        document[place[-1]] = to

    return change


# --- Only judged anew ---


@pytest.mark.parametrize("seed", SEEDS)
def test_other_metrics_judge_the_same_lists(seed: int, tmp_path: Path) -> None:
    """A run with lists from elsewhere is the run from scratch, byte for byte; in both directions, and from shard to shard."""
    (study,) = world(seed).write(tmp_path)
    service = YAML(typ="safe", pure=True).load((tmp_path / "service.yaml").read_text(encoding="utf-8"))
    more = EVERY_METRIC + ON_ITEMS * ("items" in service["tables"])
    more += ON_IMPRESSIONS * ("impressions" in service["tables"])
    more = more[seed % 2 :: 2]

    def change(document: dict[str, Any]) -> None:
        document["metrics"] = {
            "primary": more[seed % len(more)],
            "also": [m for m in more if m != more[seed % len(more)]],
        }
        document["segments"] = ["request.surface"] * (seed % 2)
        document["compare"] = {"confidence": 0.9, "smallest_effect": "2%"}
        document["fidelity"] = {"at_least": 0.5}
        document["owner"] = document["why"] = "somebody else"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankcast.study, "SHARD_ROWS", 300)
        first = rankcast.run(study, tmp_path / "runs")
    edit(study, change)
    run = judge_anew(study, tmp_path / "runs", first)
    assert_same(run, rankcast.run(study, tmp_path / "scratch"))


KEPT: Mapping[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "metrics": ("study", put("metrics", "also", to=["recall@2", "judged@3", "gini", "novelty@2"])),
    "segments": ("study", put("segments", to=["request.surface", "user.tenure"])),
    "no segments": ("study", put("segments", to=[])),
    "confidence": ("study", put("compare", "confidence", to=0.8)),
    "smallest effect": ("study", put("compare", "smallest_effect", to="20%")),
    "owner": ("study", put("owner", to="another team")),
    "why": ("study", put("why", to="because")),
    "expect": ("study", put("expect", to="something")),
    "fidelity bar": ("study", put("fidelity", "at_least", to=0.99)),
    "average": ("service", put("targets", "average", to="user")),
}
CHANGED: Mapping[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "a step's argument": ("service", put("production", "steps", 4, "cap", "at_most", to=1)),
    "a step more": ("service", lambda document: document["production"]["steps"].append({"where": "item.wage > 1"})),
    "a step less": ("service", lambda document: document["production"]["steps"].pop()),
    "order of steps": ("service", lambda document: document["production"]["steps"].reverse()),
    "a variant's steps": ("study", lambda document: document.update(
        treatment=["scores", "steps"], variants=document["variants"] | {
            "new": document["variants"]["new"] | {"steps": ["available"]}})),
    "candidates": ("service", put("production", "candidates", to="impressions")),
    "served": ("service", put("production", "served", to=2)),
    "seed": ("study", put("seed", to=8)),
    "grades": ("service", put("labels", "grades", to={"click": 1})),
    "horizon": ("service", put("labels", "horizon", to="2d")),
    "attribute": ("service", put("labels", "attribute", to="last_request")),
    "period": ("study", put("period", "to", to="2023-10-10")),
    "where": ("service", put("targets", "where", to="NOT request.bot")),
    "time zone": ("service", put("timezone", to="Asia/Tokyo")),
    "trained until": ("study", put("variants", "new", "trained_until", to="2023-09-01")),
    "a variant less": ("study", lambda document: document["variants"].pop("popular")),
    "a builtin's window": ("study", put("variants", "popular", "within", to="2d")),
    "baseline": ("study", put("baseline", to="new")),
    "another score file": ("study", put("variants", "new", "scores", "path", to="data/other.parquet")),
    "other columns": ("service", put("tables", "items", "columns", to={"pay": "wage"})),
    "without labels": ("service", put("targets", "without_labels", to="zero")),
}  # fmt: skip


def base(folder: Path) -> tiny.World:
    """The tiny service; a second file has other scores."""
    made = tiny.World(folder)
    made.tables["new"] = tiny.TABLES["scores"].with_columns(pl.col("score") * -1)
    made.tables["other"] = tiny.TABLES["scores"].with_columns(pl.col("score") % 3)
    return made.write()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder with the tiny service, and its run."""
    made = base(tmp_path_factory.mktemp("first"))
    return made.folder, rankcast.run(made.folder / "study.yaml", made.folder / "runs")


@pytest.fixture
def copied(first: tuple[Path, Run], tmp_path: Path) -> tuple[Path, Run]:
    """A copy of it that a test may change."""
    folder, run = first
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy", Run(tmp_path / "copy" / run.folder.relative_to(folder))


@pytest.mark.parametrize("what", KEPT)
def test_what_only_judges_the_lists(what: str, copied: tuple[Path, Run]) -> None:
    folder, before = copied
    file, change = KEPT[what]
    edit(folder / f"{file}.yaml", change)
    run = judge_anew(folder / "study.yaml", folder / "runs", before)
    assert_same(run, rankcast.run(folder / "study.yaml", folder / "scratch"))


@pytest.mark.parametrize("what", CHANGED)
def test_what_shapes_the_lists(what: str, copied: tuple[Path, Run]) -> None:
    folder, before = copied
    file, change = CHANGED[what]
    edit(folder / f"{file}.yaml", change)
    assert_replayed(rankcast.run(folder / "study.yaml", folder / "runs"), before)


def assert_replayed(run: Run, before: Run) -> None:
    assert run.id != before.id
    assert run.manifest["replay"] != before.manifest["replay"]
    assert "lists_of" not in run.manifest["work"]


@pytest.mark.parametrize("table", [*tiny.TABLES, "new"])
def test_a_row_more_or_less(table: str, copied: tuple[Path, Run]) -> None:
    folder, before = copied
    file = folder / "data" / f"{table}.parquet"
    pl.read_parquet(file)[:-1].write_parquet(file)
    assert_replayed(rankcast.run(folder / "study.yaml", folder / "runs"), before)


def test_a_repeated_run_is_found(copied: tuple[Path, Run]) -> None:
    folder, before = copied
    listener = Listener()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankcast.sources.files.read", forbidden)
        assert rankcast.run(folder / "study.yaml", folder / "runs", listener).id == before.id
    assert any("ran before" in line for line in listener.told)


def test_comments_and_layout_are_no_part(copied: tuple[Path, Run]) -> None:
    folder, before = copied
    for name in ("study.yaml", "service.yaml"):
        document = json.loads((folder / name).read_text())
        (folder / name).write_text("# looks different\n" + json.dumps(document, indent=4, sort_keys=False) + "\n\n")
    assert rankcast.run(folder / "study.yaml", folder / "runs").id == before.id


@pytest.mark.parametrize("garbage", ["", "{", "[]", "null", "7", "{}", '{"replay": 1}', '"replay"'])
def test_a_neighbour_with_a_broken_manifest_is_passed_over(garbage: str, copied: tuple[Path, Run]) -> None:
    folder, before = copied
    (before.folder / "manifest.json").write_text(garbage)
    edit(folder / "study.yaml", put("owner", to="another team"))
    run = rankcast.run(folder / "study.yaml", folder / "runs")
    assert "lists_of" not in run.manifest["work"]


# --- Private code ---

CODE = {
    "plugs/__init__.py": "",
    "plugs/steps.py": "from plugs import helper\n\n\ndef keep(frame):\n    return helper.all_of(frame)\n",
    "plugs/helper.py": "from .deeper import rows\n\n\ndef all_of(frame):\n    return rows(frame)\n",
    "plugs/deeper.py": "def rows(frame):\n    return frame\n",
    "plugs/models.py": "def score(requests, candidates):\n    from plugs import weights\n\n"
    "    return [weights.WEIGHT * n % 5 for n in range(len(candidates))]\n",
    "plugs/weights.py": "WEIGHT = 3\n",
    "plugs/metrics.py": "import rankcast.evaluate.metrics.accuracy.recall as recall\n\nfrom plugs.level import LEVEL\n\n\n"
    "class Mine(recall.Recall):\n    __doc__ = f'Recall; {LEVEL}.'\n",
    "plugs/level.py": "LEVEL = 1\n",
    "plugs/unrelated.py": "NOTHING = 0\n",
}


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.World:
    """The tiny service with a step, a variant and a metric of its own."""
    world = tiny.World(tmp_path).service("production", "steps", 1, to={"python": "plugs.steps:keep"})
    world.study("variants", "mine", to={"python": "plugs.models:score"})
    world.study("metrics", "also", to=["plugs.metrics:Mine@3"]).write()
    for name, text in CODE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    return world


def forget() -> None:
    """As if the process were a new one."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "plugs"]:
        del sys.modules[name]


def ran(world: tiny.World, *more: str) -> Run:
    forget()
    before = set((world.folder / "runs").glob("*/*")) if (world.folder / "runs").exists() else set()
    outcome = world.run(*more)
    assert outcome.code in (0, 3, 4, 5), outcome.text
    (made,) = set((world.folder / "runs").glob("*/*")) - before or before
    return Run(made)


@pytest.mark.parametrize("module", ["steps", "helper", "deeper", "models", "weights"])
def test_code_that_shapes_the_lists(module: str, plugged: tiny.World) -> None:
    before = ran(plugged)
    assert f"plugs.{module}" in before.manifest["private_code"]
    with (plugged.folder / "plugs" / f"{module}.py").open("a") as file:
        file.write("\n# another line\n")
    assert_replayed(ran(plugged), before)


@pytest.mark.parametrize("module", ["metrics", "level"])
def test_code_that_only_judges(module: str, plugged: tiny.World) -> None:
    before = ran(plugged)
    with (plugged.folder / "plugs" / f"{module}.py").open("a") as file:
        file.write("\n# another line\n")
    run = ran(plugged)
    assert run.id != before.id
    assert run.manifest["work"]["lists_of"] == before.id
    assert results(run) == results(before)


def test_code_that_nobody_imports(plugged: tiny.World) -> None:
    before = ran(plugged)
    (plugged.folder / "plugs" / "unrelated.py").write_text("NOTHING = 1\n")
    assert ran(plugged).id == before.id


def test_code_is_known_before_it_runs(plugged: tiny.World) -> None:
    """What a function imports when it is called belongs to the first run of a process as to the second."""
    forget()
    study = plugged.folder / "study.yaml"
    assert rankcast.run(study, plugged.folder / "a").id == rankcast.run(study, plugged.folder / "b").id


def test_code_that_changes_while_the_process_lives(plugged: tiny.World) -> None:
    """In a notebook: a run bears the id of the code that ran."""
    (plugged.folder / "plugs" / "models.py").write_text(
        "def score(requests, candidates):\n    return range(len(candidates))\n"
    )
    ran(plugged)
    (plugged.folder / "plugs" / "deeper.py").write_text(
        "def rows(frame):\n    return frame.filter(frame['rank'] != 1)\n"
    )
    live = rankcast.run(plugged.folder / "study.yaml", plugged.folder / "live")
    forget()
    fresh = rankcast.run(plugged.folder / "study.yaml", plugged.folder / "fresh")
    assert live.id != fresh.id or results(live) == results(fresh)


@pytest.mark.parametrize("module", ["deeper", "weights", "level"])
def test_repeating_names_changed_modules(module: str, plugged: tiny.World) -> None:
    before = ran(plugged)
    forget()
    with (plugged.folder / "plugs" / f"{module}.py").open("a") as file:
        file.write("\n# another line\n")
    repeated = tiny.rankcast("run", "--from", str(before.folder), "--out", str(plugged.folder / "again"), "-q")
    tiny.assert_refused(repeated, f"module plugs.{module}: its text has changed since run {before.id}")
    assert not (plugged.folder / "again").exists()


def test_repeating_without_the_modules(plugged: tiny.World) -> None:
    before = ran(plugged)
    forget()
    shutil.rmtree(plugged.folder / "plugs")
    repeated = tiny.rankcast("run", "--from", str(before.folder), "--out", str(plugged.folder / "again"), "-q")
    tiny.assert_refused(repeated, "plugs")


def test_repeating_with_the_modules(plugged: tiny.World) -> None:
    before = ran(plugged)
    forget()
    (plugged.folder / "study.yaml").unlink()
    tiny.rankcast("run", "--from", str(before.folder), "--out", str(plugged.folder / "again"), "-q")
    assert_same(Run(plugged.folder / "again" / "first" / before.id), before)


# --- `--from RUN` ---


def repeat(folder: Path, run: Run, *more: str) -> tiny.Outcome:
    return tiny.rankcast("run", "--from", str(run.folder), "--out", str(folder / "again"), "-q", *more)


def assert_repeated(folder: Path, run: Run) -> None:
    outcome = repeat(folder, run)
    assert outcome.code == run.exit_code(), outcome.text
    again = Run(folder / "again" / "first" / run.id)
    assert (again.folder / "result.json").read_bytes() == (run.folder / "result.json").read_bytes()
    assert tables(again) == tables(run)
    assert again.manifest["replay"] == run.manifest["replay"]
    assert os.listdir(folder / "again" / "first") == [run.id]


@pytest.mark.parametrize("fate", ["kept", "deleted", "edited", "broken"])
def test_a_run_is_repeated_from_its_manifest(fate: str, copied: tuple[Path, Run]) -> None:
    folder, run = copied
    for file in (folder / "study.yaml", folder / "service.yaml"):
        if fate == "deleted":
            file.unlink()
        elif fate == "edited":
            edit(file, put("owner" if file.stem == "study" else "timezone", to="Asia/Tokyo"))
        elif fate == "broken":
            file.write_text("{")
    for path in run.folder.iterdir():  # the manifest alone
        if path.name not in {"manifest.json", "result.json"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = Run(folder.parent / "first")
    before.folder.mkdir()
    outcome = repeat(folder, run)
    assert outcome.code == run.exit_code(), outcome.text
    again = Run(folder / "again" / "first" / run.id)
    assert (again.folder / "result.json").read_bytes() == (run.folder / "result.json").read_bytes()


def test_a_repeated_run_can_be_repeated(copied: tuple[Path, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, run = copied
    (folder / "study.yaml").unlink()
    (folder / "service.yaml").unlink()
    assert_repeated(folder, run)
    again = Run(folder / "again" / "first" / run.id)
    monkeypatch.chdir(folder / "again" / "first")
    outcome = tiny.rankcast("run", "--from", run.id, "--out", "../../third", "-q")
    assert outcome.code == run.exit_code(), outcome.text
    assert_same(Run(folder / "third" / "first" / run.id), again)


def test_into_the_same_folder_it_is_found(copied: tuple[Path, Run]) -> None:
    folder, run = copied
    outcome = tiny.rankcast("run", "--from", str(run.folder), "--out", str(folder / "runs"))
    assert outcome.code == run.exit_code()
    assert "ran before" in outcome.err


def test_moved_with_everything(copied: tuple[Path, Run], tmp_path: Path) -> None:
    folder, run = copied
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    folder.rename(moved)
    (moved / "study.yaml").unlink()
    (moved / "service.yaml").unlink()
    assert_repeated(moved, Run(moved / run.folder.relative_to(folder)))


def test_study_and_service_in_folders_of_their_own(tmp_path: Path) -> None:
    """Each path starts at the file that names it, also when neither file is there any more, and everything was moved."""
    old = tmp_path / "old"
    made = base(old / "product")
    (old / "initiatives" / "x").mkdir(parents=True)
    made.study_document["service"] = "../../product/service.yaml"
    for variant in ("production", "new"):
        scores = made.study_document["variants"][variant]["scores"]
        scores["path"] = "../../product/" + scores["path"]
    made.write(data=False)
    study = (old / "product" / "study.yaml").rename(old / "initiatives" / "x" / "study.yaml")
    run = rankcast.run(study, old / "runs")
    old.rename(tmp_path / "new")
    (tmp_path / "new" / "initiatives" / "x" / "study.yaml").unlink()
    (tmp_path / "new" / "product" / "service.yaml").unlink()
    assert_repeated(tmp_path / "new", Run(tmp_path / "new" / "runs" / "first" / run.id))


def globbed(folder: Path) -> tuple[tiny.World, Run]:
    """The tiny service with events in two files behind a glob."""
    made = base(folder).service("tables", "events", "path", to="data/events/*.parquet")
    (folder / "data" / "events").mkdir()
    made.write()
    events = pl.read_parquet(folder / "data" / "events.parquet")
    events[:6].write_parquet(folder / "data" / "events" / "a.parquet")
    events[6:].write_parquet(folder / "data" / "events" / "b.parquet")
    return made, rankcast.run(folder / "study.yaml", folder / "runs")


def spoil(file: Path) -> None:
    frame = pl.read_parquet(file)
    frame[:-1].write_parquet(file)


def test_changed_missing_and_new_files_are_all_named(tmp_path: Path) -> None:
    """One round of mending is enough."""
    made, run = globbed(tmp_path)
    spoil(made.data("items"))
    spoil(made.data("new"))
    (tmp_path / "data" / "events" / "a.parquet").unlink()
    shutil.copy(tmp_path / "data" / "events" / "b.parquet", tmp_path / "data" / "events" / "c.parquet")
    lines = repeat(tmp_path, run)
    tiny.assert_refused(
        lines,
        f"data/items.parquet: its content has changed since run {run.id}",
        f"data/new.parquet: its content has changed since run {run.id}",
        f"data/events/a.parquet: is not there any more, or is not matched; run {run.id} read it",
        f"data/events/c.parquet: was not there when run {run.id} was made",
    )
    assert lines.err.count("data/") == 4
    assert not (tmp_path / "again").exists()


def test_a_missing_file_does_not_hide_the_others(tmp_path: Path) -> None:
    """A file without a glob is gone, another has changed, a third is new."""
    made, run = globbed(tmp_path)
    made.data("users").unlink()
    made.data("scores").unlink()
    spoil(made.data("items"))
    shutil.copy(tmp_path / "data" / "events" / "b.parquet", tmp_path / "data" / "events" / "c.parquet")
    names = ("data/users.parquet", "data/scores.parquet", "data/items.parquet", "data/events/c.parquet")
    tiny.assert_refused(repeat(tmp_path, run), *names)


def test_swapped_and_renamed_files_are_named(tmp_path: Path) -> None:
    """The same contents under other names are other inputs."""
    _, run = globbed(tmp_path)
    a, b = (tmp_path / "data" / "events" / f"{name}.parquet" for name in "ab")
    a.rename(tmp_path / "data" / "events" / "z.parquet")
    tiny.assert_refused(repeat(tmp_path, run), "data/events/a.parquet", "data/events/z.parquet")
    (tmp_path / "data" / "events" / "z.parquet").rename(a.with_name("swap"))
    b.rename(a)
    a.with_name("swap").rename(b)
    tiny.assert_refused(repeat(tmp_path, run), "data/events/a.parquet: its", "data/events/b.parquet: its")


@pytest.mark.parametrize("value", ["data", "somewhere/else"])
def test_variables_in_paths(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value is no part of the run: the same files elsewhere give the same run, also when it is repeated."""
    made = base(tmp_path)
    for name in tiny.TABLES:
        if name != "scores":
            made.service("tables", name, "path", to="${RANKCAST_TEST_PLACE}/" + f"{name}.parquet")
    made.service("tables", "events", "path", to="${RANKCAST_TEST_PLACE}/event*.parquet")
    made.study("variants", "new", "scores", "path", to="${RANKCAST_TEST_PLACE}/new.parquet").write()
    monkeypatch.setenv("RANKCAST_TEST_PLACE", str(tmp_path / "data"))
    run = rankcast.run(tmp_path / "study.yaml", tmp_path / "runs")
    assert str(tmp_path) not in (run.folder / "manifest.json").read_text()
    if value != "data":
        (tmp_path / value).parent.mkdir(parents=True)
        shutil.copytree(tmp_path / "data", tmp_path / value)
    monkeypatch.setenv("RANKCAST_TEST_PLACE", str(tmp_path / value))
    (tmp_path / "study.yaml").unlink()
    assert_repeated(tmp_path, run)
    spoil(tmp_path / value / "events.parquet")
    shutil.rmtree(tmp_path / "again")
    tiny.assert_refused(repeat(tmp_path, run), "${RANKCAST_TEST_PLACE}/events.parquet: its content has changed")
    monkeypatch.delenv("RANKCAST_TEST_PLACE")
    tiny.assert_refused(repeat(tmp_path, run), "RANKCAST_TEST_PLACE is not set")


def test_a_variable_in_sql_shapes_the_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = base(tmp_path)
    sql = {"files": {"r": "data/requests.parquet"}, "sql": "SELECT * FROM r WHERE user_id <> '${RANKCAST_TEST_USER}'"}
    made.service("tables", "requests", to=sql).write()
    monkeypatch.setenv("RANKCAST_TEST_USER", "u1-long")
    run = rankcast.run(tmp_path / "study.yaml", tmp_path / "runs")
    monkeypatch.setenv("RANKCAST_TEST_USER", "u1")
    assert_replayed(rankcast.run(tmp_path / "study.yaml", tmp_path / "runs"), run)
    assert "u1-long" not in (run.folder / "manifest.json").read_text()


FILES = {"study": {"path": "../../../study.yaml", "text": "x: ["}, "service": {"path": "s", "text": ""}}
GARBAGE: list[Any] = [
    {}, [], None, 7, "files",
    {"files": None}, {"files": []}, {"files": "x"}, {"files": {}}, {"files": {"study": "x", "service": "y"}},
    {"files": {"study": None, "service": None}}, {"files": {"study": {"path": 1, "text": 2}}}, {"files": FILES},
    {"files": {"study": FILES["study"]}},
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=str)
def test_garbage_instead_of_a_manifest(garbage: Any, copied: tuple[Path, Run]) -> None:
    folder, run = copied
    (run.folder / "manifest.json").write_text(json.dumps(garbage))
    tiny.assert_refused(repeat(folder, run))


@pytest.mark.parametrize(
    "change",
    [
        {"data": None}, {"data": {}}, {"data": [1]}, {"data": [{}]}, {"data": [{"path": "x"}]}, {"private_code": None},
        {"private_code": []}, {"private_code": "x"}, {"data": tiny.GONE}, {"private_code": tiny.GONE},
    ],
    ids=lambda change: str(change).replace(str(tiny.GONE), "gone"),
)  # fmt: skip
def test_a_manifest_with_a_hole(change: dict[str, Any], copied: tuple[Path, Run]) -> None:
    folder, run = copied
    document = {name: value for name, value in (run.manifest | change).items() if value is not tiny.GONE}
    (run.folder / "manifest.json").write_text(json.dumps(document))
    outcome = repeat(folder, run)
    if outcome.code == 2:
        tiny.assert_refused(outcome)
    else:
        assert outcome.code == run.exit_code(), outcome.text


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"files": NaN'])
def test_no_json(text: str, copied: tuple[Path, Run]) -> None:
    folder, run = copied
    (run.folder / "manifest.json").write_text(text)
    tiny.assert_refused(repeat(folder, run), "manifest.json")


def test_no_run(tmp_path: Path) -> None:
    tiny.assert_refused(tiny.rankcast("run", "--from", str(tmp_path / "nowhere")), "nowhere")
    tiny.assert_refused(tiny.rankcast("run", "--from", str(tmp_path), str(tmp_path / "study.yaml")), "either")
    tiny.assert_refused(tiny.rankcast("run", "--from", str(tmp_path)), str(tmp_path))


# --- What no result depends on ---


def on_disk(patch: pytest.MonkeyPatch) -> None:
    """Wide tables are read seven rows at a time and partitioned on disk, in many parts."""
    patch.setattr(rankcast.sources.wide.table, "BATCH_ROWS", 7)
    room = rankcast.sources.load.Room
    patch.setattr(rankcast.sources.load, "Room", lambda _: room(0))
    patch.setattr(rankcast.study, "SHARD_ROWS", 50)


@pytest.mark.parametrize("seed", SEEDS)
def test_memory(seed: int, tmp_path: Path) -> None:
    (study,) = world(seed).write(tmp_path)
    whole = rankcast.run(study, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        on_disk(patch)
        assert_same(rankcast.run(study, tmp_path / "disk", memory=1), whole)


@pytest.mark.parametrize("batches", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("log", ["noisy", "stale", "left_out"])
def test_shards_of_a_log_that_differs(log: str, batches: bool, tmp_path: Path) -> None:
    """What production probably did otherwise is found, or not, whatever the shards."""
    made = world(3, batches=batches, log=log, tables="all", baseline="production", candidates="scored")
    (study,) = made.write(tmp_path)
    whole = rankcast.run(study, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankcast.study, "SHARD_ROWS", 1)
        assert_same(rankcast.run(study, tmp_path / "shards"), whole)


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.slow] * (n > 0)) for n in range(5)])
def test_processes(seed: int, tmp_path: Path) -> None:
    (study,) = world(seed, models=1, arranging=2).write(tmp_path)
    whole = rankcast.run(study, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rankcast.study, "SHARD_ROWS", 300)
        assert_same(rankcast.run(study, tmp_path / "two", processes=2), whole)


FORMATS: Mapping[str, Callable[[pl.DataFrame, Path], object]] = {
    "parquet": lambda frame, path: frame.write_parquet(path, row_group_size=5),
    "csv": lambda frame, path: frame.write_csv(path),
    "csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
    "ndjson": lambda frame, path: frame.write_ndjson(path),
}


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("files", [1, 4])
@pytest.mark.parametrize("ending", FORMATS)
def test_format_order_and_number_of_files(
    ending: str, files: int, small: bool, first: tuple[Path, Run], tmp_path: Path
) -> None:
    """Every table in another format, in shuffled rows, in one file or several; score files far larger than a batch."""
    _, run = first
    chance = Random(f"{ending}/{files}")
    made = base(tmp_path)
    for name, frame in made.tables.items():
        rows = list(range(len(frame)))
        chance.shuffle(rows)
        made.data(name).unlink()
        for part in range(files):
            target = tmp_path / "data" / f"{name}-{part}.{ending}"
            FORMATS[ending](typed(frame, ending)[rows[part::files]], target)
        if name in made.service_document["tables"]:
            made.service("tables", name, "path", to=f"data/{name}-*.{ending}")
    for variant, name in (("production", "scores"), ("new", "new")):
        made.study("variants", variant, "scores", "path", to=f"data/{name}-*.{ending}")
    made.write(data=False)
    with pytest.MonkeyPatch.context() as patch:
        if small:
            on_disk(patch)
        again = rankcast.run(tmp_path / "study.yaml", tmp_path / "runs")
    assert again.id != run.id
    assert results(again) == results(run)
    assert tables(again) == tables(run)


def typed(frame: pl.DataFrame, ending: str) -> pl.DataFrame:
    """Times as the format knows them."""
    times = [name for name in tiny.TIMES if frame.schema.get(name) == pl.String] if ending == "parquet" else []
    return frame.with_columns(pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC") for name in times)


def test_another_machine(first: tuple[Path, Run], tmp_path: Path) -> None:
    """Neither the folder in which the command runs, nor hash seeds, time zone or threads make another run."""
    folder, run = first
    environ = {
        "PYTHONHASHSEED": "5",
        "TZ": "America/Lima",
        "POLARS_MAX_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "rankcast", "run", str(folder / "study.yaml"), "--out", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | environ, check=False)
    assert done.returncode == run.exit_code(), done.stderr
    again = Run(tmp_path / "runs" / "first" / run.id)
    assert (again.folder / "result.json").read_bytes() == (run.folder / "result.json").read_bytes()
    assert tables(again) == tables(run)
