"""Every claim about ranx, pytrec_eval, ir_measures and RecTools, against the living libraries."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from functools import cache

import polars as pl
import pytest

import peers
import peers_page
import rankcast
from peers import CASES, CLAIMS, IR, PYTREC, RANX, RECTOOLS, Answers, Case, Claim, Data, Values
from rankcast.errors import RankcastError

Ask = Callable[[str], Answers]


@pytest.fixture(scope="module")
def theirs() -> Ask:
    """What a peer answers; each is asked once."""

    @cache
    def ask(peer: str) -> Answers:
        return peers.answers(peer)

    def answers(peer: str) -> Answers:
        need(peer)
        return ask(peer)

    return answers


def need(peer: str) -> None:
    """Skip where the peer is not here."""
    if peer == RECTOOLS:
        path = peers.rectools_interpreter()
        absent = None if path.exists() else f"no RecTools ({path}); `make test` installs it, or set RANKCAST_RECTOOLS"
    else:
        absent = None if _imports(peer) else f"no {peer} here"
    if peer == IR and absent is None and shutil.which("perl") is None:
        absent = "no perl, which gdeval needs"
    if absent and os.environ.get("RANKCAST_NEED_PEERS"):
        pytest.fail(f"{absent}, but RANKCAST_NEED_PEERS is set")
    if absent:
        pytest.skip(absent)


def _imports(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def score(data: Data, metrics: list[str], **options: str) -> rankcast.Scores:
    lists = [(request, item, score) for request, rows in data.lists.items() for item, score in rows]
    slates = pl.DataFrame(lists, schema=["request_id", "item_id", "score"], orient="row")
    items = pl.DataFrame({"item_id": data.items.keys(), "category": data.items.values()}) if data.items else None
    history = pl.DataFrame(data.history, schema=["user_id", "item_id"], orient="row") if data.history else None
    return rankcast.score(slates, data.labels, metrics, items=items, history=history, **options)


@pytest.fixture(scope="module")
def ours() -> dict[str, Values]:
    """metric -> our values of the workload."""
    scores = score(peers.workload(), list(dict.fromkeys(claim.ours for claim in CLAIMS)))
    requests = scores.values["request_id"].to_list()
    columns = {name: scores.values[name] for name in scores.values.columns[1:]}
    return {
        name: dict(zip(requests, columns[name].fill_null(math.nan).to_list(), strict=True))
        if name in columns
        else scores[name].value
        for name in scores
    }


def distance(one: Values, other: Values) -> float:
    """The greatest difference; infinite where one has a number and the other none."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return abs(one - other)
    assert one.keys() <= peers.workload().labels.keys() >= other.keys()
    both = [(one.get(request, math.nan), other.get(request, math.nan)) for request in peers.workload().labels]
    return max(math.inf if math.isnan(a) != math.isnan(b) else 0.0 if math.isnan(a) else abs(a - b) for a, b in both)


def name_of(claim: Claim | Case) -> str:
    return f"{claim.peer}-{claim.theirs}"


@pytest.mark.slow  # ranx compiles itself
@pytest.mark.parametrize("claim", CLAIMS, ids=name_of)
def test_claims(claim: Claim, theirs: Ask, ours: dict[str, Values]) -> None:
    value = theirs(claim.peer).claims[claim.theirs]
    found = distance(value, ours[claim.ours])
    if claim.equal:
        assert found <= claim.within
    else:
        assert claim.why
        assert found > 1e-3
        by_hand = BY_HAND[claim.peer, claim.theirs]
        assert distance(value, by_hand(peers.workload())) < 1e-9  # the reason is the true one


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_cases(case: Case, theirs: Ask) -> None:
    peer = case.peer.partition(",")[0]
    found = theirs(peer).cases[peers.cases_of(peer).index(case)]
    assert (case.options is None) == bool(case.ours)
    for (_, metric, expected), value in zip(case.asks, found, strict=True):
        mean = sum(value.values()) / len(value) if isinstance(value, dict) else value
        assert mean == (expected if expected is None else pytest.approx(expected, abs=1e-9))
        if case.ours == peers.REFUSED:
            with pytest.raises(RankcastError):
                score(case.data, [metric])
            continue
        here = score(case.data, [metric], **(case.options or {}))[metric].value
        assert here is not None
        if case.options is not None:
            assert here == pytest.approx(expected, abs=1e-9)
        else:
            assert expected is None or abs(here - expected) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("peer", peers_page.NOTES)
def test_nothing_of_theirs_is_forgotten(peer: str, theirs: Ask) -> None:
    claimed = {peers.stem(peer, claim.theirs) for claim in CLAIMS if claim.peer == peer}
    others = {*peers.NOT_HERE[peer], *peers.UNTRIED.get(peer, {})}
    assert not claimed & others
    assert claimed | others == theirs(peer).offered


def test_the_page_is_current() -> None:
    path = peers.ROOT / "docs" / "guide" / "peers.md"
    assert path.read_text(encoding="utf-8") == peers_page.page(), (
        "run `python tests/peers_page.py > docs/guide/peers.md`"
    )


# --- Their numbers by hand, where they differ ---


def each(value: Callable[[list[str], dict[str, float]], float]) -> Callable[[Data], Values]:
    """Per request, from the list and the grades."""
    return lambda data: {request: value(data.ranked(request), grades) for request, grades in data.labels.items()}


def hits(slate: list[str], grades: dict[str, float]) -> list[bool]:
    return [grades.get(item, 0) >= 1 for item in slate]


def n_relevant(grades: dict[str, float]) -> int:
    return sum(grade >= 1 for grade in grades.values())


def dcg(gains: list[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def ndcg_5(slate: list[str], grades: dict[str, float]) -> float:
    ideal = dcg(sorted(grades.values(), reverse=True)[:5])
    return dcg([grades.get(item, 0) for item in slate[:5]]) / ideal if ideal else 0.0


def judged_only(slate: list[str], grades: dict[str, float]) -> list[str]:
    return [item for item in slate if item in grades]


def r_precision(slate: list[str], grades: dict[str, float]) -> float:
    return sum(hits(slate, grades)[: n_relevant(grades)]) / n_relevant(grades)


def rbp_by_grade(p: float) -> Callable[[list[str], dict[str, float]], float]:
    return lambda slate, grades: (1 - p) * sum(grades.get(item, 0) * p**at for at, item in enumerate(slate))


def bpref(slate: list[str], grades: dict[str, float]) -> float:
    relevant = n_relevant(grades)
    others = len(grades) - relevant
    if others == 0:
        return math.nan if any(hits(slate, grades)) else 0.0
    known = hits(judged_only(slate, grades), grades)
    gains = [
        1 - min(at + 1 - sum(known[: at + 1]), relevant) / min(relevant, others) for at, hit in enumerate(known) if hit
    ]
    return sum(gains) / relevant


def f_beta(beta: float, k: int | None = None) -> Callable[[list[str], dict[str, float]], float]:
    def value(slate: list[str], grades: dict[str, float]) -> float:
        found = sum(hits(slate, grades)[:k])
        precision, recall = found / (k or len(slate)), found / n_relevant(grades)
        return (1 + beta**2) * precision * recall / (beta**2 * precision + recall) if found else 0.0

    return value


def accuracy(slate: list[str], grades: dict[str, float]) -> float:
    known = hits(slate, grades)
    if not any(known):
        return math.nan
    above = sum(sum(not one for one in known[at:]) for at, hit in enumerate(known) if hit)
    return above / sum(known) / (len(known) - sum(known))


def partial_auc(most: int) -> Callable[[list[str], dict[str, float]], float]:
    """Of at most so many relevant items, against five that are not."""

    def value(slate: list[str], grades: dict[str, float]) -> float:
        known = hits(slate, grades)
        places = [at for at, hit in enumerate(known) if hit][:most]
        below = [max(0, 5 - sum(not one for one in known[:at])) for at in places]
        return sum(below) / (5 * min(n_relevant(grades), most))

    return value


def map_over_k(slate: list[str], grades: dict[str, float]) -> float:
    known = hits(slate, grades)[:5]
    return sum(sum(known[: at + 1]) / (at + 1) for at, hit in enumerate(known) if hit) / 5


def popularity(data: Data) -> dict[str, int]:
    counts: dict[str, int] = {}
    for _, item in data.history:
        counts[item] = counts.get(item, 0) + 1
    return counts


def popularity_share(data: Data) -> Values:
    counts = popularity(data)
    top = {request: data.ranked(request)[:5] for request in data.labels}
    return {
        request: sum(counts.get(item, 0) for item in items) / len(items) / len(data.history)
        for request, items in top.items()
    }


def serendipity(data: Data) -> Values:
    """An item's place by popularity: the most popular 1, equals alike, the next 2; beyond the catalogue where nobody had it."""
    counts, n = popularity(data), len(data.items)
    place = {count: rank for rank, count in enumerate(sorted(set(counts.values()), reverse=True), 1)}
    values = {}
    for request, grades in data.labels.items():
        top = data.ranked(request)[:5]
        gains = [
            max(0, (place[counts[item]] if item in counts else n + 1) - rank) / n * (grades.get(item, 0) >= 1)
            for rank, item in enumerate(top, 1)
        ]
        values[request] = sum(gains) / len(top)
    return values


def _number_of_hits(slate: list[str], grades: dict[str, float]) -> float:
    return sum(hits(slate, grades))


def _set_map(slate: list[str], grades: dict[str, float]) -> float:
    return sum(hits(slate, grades)) ** 2 / len(slate) / n_relevant(grades)


def _set_relative(slate: list[str], grades: dict[str, float]) -> float:
    return sum(hits(slate, grades)) / min(len(slate), n_relevant(grades))


BY_HAND: dict[tuple[str, str], Callable[[Data], Values]] = {
    (RANX, "ndcg@5-l2"): each(lambda slate, grades: ndcg_5(slate, {i: g * (g >= 2) for i, g in grades.items()})),
    (RANX, "r-precision@5"): each(r_precision),
    (RANX, "rbp.80"): each(rbp_by_grade(0.8)),
    (RANX, "rbp@10"): each(rbp_by_grade(0.1)),
    (RANX, "hits@5"): each(lambda slate, grades: sum(hits(slate, grades)[:5])),
    (RANX, "bpref"): each(bpref),
    (PYTREC, "num_rel_ret"): each(_number_of_hits),
    (PYTREC, "set_map"): each(_set_map),
    (PYTREC, "set_relative_P"): each(_set_relative),
    (IR, "P(judged_only=True)@5"): each(lambda slate, grades: sum(hits(judged_only(slate, grades), grades)[:5]) / 5),
    (IR, "nDCG(judged_only=True)@5"): each(lambda slate, grades: ndcg_5(judged_only(slate, grades), grades)),
    (IR, "NumRet(rel=1)"): each(_number_of_hits),
    (IR, "SetAP"): each(_set_map),
    (IR, "SetP(relative=True)"): each(_set_relative),
    (IR, "SetF(beta=2.0)"): each(f_beta(math.sqrt(2))),
    (IR, "Accuracy"): each(accuracy),
    (RECTOOLS, "NDCG(k=5)"): each(lambda slate, grades: dcg(hits(slate, grades)[:5]) / dcg([1.0] * 5)),
    (RECTOOLS, "MAP(k=5, divide_by_k=True)"): each(map_over_k),
    (RECTOOLS, "Precision(k=5, r_precision=True)"): each(
        lambda slate, grades: sum(hits(slate, grades)[:5]) / min(5, n_relevant(grades))
    ),
    (RECTOOLS, "F1Beta(k=5, beta=2)"): each(f_beta(2, 5)),
    (RECTOOLS, "PartialAUC(k=5)"): each(partial_auc(10**6)),
    (RECTOOLS, "PAP(k=5)"): each(partial_auc(5)),
    (RECTOOLS, "Serendipity(k=5)"): serendipity,
    (RECTOOLS, "AvgRecPopularity(k=5, normalize=True)"): popularity_share,
    (RECTOOLS, "CatalogCoverage(k=5)"): lambda data: len(
        {i for request in data.lists for i in data.ranked(request)[:5]}
    ),
    (RECTOOLS, "SufficientReco(k=5)"): each(lambda slate, _: len(slate) >= 5),
    (RECTOOLS, "SufficientReco(k=5, deep=True)"): each(lambda slate, _: min(len(slate), 5) / 5),
    (RECTOOLS, "CoveredUsers(k=5)"): each(lambda slate, _: 1),
}
