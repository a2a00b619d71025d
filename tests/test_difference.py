"""What differs between two plans is told: every key, both values, of which kind; a plan written differently is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from plan_keys import ALL, NEW, OUTSIDE_CASES, SCORES, SERVICE_CASES, VARIANT_CASES, WORDS_CASES, Case
from rankcast.config.difference import Difference, difference, proposed
from rankcast.config.service import Service
from rankcast.config.study import Study
from rankcast.errors import RankcastError, show
from rankcast.study import plan
from repositories import SERVICE, study_text
from tiny import GONE, World
from tiny import SERVICE as SERVICE_DOCUMENT


def document(folder: Path, *changes: tuple[str, tuple[str | int, ...], Any]) -> dict[str, Any]:
    """The resolved plan of the tiny study after some changes: (file, place, value)."""
    world = World(folder)
    world.study("treatment", to=ALL)
    for kind in ("python", "http", "training"):
        if any(place[:3] == (*NEW, kind) for _, place, _ in changes):
            world.study(*NEW, to={} if kind != "training" else dict(SCORES))
    if any(place[:2] == ("allow", "DT05") for _, place, _ in changes):
        world.study("allow", to={})
    for file, place, value in changes:
        if value is GONE:
            continue
        (world.service if file == "service" else world.study)(*place, to=value)
    world.write(data=False)
    resolved: dict[str, Any] = plan(folder / "study.yaml", need_variables=False).reviewed()
    return resolved


def told_of(folder: Path, file: str, case: Case, *more: tuple[str, tuple[str | int, ...], Any]) -> Difference:
    """What differs between the two values of a case."""
    one, other = (document(folder, *more, (file, case.place, value)) for value in (case.before, case.after))
    return difference(one, other)


def leaves(value: Any) -> Iterator[str]:
    """The values of a value, as a file shows them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif value is not GONE:
        yield value if isinstance(value, str) else show(value)


def assert_told(found: Difference, case: Case, kinds: set[str]) -> None:
    """The key and both values are named, and every change is of the kind."""
    text = "\n".join(one.text for one in found.changes)
    assert {one.kind for one in found.changes} == kinds, found.changes
    own, others = list(leaves(case.before)), list(leaves(case.after))
    for value in {*own, *others} - {*own} & {*others}:
        assert value in text or value.removesuffix(".0") in text, (value, text)
    if case.key not in {"Variant.steps", "Production.steps", "Step.argument", "Step.kind", "Step.name", "Table.path"}:
        assert case.name in text, text


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


def keys(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    """Every key of a model and of the models in it."""
    if model in seen:
        return set()
    seen.add(model)
    found = {f"{model.__name__}.{name}" for name in model.model_fields}
    for field in model.model_fields.values():
        for inner in models(field.annotation):
            found |= keys(inner, seen)
    return found


def test_every_key_has_a_case() -> None:
    """What is added to the two files must be told here too."""
    parts = {"Service.tables", "Service.production", "Service.labels", "Service.targets", "Service.submit"}
    parts |= {"Study.period", "Study.variants", "Study.metrics", "Study.fidelity", "Study.compare"}
    fixed = {
        "Service.rankcast",
        "Study.rankcast",
        "Table.database",
        "EventsTable.database",
        "Past.database",
    }  # one value only
    elsewhere = {"Study.service", "Study.baseline"}  # the path is no difference; baselines are paired
    cases = [*SERVICE_CASES, *OUTSIDE_CASES, *WORDS_CASES, *(case for _, case in VARIANT_CASES)]
    known = {*parts, *fixed, *elsewhere, *(case.key for case in cases)}
    inside = ("Axis", "Bin", "SegmentBy", "Submit", "Resources", "Volume", "FromGit", "SecretKey")
    wanted = {one for one in keys(Service, set()) | keys(Study, set()) if not one.startswith(inside)}
    assert wanted - known == set()


@pytest.mark.parametrize("case", SERVICE_CASES, ids=lambda case: case.key)
def test_of_the_service(tmp_path: Path, case: Case) -> None:
    more = [("service", ("labels", "grades"), {"click": 1, "look": 1, "apply": 4})] if "Grade" in case.key else []
    assert_told(told_of(tmp_path, "service", case, *more), case, {"outside"})


@pytest.mark.parametrize("case", OUTSIDE_CASES, ids=lambda case: case.key)
def test_of_the_study(tmp_path: Path, case: Case) -> None:
    assert_told(told_of(tmp_path, "study", case), case, {"outside"})


@pytest.mark.parametrize("case", WORDS_CASES, ids=lambda case: case.key)
def test_words_only(tmp_path: Path, case: Case) -> None:
    assert_told(told_of(tmp_path, "study", case), case, {"words"})


@pytest.mark.parametrize(("part", "case"), VARIANT_CASES, ids=lambda one: one.key if isinstance(one, Case) else one)
def test_of_a_variant(tmp_path: Path, part: str, case: Case) -> None:
    found = told_of(tmp_path, "study", case)
    assert_told(found, case, {"treatment"})
    assert all(one.text.startswith("treatment ") and f" {case.place[1]}: " in one.text for one in found.changes)
    undeclared = {"study": {"treatment": [one for one in ALL if one != part]}}
    pair = [document(tmp_path, ("study", case.place, value)) for value in (case.before, case.after)]
    outside = difference(*({**one, "study": {**one["study"], **undeclared["study"]}} for one in pair))
    assert_told(outside, case, {"outside"})


def test_of_the_baseline(tmp_path: Path) -> None:
    for part, one, other in (
        ("scores", {"path": "a.csv"}, {"path": "b.csv"}),
        ("trained_until", "2023-09-01", "2023-09-02"),
    ):
        base = ("variants", "production")
        both = [{"scores": {"path": "data/scores.parquet"}, part: value} for value in (one, other)]
        found = difference(*(document(tmp_path, ("study", base, value)) for value in both))
        assert [change.kind for change in found.changes] == ["outside"]
        assert found.changes[0].text.startswith(f"the baseline changes: production: {part}")


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("image", "shop:1", "shop:2"),
        ("secrets", {"TOKEN": "shop/token"}, {"TOKEN": "shop/root"}),
        ("env", {"STAGE": "a"}, {"STAGE": "b"}),
        ("out", "s3://a/runs", "s3://b/runs"),
    ],
)
def test_where_it_runs(tmp_path: Path, key: str, one: Any, other: Any) -> None:
    """`ci --submit` sends what the change says: a reviewer sees it."""
    base = {"image": "shop:1", "out": "s3://a/runs"}
    found = difference(*(document(tmp_path, ("service", ("submit",), {**base, key: value})) for value in (one, other)))
    assert_told(found, Case(f"Submit.{key}", (), one, other), {"outside"})


# ---- the same plan, written differently


def written(folder: Path, service: str = SERVICE, study: str | None = None) -> dict[str, Any]:
    """The resolved plan of two texts."""
    folder.mkdir(exist_ok=True)
    (folder / "service.yaml").write_text(service, encoding="utf-8")
    (folder / "study.yaml").write_text(study or study_text("first", "service.yaml", "."), encoding="utf-8")
    resolved: dict[str, Any] = plan(folder / "study.yaml", need_variables=False).reviewed()
    return resolved


def cap_as(text: str) -> str:
    return SERVICE.replace("- cap: {by: item.kind, at_most: 2}", text)


SAME_SERVICE = {
    "comments": "# why\n" + SERVICE.replace("\n", "  # said\n"),
    "crlf": SERVICE.replace("\n", "\r\n"),
    "another order": SERVICE.replace(
        "labels: {grades: {click: 1, apply: 4}, horizon: 7d}\n", ""
    ).replace("service: tiny\n", "labels: {horizon: 7d, grades: {apply: 4, click: 1}}\nservice: tiny\n"),
    "cap in a block": cap_as("- cap:\n        at_most: 2\n        by: item.kind"),
    "cap quoted": cap_as("- {'cap': {\"by\": 'item.kind', at_most: 2}}"),
    "cap by its own name": cap_as("- {cap: {by: item.kind, at_most: 2}, name: cap}"),
    "step with nothing": SERVICE.replace("- available", "- available:"),
    "grades in full": SERVICE.replace("apply: 4", "apply: {grade: 4.0}"),
    "path as a list": SERVICE.replace("path: data/items.parquet", "path: [data/items.parquet]"),
    "events as a list": SERVICE.replace("{path: data/events.parquet}", "[{path: data/events.parquet}]"),
    "defaults": SERVICE.replace("horizon: 7d", "horizon: 7d, attribute: request_id, late: exclude, negative_grades: false")
    .replace("without_labels: exclude", "without_labels: exclude, average: [request], weight: null, where: null")
    .replace("service: tiny", "service: tiny\ntimezone: UTC\nbehaviour: null\nrules: {}")
    .replace("served: 3", "served: 3\n  candidates: scored\n  released: null"),
    "anchors": SERVICE.replace("service: tiny", "service: &name tiny"),
}  # fmt: skip
FIRST = study_text("first", "service.yaml", ".")
SAME_STUDY = {
    "metric in capitals": FIRST.replace("dcg@3", "DCG@3"),
    "share in percent": FIRST.replace("at_least: 0", "at_least: 0%"),
    "table in full": FIRST.replace("{path: ./data/new.parquet}", "{path: [./data/new.parquet], columns: {}, files: {}}"),
    "defaults": FIRST
    + "treatment: [scores]\nseed: 0\nallow: {}\nsegments: []\nonline: null\nowner: null\n"
    + "compare: {confidence: 0.95, correction: holm, method: clustered, replications: 2000, cluster: [user], least_users: 30}\n",
    "variants in another order": FIRST.replace("  popular: {builtin: popular, within: 28d}\n", "").replace(
        "variants:\n", "variants:\n  popular: {within: 28d, builtin: popular}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME_SERVICE)
def test_a_service_written_differently(tmp_path: Path, name: str) -> None:
    assert SAME_SERVICE[name] != SERVICE
    pair = written(tmp_path), written(tmp_path, SAME_SERVICE[name])
    assert difference(*pair).changes == difference(*reversed(pair)).changes == ()


@pytest.mark.parametrize("name", SAME_STUDY)
def test_a_study_written_differently(tmp_path: Path, name: str) -> None:
    assert SAME_STUDY[name] != FIRST
    pair = written(tmp_path), written(tmp_path, study=SAME_STUDY[name])
    assert difference(*pair).changes == difference(*reversed(pair)).changes == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("- not_seen", "- not_seen: {}"),
        ("- not_seen", "- not_seen: {events: null, within: null}"),
        ("- not_seen: {within: 7d}", "- not_seen: {within: 1w}"),
    ],
)
def test_a_step_written_differently(tmp_path: Path, one: str, other: str) -> None:
    pair = [written(tmp_path, SERVICE.replace("- available", text)) for text in (one, other)]
    assert difference(*pair).changes == ()


def test_production_written_out_in_a_variant(tmp_path: Path) -> None:
    own = [("steps", SERVICE_DOCUMENT["production"]["steps"]), ("served", 3), ("candidates", "scored")]
    pair = document(tmp_path), document(tmp_path, *(("study", (*NEW, key), value) for key, value in own))
    assert difference(*pair).changes == ()


# ---- steps and variants


def steps_told(folder: Path, before: list[Any], after: list[Any]) -> list[str]:
    """What is said of the steps of a variant."""
    pair = [document(folder, ("study", (*NEW, "steps"), steps)) for steps in (before, after)]
    return [one.text.removeprefix("treatment changes: new: ") for one in difference(*pair).changes]


MATCH, OTHER_MATCH = {"match": {"request.wanted": "item.kind"}}, {"match": {"request.surface": "item.kind"}}
CAP = {"cap": {"by": "item.kind", "at_most": 2}}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (["available"], ["available", CAP], ["step cap is new, after available: {by: item.kind, at_most: 2}"]),
        (["available"], [CAP, "available"], ["step cap is new, first of all: {by: item.kind, at_most: 2}"]),
        ([CAP, "available"], ["available"], ["step cap is gone ({by: item.kind, at_most: 2})"]),
        (["available", CAP], [CAP], ["step available is gone"]),
        (["available", CAP], [CAP, "available"], ["steps run in another order: available, cap -> cap, available"]),
        ([MATCH], [MATCH, OTHER_MATCH], ["step match-2 is new, after match: {request.surface: item.kind}"]),
    ],
)
def test_steps(tmp_path: Path, before: list[Any], after: list[Any], said: list[str]) -> None:
    assert steps_told(tmp_path, before, after) == said


def test_a_step_that_is_renamed(tmp_path: Path) -> None:
    gone, new = steps_told(tmp_path, [{**CAP, "name": "kinds"}], [{**CAP, "name": "sorts"}])
    assert gone.startswith("step kinds is gone")
    assert new.startswith("step sorts is new")


def test_two_steps_of_a_kind_that_change_places(tmp_path: Path) -> None:
    told = steps_told(tmp_path, [MATCH, OTHER_MATCH], [OTHER_MATCH, MATCH])
    assert len(told) >= 2
    assert all("request.wanted" in one or "request.surface" in one for one in told)


def test_variants_come_and_go(tmp_path: Path) -> None:
    other = ("study", ("variants", "more"), {"scores": {"path": "data/more.parquet"}, "served": 5})
    pair = [document(tmp_path), document(tmp_path, other)]
    added, dropped = difference(*pair), difference(*reversed(pair))
    assert added.of("outside") == added.of("words") == dropped.of("outside") == []
    assert added.of("treatment")[0] == "treatment adds: variant more"
    assert "treatment adds: more: served 3 -> 5" in added.of("treatment")
    assert any("data/more.parquet" in one for one in added.of("treatment"))
    assert [one.text for one in dropped.changes] == ["treatment drops: variant more"]


def test_references_are_never_of_the_treatment(tmp_path: Path) -> None:
    pair = [document(tmp_path), document(tmp_path, ("study", ("variants", "recent"), {"builtin": "recent"}))]
    for found in (difference(*pair), difference(*reversed(pair))):
        assert [(one.kind, "recent" in one.text) for one in found.changes] == [("words", True)]


def test_a_change_of_production_is_told_once(tmp_path: Path) -> None:
    """Variants and the baseline follow production: of them nothing more is to be said."""
    one, other = (document(tmp_path, ("service", ("production", "served"), served)) for served in (3, 2))
    assert [change.text for change in difference(one, other).changes] == ["service: production.served 3 -> 2"]


def test_another_baseline(tmp_path: Path) -> None:
    found = difference(document(tmp_path), document(tmp_path, ("study", ("baseline",), "new")))
    assert "baseline production -> new" in found.of("outside")


def test_proposed_names_what_is_outside(tmp_path: Path) -> None:
    more = ("study", NEW, {**SCORES, "served": 4})
    one = document(tmp_path, more)
    assert "treatment adds: new: served 3 -> 4" in proposed(one).of("treatment")
    one["study"]["treatment"] = ["scores"]
    assert proposed(one).of("outside") == ["treatment adds: new: served 3 -> 4"]


def test_a_proposal_that_differs_in_a_detail_only(tmp_path: Path) -> None:
    same = {"path": "data/scores.parquet"}
    one = document(tmp_path, ("study", NEW, {"scores": {**same, "columns": {"score": "margin"}}}))
    (told,) = proposed(one).of("treatment")
    assert "margin" in told


def test_back_to_the_baseline_is_never_outside(tmp_path: Path) -> None:
    before = document(tmp_path, ("study", (*NEW, "served"), 5))
    after = document(tmp_path, ("study", ("treatment",), ["scores"]))
    found = difference(before, after)
    assert [one for one in found.of("outside") if "served 5 -> 3" in one] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("request.bot OR " * 20 + "request.surface = 'home'", "request.bot OR " * 20 + "request.surface = 'search'"),
        ("request.surface = 'a b'", "request.surface = 'a  b'"),
    ],
)
def test_the_two_values_look_different(tmp_path: Path, one: str, other: str) -> None:
    (told,) = difference(
        *(document(tmp_path, ("service", ("targets", "where"), text)) for text in (one, other))
    ).changes
    shown = told.text.removeprefix("service: targets.where ").split(" -> ")
    assert len(set(shown)) == 2, told
    assert len(told.text) < 500


@pytest.mark.parametrize("pair", [(1, True), (1, 1.0), (1, "1"), (0, False)])
def test_values_of_different_kinds_are_different(tmp_path: Path, pair: tuple[Any, Any]) -> None:
    """An API is asked `?on=1` and `?on=True`."""
    base = {"http": {"url": "http://localhost/rank"}}
    place = (*NEW, "http", "query")
    found = difference(*(document(tmp_path, ("study", NEW, base), ("study", place, {"on": one})) for one in pair))
    (told,) = found.changes
    assert len(set(told.text.partition("query.on ")[2].split(" -> "))) == 2


@pytest.mark.parametrize(("kind", "key", "empty"), [("python", "columns", []), ("http", "query", {})])
def test_nothing_is_not_silence(tmp_path: Path, kind: str, key: str, empty: Any) -> None:
    """Silent: all columns are handed over; an empty list: none."""
    base = {"function": "shop.models:score"} if kind == "python" else {"url": "http://localhost/rank"}
    pair = [document(tmp_path, ("study", NEW, {kind: one})) for one in (base, {**base, key: empty})]
    assert pair[0] != pair[1]


@given(st.data())
def test_a_difference_is_complete(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Of one plan there is none; of two whose documents differ, something is told."""
    folder = tmp_path_factory.getbasetemp() / "drawn"
    changes = st.lists(
        st.sampled_from(
            [
                *(
                    (file, case)
                    for cases, file in ((SERVICE_CASES, "service"), (OUTSIDE_CASES, "study"))
                    for case in cases
                ),
                *(("study", case) for _, case in VARIANT_CASES),
            ]
        ),
        max_size=3,
        unique_by=lambda one: (one[0], one[1].place[:2]),
    )
    pair = []
    for _ in range(2):
        drawn = [
            (file, case.place, data.draw(st.sampled_from([case.before, case.after])))
            for file, case in data.draw(changes)
        ]
        try:
            pair.append(document(folder, *drawn))
        except (RankcastError, KeyError, TypeError):  # two of them do not go together
            pair.append(document(folder))
    one, other = pair
    assert difference(one, one).changes == difference(other, other).changes == ()
    assert bool(difference(one, other).changes) == (
        json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)
    )
