"""Every metric against its obvious definition, and every registered part against what all of its kind promise."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankcast import plugins
from rankcast.errors import ConfigError
from rankcast.evaluate.grammar import parse
from rankcast.evaluate.judge import Slates, judge
from rankcast.evaluate.labels import Labels
from rankcast.evaluate.metric import Metric, RequestMetric, values
from rankcast.tables.ragged import offsets

ITEMS = 9
CUTS = ["", "@1", "@2", "@3", "@5", "@20"]
FORMS = [
    "dcg", "dcg(gain=exp)", "ndcg", "ndcg(gain=exp)", "precision", "precision(level=2)", "recall", "recall(level=2)",
    "hit", "hit(level=3)", "ap", "ap(norm=cut)", "ap(level=2)", "ap(level=2, norm=cut)", "rr", "rr(level=2)",
    "list_length", "empty",
]  # fmt: skip
NAMES = [form + cut for form in FORMS for cut in CUTS]
WORLDS = st.lists(
    st.tuples(
        st.lists(st.integers(0, ITEMS - 1), max_size=7),  # a slate, which a log may have with repeats
        st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.0]), max_size=5),
    ),
    min_size=1,
    max_size=5,
)
World = list[tuple[list[int], dict[int, float]]]


def measure(world: World, names: list[str], zero: bool = False) -> dict[str, list[float]]:
    """Values by the package: one request per (slate, labels)."""
    rows = [(at, item, rank) for at, (slate, _) in enumerate(world) for rank, item in enumerate(slate, start=1)]
    target, item, rank = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    best = [(at, -grade, item) for at, (_, labels) in enumerate(world) for item, grade in labels.items()]
    request, minus, labelled = np.array(sorted(best), dtype=float).reshape(-1, 3).T
    start = offsets(request.astype(np.int64), len(world))
    labels = Labels(labelled.astype(np.int64), -minus, start)
    judged = judge(Slates(len(world), target, item, rank), np.arange(len(world)), labels)
    return {name: column.tolist() for name, column in values(judged, [parse(name) for name in names], zero).items()}


def expected(name: str, slate: list[int], labels: dict[int, float]) -> float:
    """The definition, for one request. NaN where it is not measurable."""
    found = re.fullmatch(r"(\w+?)(?:\((.*)\))?(?:@(\d+))?", name)
    assert found
    word, inner, cut = found.groups()
    options = dict(pair.split("=") for pair in (inner or "").split(", ") if pair)
    k = int(cut) if cut else None
    if word == "list_length":
        return float(len(slate[:k]))
    if word == "empty":
        return float(not slate)
    once = [None if item in slate[:at] else item for at, item in enumerate(slate)][:k]  # found where it stands first
    if word in {"dcg", "ndcg"}:

        def gain(grade: float) -> float:
            return 2**grade - 1 if options.get("gain") == "exp" else grade

        def total(grades: list[float]) -> float:
            return sum(gain(grade) / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))

        dcg = total([labels.get(item, 0.0) for item in once])
        ideal = total(sorted(labels.values(), reverse=True)[:k])
        return dcg if word == "dcg" else dcg / ideal if ideal > 0 else math.nan
    level = float(options.get("level", 0))
    relevant = {item for item, grade in labels.items() if grade > 0 and grade >= level}
    hits = [rank for rank, item in enumerate(once, start=1) if item in relevant]
    if word == "precision":
        return len(hits) / (k or max(1, len(slate)))
    if word == "hit":
        return float(bool(hits))
    if word == "rr":
        return 1 / hits[0] if hits else 0.0
    if not relevant:
        return math.nan
    if word == "recall":
        return len(hits) / len(relevant)
    most = min(len(relevant), k) if k and options.get("norm") == "cut" else len(relevant)
    return sum(number / rank for number, rank in enumerate(hits, start=1)) / most


@given(WORLDS)
def test_every_metric_is_its_definition(world: World) -> None:
    for name, found in measure(world, NAMES).items():
        assert found == pytest.approx([expected(name, *one) for one in world], nan_ok=True, abs=1e-12), name


@given(WORLDS)
def test_bounds(world: World) -> None:
    for name, found in measure(world, NAMES).items():
        top = math.inf if name.startswith(("dcg", "list")) else 1 + 1e-12
        assert all(math.isnan(value) or 0 <= value <= top for value in found), name


@given(WORLDS)
def test_without_labels_zero_replaces_nothing_but_the_unmeasurable(world: World) -> None:
    plain, zero = measure(world, NAMES), measure(world, NAMES, zero=True)
    for name in NAMES:
        assert zero[name] == [0.0 if math.isnan(value) else value for value in plain[name]]


@given(st.permutations(range(ITEMS)), st.integers(1, ITEMS - 1), st.data())
def test_a_better_item_that_moves_up_never_hurts(slate: list[int], at: int, data: st.DataObject) -> None:
    labels = data.draw(st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([1.0, 2.0, 3.0]), min_size=1))
    above, below = slate[at - 1], slate[at]
    if labels.get(below, 0) < labels.get(above, 0):
        above, below = below, above
        slate = [*slate[: at - 1], above, below, *slate[at + 1 :]]
    swapped = [*slate[: at - 1], below, above, *slate[at + 1 :]]
    for name, (before, after) in measure([(slate, labels), (swapped, labels)], NAMES).items():
        assert math.isnan(before) or after >= before - 1e-12, name


@given(st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([1.0, 2.0]), min_size=1), st.integers(1, 9))
def test_the_ideal_order_is_perfect(labels: dict[int, float], k: int) -> None:
    ideal = sorted(labels, key=lambda item: -labels[item])
    names = ["ndcg", f"ndcg@{k}", f"ndcg(gain=exp)@{k}", "ap", f"ap(norm=cut)@{k}", "rr", f"hit@{k}", "recall"]
    assert measure([(ideal, labels)], names) == {name: [pytest.approx(1.0)] for name in names}


def test_known_values() -> None:
    """The textbook list 3 2 3 0 1 2, whose ideal holds two more labels that it does not show."""
    labels = {0: 3.0, 1: 2.0, 2: 3.0, 3: 0.0, 4: 1.0, 5: 2.0}
    slate = [0, 1, 2, 3, 4, 5]
    own = measure([(slate, labels)], ["dcg@6", "ndcg@6", "dcg(gain=exp)@6", "ndcg(gain=exp)@6", "ap@6", "rr@6"])
    assert own["dcg@6"] == [pytest.approx(6.861126689)]
    assert own["ndcg@6"] == [pytest.approx(0.960808194)]
    assert own["dcg(gain=exp)@6"] == [pytest.approx(13.848263629)]
    assert own["ndcg(gain=exp)@6"] == [pytest.approx(0.948810748)]
    assert own["ap@6"] == [pytest.approx((1 + 1 + 1 + 4 / 5 + 5 / 6) / 5)]
    unseen = measure([(slate, labels | {6: 3.0, 7: 2.0})], ["ndcg@6"])
    assert unseen["ndcg@6"] == [pytest.approx(0.785002372)]


def test_the_reference_programs_cases(shared_data: Path) -> None:
    known = json.loads((shared_data / "pytrec_eval" / "cases.json").read_text())
    assert sum(len(case.get("expected", {})) for case in known["cases"]) > 3
    for case in known["cases"]:
        for measure_name, value in case.get("expected", {}).items():
            grades, run = known["qrels"][case["query"]], case["run"][case["query"]]
            code = {name: at for at, name in enumerate(sorted({*grades, *run}))}
            slate = [code[name] for name in sorted(run, key=lambda name: -run[name])]
            labels = {code[name]: float(grade) for name, grade in grades.items()}
            (found,) = measure([(slate, labels)], [str(parse(measure_name))]).values()
            assert found == [pytest.approx(value)], (measure_name, run)


# --- Strings ---


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nDCG@10", "ndcg@10"), ("NDCG@10", "ndcg@10"), ("ndcg_cut_10", "ndcg@10"), ("ndcg_at_10", "ndcg@10"),
        ("hit_rate@10", "hit@10"), ("HR@10", "hit@10"), ("success_1", "hit@1"), ("map@100", "ap@100"), ("MAP", "ap"),
        ("map_cut_5", "ap@5"), ("mrr", "rr"), ("MRR@20", "rr@20"), ("recip_rank", "rr"), ("P@10", "precision@10"),
        ("P_5", "precision@5"), ("R@5", "recall@5"), (" ndcg ( gain = exp ) @ 5 ", "ndcg(gain=exp)@5"),
        ("ndcg(gain=linear)@5", "ndcg@5"), ("ap(norm=cut,level=2)@9", "ap(level=2, norm=cut)@9"), ("dcg()@3", "dcg@3"),
    ],
)  # fmt: skip
def test_aliases(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert str(parse(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "@5", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg(gain=log)", "ndcg(level=2)", "precision(level=0)@5",
     "precision(level=-1)", "precision(level=nan)", "precision(level=inf)", "hit(level=1, level=2)", "hit(level)",
     "nope@5", "f1@5", "ndcg@5@6", "ndcg(gain=exp", "recall@5; drop"],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


def every_metric() -> list[Metric]:
    """Each registered metric with each choice of each parameter, with and without a cut-off."""
    found: list[Metric] = []
    for name in plugins.names(plugins.METRICS):
        cls = plugins.load(plugins.METRICS, name)
        options: list[dict[str, Any]] = [{}]
        for part in dataclasses.fields(cls):
            choices = [None, 10] if part.name == "k" else [part.default, *(part.metadata.get("choices") or [2.0, 0.5])]
            options = [one | {part.name: choice} for one in options for choice in choices]
        found += [cls(**one) for one in options]
    return found


def test_every_string_parses_back() -> None:
    for metric in every_metric():
        assert parse(str(metric)) == metric


@pytest.mark.parametrize("level", [0.1 + 0.2, 2.0000001, 999.9999999, 1234567.0 / 8])
def test_a_level_of_any_precision_parses_back(level: float) -> None:
    metric = plugins.load(plugins.METRICS, "precision")(level=level, k=5)
    assert parse(str(metric)) == metric


# --- Everything that is registered ---

REGISTERED = [
    (group, name)
    for group in (plugins.METRICS, plugins.STEPS, plugins.BUILTINS, plugins.RULES)
    for name in plugins.names(group)
]


@pytest.mark.parametrize(("group", "name"), REGISTERED)
def test_everything_registered_keeps_its_promises(group: str, name: str) -> None:
    cls = plugins.load(group, name)
    called = {plugins.METRICS: "name", plugins.STEPS: "kind", plugins.BUILTINS: "name", plugins.RULES: "code"}[group]
    assert getattr(cls, called) == name
    assert len(inspect.getdoc(cls) or "") > 40, "its docstring is its page"
    assert inspect.getmodule(cls).__doc__
    if group in {plugins.METRICS, plugins.STEPS}:
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen
        assert cls.__eq__ is not object.__eq__
    if group == plugins.METRICS:
        metric = cls()
        assert issubclass(cls, RequestMetric) == metric.per_request
        assert metric.version >= 1
        assert str(metric) == name
        assert parse(name) == metric
        assert name in inspect.getdoc(cls), "the page shows the string"
    if group == plugins.RULES:
        assert re.fullmatch(r"[A-Z]{2}[0-9]{2}", name)
        assert cls.moment in {"plan", "result"}
        assert all(word in inspect.getdoc(cls) for word in ("Check:", "Remedy:"))
