"""Every metric against its obvious definition, and every registered part against what all of its kind promise."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import definitions
from rankcast import plugins
from rankcast.errors import ConfigError, RankcastError
from rankcast.evaluate.catalogue import Catalogue, History
from rankcast.evaluate.exposure import Exposure, Shown
from rankcast.evaluate.grammar import Unloaded, parse
from rankcast.evaluate.judge import Scene, Slates, judge
from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import Metric, RequestMetric, VariantMetric, values
from rankcast.evaluate.page import page_of
from rankcast.evaluate.truth.labels import Labels
from rankcast.rules.page import MOMENTS
from rankcast.rules.page import page as rule_page
from rankcast.tables.ragged import offsets

ITEMS = 9
CUTS = ["", "@1", "@2", "@3", "@5", "@20"]
FORMS = [
    "dcg", "dcg(gain=exp)", "dcg(gain=binary, discount=reciprocal)", "ndcg", "ndcg(gain=exp)", "ndcg(gain=binary)",
    "ndcg(discount=log2_from_2)", "ndcg(gain=exp, discount=none)", "precision", "precision(level=2)", "recall",
    "recall(level=2)", "recall(norm=cut)", "hit", "hit(level=3)", "ap", "ap(norm=cut)", "ap(level=2)",
    "ap(level=2, norm=cut)", "rr", "rr(level=2)", "f1", "f1(level=2)", "r_precision", "r_precision(level=2)",
    "rbp(p=0.8)", "rbp(p=0.5, level=2)", "err", "err(max_grade=3)", "bpref", "bpref(level=2)", "auc", "auc(level=2)",
    "list_length", "empty", "judged", "judged(norm=cut)", "unjudged", "unjudged(norm=cut)",
    "diversity(by=item.kind)", "novelty", "popularity", "serendipity", "serendipity(level=2)",
]  # fmt: skip
NAMES = [form + cut for form in FORMS for cut in CUTS]
POOLED = [
    form + cut
    for form in ("coverage", "gini", "entropy", "exposure_gini(by=item.kind)", "personalization",
                 "exposure_share(where=\"item.kind = 'a'\")")
    for cut in ("", "@1", "@3")
]  # fmt: skip
KINDS = ["a", "b", None, "a", "c", "b", "a", None, "b"]
HISTORY = [(0, 1), (1, 1), (1, 1), (2, 3), (0, 4), (2, 4), (3, 4), (3, 4), (3, 7)]
AVAILABLE = np.array([True, True, True, False, True, True, True, False, True])
CATALOGUE = Catalogue(pl.DataFrame({"kind": KINDS}), AVAILABLE, History.of(*np.array(HISTORY, dtype=np.int64).T, ITEMS))
WORLDS = st.lists(
    st.tuples(
        st.lists(st.integers(0, ITEMS - 1), max_size=7),  # a slate, which a log may have with repeats
        st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 3.0]), max_size=5),
    ),
    min_size=1,
    max_size=5,
)
World = list[tuple[list[int], dict[int, float]]]


def judged(world: World) -> Judged:
    """The package's view: one request per (slate, labels)."""
    rows = [(at, item, rank) for at, (slate, _) in enumerate(world) for rank, item in enumerate(slate, start=1)]
    target, item, rank = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    best = [(at, -grade, item) for at, (_, labels) in enumerate(world) for item, grade in labels.items()]
    request, minus, labelled = np.array(sorted(best), dtype=float).reshape(-1, 3).T
    start = offsets(request.astype(np.int64), len(world))
    labels = Labels(labelled.astype(np.int64), -minus, start)
    nobody = np.zeros(len(world), dtype=np.int64)
    scene = Scene(nobody, nobody, None, CATALOGUE)
    return judge(Slates(len(world), target, item, rank), np.arange(len(world)), labels, scene)


def measure(world: World, names: list[str], zero: bool = False) -> dict[str, list[float]]:
    """Values by the package."""
    metrics = [parse(name) for name in names]
    return {name: column.tolist() for name, column in values(judged(world), metrics, zero).items()}


def expected(name: str, slate: list[int], labels: dict[int, float]) -> float:
    return definitions.value(name, slate, labels, dict(enumerate(KINDS)), HISTORY)


@given(WORLDS)
def test_every_metric_is_its_definition(world: World) -> None:
    for name, found in measure(world, NAMES).items():
        assert found == pytest.approx([expected(name, *one) for one in world], nan_ok=True, abs=1e-12), name


@given(WORLDS)
def test_bounds(world: World) -> None:
    for name, found in measure(world, NAMES).items():
        low, high = parse(name).bounds
        assert all(math.isnan(value) or low <= value <= high + 1e-12 for value in found), name


@given(WORLDS)
def test_without_labels_zero_replaces_nothing_but_the_unmeasurable(world: World) -> None:
    plain, zero = measure(world, NAMES), measure(world, NAMES, zero=True)
    for name in NAMES:
        unchanged = not parse(name).needs_labels
        wanted = [0.0 if math.isnan(value) and not unchanged else value for value in plain[name]]
        assert zero[name] == pytest.approx(wanted, abs=0, nan_ok=True)


NOT_ABOUT_PLACES = ("judged", "unjudged", "diversity", "novelty", "popularity")


@given(st.permutations(range(ITEMS)), st.integers(1, ITEMS - 1), st.data())
def test_a_better_item_that_moves_up_never_hurts(slate: list[int], at: int, data: st.DataObject) -> None:
    labels = data.draw(st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([1.0, 2.0, 3.0]), min_size=1))
    above, below = slate[at - 1], slate[at]
    if labels.get(below, 0) < labels.get(above, 0):
        above, below = below, above
        slate = [*slate[: at - 1], above, below, *slate[at + 1 :]]
    swapped = [*slate[: at - 1], below, above, *slate[at + 1 :]]
    names = [name for name in NAMES if not name.startswith((*NOT_ABOUT_PLACES, "serendipity", "auc@", "auc(level=2)@"))]
    for name, (before, after) in measure([(slate, labels), (swapped, labels)], names).items():
        assert math.isnan(before) or after >= before - 1e-12, name


@given(st.lists(st.integers(0, ITEMS - 1), max_size=7, unique=True), st.data())
def test_a_cut_beyond_the_list_changes_nothing_but_what_divides_by_it(slate: list[int], data: st.DataObject) -> None:
    labels = data.draw(st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([0.0, 1.0, 3.0])))
    by_k = {"precision", "f1", "serendipity"}
    free = [form for form in FORMS if definitions.split(form)[0] not in by_k and "norm=cut" not in form]
    long = measure([(slate, labels)], [f"{form}@20" for form in free])
    whole = measure([(slate, labels)], free)
    assert [long[f"{form}@20"][0] for form in free] == pytest.approx([whole[form][0] for form in free], nan_ok=True)


@given(st.dictionaries(st.integers(0, ITEMS - 1), st.sampled_from([1.0, 2.0]), min_size=1), st.integers(1, 9))
def test_the_ideal_order_is_perfect(labels: dict[int, float], k: int) -> None:
    ideal = sorted(labels, key=lambda item: -labels[item])
    names = ["ndcg", f"ndcg@{k}", f"ndcg(gain=exp)@{k}", "ndcg(discount=none)", "ap", f"ap(norm=cut)@{k}", "rr", "auc", "f1",
             f"hit@{k}", "recall", f"recall(norm=cut)@{k}", "r_precision", "bpref", "judged"]  # fmt: skip
    assert measure([(ideal, labels)], names) == {name: [pytest.approx(1.0)] for name in names}


# --- Metrics with one value over all lists, and their state ---

LISTS = st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, ITEMS - 1), max_size=6, unique=True)), max_size=6)
Lists = list[tuple[int, list[int]]]


def shown(lists: Lists, requests: Sequence[int]) -> Shown:
    rows = [(request, item, rank) for request in requests for rank, item in enumerate(lists[request][1], start=1)]
    return Shown(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


def read(metric: VariantMetric, state: Shown, lists: Lists, weights: np.ndarray) -> np.ndarray:
    user = np.array([user for user, _ in lists], dtype=np.int64)
    return metric.result(Exposure(state, user[state.owner], weights, CATALOGUE))


@given(LISTS)
def test_every_metric_over_all_lists_is_its_definition(lists: Lists) -> None:
    everybody = np.ones((4, 1))
    for name in POOLED:
        metric = parse(name)
        found = read(metric, metric.add(metric.create(), shown(lists, range(len(lists)))), lists, everybody)
        slates = {request: slate for request, (_, slate) in enumerate(lists)}
        users = {request: user for request, (user, _) in enumerate(lists)}
        available = set(np.flatnonzero(AVAILABLE).tolist())
        by_hand = definitions.pooled(str(metric), slates, users, dict(enumerate(KINDS)), available)
        assert found.tolist() == pytest.approx([by_hand], abs=1e-12, nan_ok=True), name
        low, high = metric.bounds
        assert math.isnan(by_hand) or low <= by_hand <= high


@given(LISTS, st.data())
def test_shards_merge_in_any_order_to_the_same_bytes(lists: Lists, data: st.DataObject) -> None:
    shards = data.draw(st.lists(st.integers(0, 2), min_size=len(lists), max_size=len(lists)))
    order = data.draw(st.permutations(range(3)))
    for name in POOLED:
        metric = parse(name)
        parts = [[request for request, shard in enumerate(shards) if shard == one] for one in range(3)]
        states = [metric.add(metric.create(), shown(lists, part)) for part in parts]
        whole = metric.add(metric.create(), shown(lists, range(len(lists))))
        merged = metric.merge(metric.merge(states[order[0]], states[order[1]]), states[order[2]])
        for part in ("owner", "item", "rank"):
            assert getattr(merged, part).tobytes() == getattr(whole, part).tobytes()
        everybody = np.ones((4, 1))
        assert read(metric, merged, lists, everybody).tobytes() == read(metric, whole, lists, everybody).tobytes()


@given(LISTS, st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=2, max_size=3))
def test_a_resample_is_the_lists_drawn_again(lists: Lists, draws: list[list[int]]) -> None:
    """Weights of users are what it would be to have their lists so many times, under one user's name."""
    weights = np.array([[drawn.count(user) for drawn in draws] for user in range(4)], dtype=float)
    for name in POOLED:
        metric = parse(name)
        found = read(metric, shown(lists, range(len(lists))).within(metric.k), lists, weights)
        for at, drawn in enumerate(draws):
            again = [(user, slate) for user, slate in lists for _ in range(drawn.count(user))]
            slates = {request: slate for request, (_, slate) in enumerate(again)}
            users = {request: user for request, (user, _) in enumerate(again)}
            available = set(np.flatnonzero(AVAILABLE).tolist())
            by_hand = definitions.pooled(str(metric), slates, users, dict(enumerate(KINDS)), available)
            assert found[at] == pytest.approx(by_hand, abs=1e-9, nan_ok=True), name


# --- Values that others printed ---


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


# --- Strings ---


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("nDCG@10", "ndcg@10"), ("NDCG@10", "ndcg@10"), ("ndcg_cut_10", "ndcg@10"), ("ndcg_at_10", "ndcg@10"),
        ("hit_rate@10", "hit@10"), ("HR@10", "hit@10"), ("success_1", "hit@1"), ("map@100", "ap@100"), ("MAP", "ap"),
        ("map_cut_5", "ap@5"), ("mrr", "rr"), ("MRR@20", "rr@20"), ("recip_rank", "rr"), ("P@10", "precision@10"),
        ("P_5", "precision@5"), ("R@5", "recall@5"), (" ndcg ( gain = exp ) @ 5 ", "ndcg(gain=exp)@5"),
        ("ndcg(gain=linear)@5", "ndcg@5"), ("rbp@5", "rbp(p=0.8)@5"), ("P(rel=2)@5", "precision(level=2)@5"),
        ("nDCG(dcg='exp-log2')@10", "ndcg(gain=exp)@10"), ("precision@5-l2", "precision(level=2)@5"),
        ("ndcg_burges@5", "ndcg(gain=exp)@5"), ("Rprec", "r_precision"), ("unj_5", "unjudged(norm=cut)@5"),
        ("ERR@20", "err@20"), ("relative_P_5", "recall(norm=cut)@5"),
        ("diversity(by='item.a b')@5", 'diversity(by="item.a b")@5'),
        ("ap(norm=cut,level=2)@9", "ap(level=2, norm=cut)@9"), ("dcg()@3", "dcg@3"),
    ],
)  # fmt: skip
def test_aliases(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical
    assert str(parse(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "@5", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "ndcg(gain=log)", "ndcg(level=2)", "precision(level=0)@5",
     "precision(level=-1)", "precision(level=nan)", "precision(level=inf)", "hit(level=1, level=2)", "hit(level)",
     "nope@5", "ndcg@5@6", "ndcg(gain=exp", "recall@5; drop", "rbp(p=1)", "rbp(p=0)", "diversity@5", "diversity(by=user.x)@5",
     "exposure_share@5", "exposure_share(where=item.)@5", 'exposure_share(where="request.x = 1")@5',
     'exposure_share(where="score > 1")@5', 'diversity(by="item.a)@5', "unj(norm=shown)@5", "precision(level=2)@5-l3"],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)
COLUMNS = TEXTS.filter(lambda text: not text[0].isspace()).map("item.{}".format)
CONDITIONS = TEXTS.map(lambda text: "item.kind = '" + text.replace("'", "''") + "'")


def any_value(part: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    """Whatever a parameter may be."""
    facts = part.metadata
    if facts["kind"] == "choice":
        return st.sampled_from(facts["choices"])
    if facts["kind"] == "number":
        return st.floats(0, facts["most"], exclude_min=True, exclude_max=facts["below"])
    return COLUMNS if facts["kind"] == "column" else CONDITIONS


@st.composite
def any_metric(draw: st.DrawFn) -> Metric:
    """A registered metric with any parameters."""
    cls = plugins.load(plugins.METRICS, draw(st.sampled_from(plugins.names(plugins.METRICS))))
    given_: dict[str, Any] = {"k": draw(st.none() | st.integers(1, 1_000_000))}
    for part in dataclasses.fields(cls):
        if part.name != "k" and (part.metadata.get("required") or draw(st.booleans())):
            given_[part.name] = draw(any_value(part))
    return cls(**given_)


@settings(max_examples=400)
@given(any_metric())
def test_every_string_parses_back(metric: Metric) -> None:
    assert parse(str(metric)) == metric
    assert str(parse(str(metric))) == str(metric)


@given(st.text(max_size=30))
def test_any_text_is_a_metric_or_an_error(text: str) -> None:
    try:
        metric = parse(text, private=False)
    except RankcastError:
        return
    assert parse(str(metric), private=False) == metric


def test_a_private_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ours_for_test.py").write_text(PRIVATE)
    monkeypatch.chdir(tmp_path)
    metric = parse("ours_for_test:Depth(most=3)@5")
    assert str(metric) == "ours_for_test:Depth(most=3)@5"
    assert parse(str(metric)) == metric
    assert metric.values(judged([([1, 2], {1: 1.0})])).tolist() == [2.0]
    assert isinstance(parse("ours_for_test:Depth@5", private=False), Unloaded)
    for broken, why in (
        ("ours_for_test:Depht", "no `Depht`; did you mean `Depth`"),
        ("nowhere_at_all:X", "cannot import `nowhere_at_all`: ModuleNotFoundError"),
        ("json:dumps", "no metric"),
        ("rankcast.evaluate.metric:RequestMetric", "no metric"),
        ("ours_for_test:Needs", "needs.. says `everything`"),
        ("ours_for_test:Depth(number=1.5)", "expected a whole number"),
        ("ours_for_test:Depth(whole=yes)", "expected true or false"),
    ):
        with pytest.raises(RankcastError, match=why):
            parse(broken)
    assert parse("ours_for_test:Depth(number=3, whole=false)").number == 3
    for broken, why in (
        ("raises", r"ZeroDivisionError: division by zero \(ours_for_test.py:"),
        ("exits", "SystemExit"),
        ("scalar", "expected an array of 1 numbers, found float"),
        ("short", r"found shape \(0,\)"),
        ("infinite", "a value is infinite"),
    ):
        with pytest.raises(RankcastError, match=why):
            values(judged([([1], {1: 1.0})]), [parse(f"ours_for_test:Bad(how={broken})")], False)


PRIVATE = """
import sys
from dataclasses import dataclass
import numpy as np
from rankcast.evaluate.metric import RequestMetric, number

@dataclass(frozen=True)
class Depth(RequestMetric):
    \"\"\"Items within the cut.\"\"\"
    most: float = number(2.0)
    number: int = 1
    whole: bool = True
    name = "depth"

    def values(self, judged):
        return judged.shown(self.k)

@dataclass(frozen=True)
class Needs(Depth):
    def needs(self):
        return frozenset({"everything"})

@dataclass(frozen=True)
class Bad(RequestMetric):
    how: str = "raises"

    def values(self, judged):
        answers = {"scalar": 0.5, "short": np.zeros(0), "infinite": np.full(judged.n, np.inf)}
        if self.how == "exits":
            sys.exit(0)
        return answers[self.how] if self.how in answers else 1 / 0
"""


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
    if group == plugins.RULES:
        assert re.fullmatch(r"[A-Z]{2}[0-9]{2}", name)
        page = rule_page(cls)
        assert page.moment in MOMENTS
        assert page.severity in {"error", "warning"}
        assert all((page.wrong, page.check, page.remedy, page.source, page.since, page.good, page.bad))
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cls.name)


def plainest(cls: type[Metric]) -> Metric:
    """A metric with its required parameters and nothing else."""
    needed = {"column": "item.kind", "condition": "item.kind = 'a'"}
    parts = [part for part in dataclasses.fields(cls) if part.metadata.get("required")]
    return cls(**{part.name: needed[part.metadata["kind"]] for part in parts})


@pytest.mark.parametrize("name", plugins.names(plugins.METRICS))
def test_every_metric_has_a_page_that_is_true(name: str) -> None:
    metric = plainest(plugins.load(plugins.METRICS, name))
    assert isinstance(metric, RequestMetric) == metric.per_request
    assert isinstance(metric, VariantMetric) != metric.per_request
    assert metric.version >= 1
    page = page_of(metric)
    assert page.definition.startswith(name)
    facts = dict(page.facts)
    assert facts["source"] if metric.needs_labels else True
    if isinstance(metric, RequestMetric):
        empty, no_truth = metric.values(judged([([], {1: 1.0}), ([0, 1], {})])).tolist()
        wanted = metric.empty_list()
        assert [empty] == pytest.approx([math.nan if wanted is None else wanted], nan_ok=True)
        if metric.needs_labels:
            told = metric.of_empty_truth
            assert [no_truth] == pytest.approx([math.nan if told is None else told], nan_ok=True)
