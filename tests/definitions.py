"""Every metric as its definition says, in plain Python. Shares nothing with the package."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any


def split(name: str) -> tuple[str, dict[str, str], int | None]:
    """(word, parameters, k) of a canonical string."""
    found = re.fullmatch(r"(\w+?)(?:\((.*)\))?(?:@(\d+))?", name)
    assert found, name
    word, inner, cut = found.groups()
    return word, dict(pair.split("=", 1) for pair in (inner or "").split(", ") if pair), int(cut) if cut else None


def value(
    name: str,
    slate: Sequence[Hashable],
    labels: Mapping[Any, float],
    groups: Mapping[Any, Any] | None = None,
    history: Sequence[tuple[Any, Any]] = (),
) -> float:
    """The metric of one list; NaN where it is not measurable. Grades of 0 are judged and not relevant.

    `groups` gives the value of each item's column; `history` are (user, item) pairs. A repeated item counts at its first place.
    """
    word, options, k = split(name)
    once = [None if item in slate[:at] else item for at, item in enumerate(slate)][:k]
    if word in {"dcg", "ndcg"}:
        return _gained(word, options, once, labels, k)
    if word in {"list_length", "empty"}:
        return float(len(slate[:k])) if word == "list_length" else float(not slate)
    if word in {"judged", "unjudged"}:
        known = sum(item in labels for item in once)
        size = k if options.get("norm") == "cut" and k else len(slate[:k])
        found = known if word == "judged" else len(slate[:k]) - known
        return found / size if size else math.nan
    if word in {"diversity", "novelty", "popularity"}:
        return _beyond(word, [item for item in once if item is not None], groups or {}, history, len(slate[:k]))
    level = float(options.get("level", 0))
    relevant = {item for item, grade in labels.items() if grade > 0 and grade >= level}
    hits = [rank for rank, item in enumerate(once, start=1) if item in relevant]
    if word == "precision":
        return len(hits) / (k or max(1, len(slate)))
    if word == "hit":
        return float(bool(hits))
    if word == "rr":
        return 1 / hits[0] if hits else 0.0
    if word == "rbp":
        p = float(options["p"])
        return (1 - p) * sum(p ** (rank - 1) for rank in hits)
    if word == "err":
        return _err(once, labels, float(options.get("max_grade", 4)))
    if word == "serendipity":
        size = k or max(1, len(slate))
        counts = {item: sum(other == item for _, other in history) for _, item in history}
        obvious = sorted(counts, key=lambda item: (-counts[item], item))[: k or len(slate)]
        return sum(once[rank - 1] not in obvious for rank in hits) / size
    if not relevant:
        return math.nan
    return _against_all(word, options, once, relevant, hits, labels, k)


def _against_all(
    word: str,
    options: Mapping[str, str],
    once: Sequence[Any],
    relevant: set[Any],
    hits: Sequence[int],
    labels: Mapping[Any, float],
    k: int | None,
) -> float:
    """What is divided by the relevant items of the request, shown or not."""
    all_of_them = len(relevant)
    fewest = min(all_of_them, k) if k and options.get("norm") == "cut" else all_of_them
    if word == "recall":
        return len(hits) / fewest
    if word == "ap":
        return sum(number / rank for number, rank in enumerate(hits, start=1)) / fewest
    if word == "f1":
        precision, recall = len(hits) / (k or max(1, len(once))), len(hits) / all_of_them
        return 2 * precision * recall / (precision + recall) if hits else 0.0
    if word == "r_precision":
        return sum(rank <= all_of_them for rank in hits) / all_of_them
    if word == "bpref":
        judged_not = len(labels) - all_of_them
        total = 0.0
        for rank in hits:
            above = sum(item in labels and item not in relevant for item in once[: rank - 1])
            total += 1 - (min(above, all_of_them) / min(judged_not, all_of_them) if above else 0)
        return total / all_of_them
    assert word == "auc", word
    others = [rank for rank in range(1, len(once) + 1) if rank not in hits]
    if not others:
        return len(hits) / all_of_them
    return sum(one < other for one in hits for other in others) / (len(others) * all_of_them)


def _gained(
    word: str, options: Mapping[str, str], once: Sequence[Any], labels: Mapping[Any, float], k: int | None
) -> float:
    gain = {"exp": lambda g: 2**g - 1, "binary": lambda g: float(g > 0)}.get(options.get("gain", ""), lambda g: g)
    discount = {
        "log2_from_2": lambda rank: max(1, math.log2(rank)),
        "reciprocal": lambda rank: rank,
        "none": lambda rank: 1,
    }.get(options.get("discount", ""), lambda rank: math.log2(rank + 1))

    def total(grades: Sequence[float]) -> float:
        return sum(gain(grade) / discount(rank) for rank, grade in enumerate(grades, start=1))

    dcg = total([labels.get(item, 0.0) for item in once])
    ideal = total(sorted(labels.values(), reverse=True)[:k])
    return dcg if word == "dcg" else dcg / ideal if ideal > 0 else math.nan


def _err(once: Sequence[Any], labels: Mapping[Any, float], most: float) -> float:
    total, going_on = 0.0, 1.0
    for rank, item in enumerate(once, start=1):
        satisfied = (2 ** labels.get(item, 0.0) - 1) / 2**most
        total += going_on * satisfied / rank
        going_on *= 1 - satisfied
    return total


def _beyond(
    word: str, shown: Sequence[Any], groups: Mapping[Any, Any], history: Sequence[tuple[Any, Any]], length: int
) -> float:
    if word == "diversity":
        pairs = [(one, other) for at, one in enumerate(shown) for other in shown[at + 1 :]]
        return sum(groups.get(one) != groups.get(other) for one, other in pairs) / len(pairs) if pairs else 0.0
    everyone = {user for user, _ in history}
    if word != "diversity" and not everyone:
        return math.nan
    users = {item: {user for user, other in history if other == item} for item in shown}
    worth = [
        math.log2(len(everyone) / max(1, len(users[item])))
        if word == "novelty"
        else sum(other == item for _, other in history)
        for item in shown
    ]
    return sum(worth) / length if shown else 0.0


def pooled(
    name: str,
    slates: Mapping[Any, Sequence[Any]],
    user: Mapping[Any, Any],
    groups: Mapping[Any, Any],
    available: set[Any],
) -> float:
    """A metric with one value over all lists: `slates` by request, the `user` of each; NaN where it is not measurable."""
    word, _, k = split(name)
    tops = {request: list(dict.fromkeys(slate))[:k] for request, slate in slates.items()}
    shown = [item for top in tops.values() for item in top]
    if word == "coverage":
        return len(available & set(shown)) / len(available) if available else math.nan
    if word == "gini":
        return _gini([shown.count(item) for item in available])
    if word == "exposure_gini":
        kinds = {groups[item] for item in available if groups.get(item) is not None}
        return _gini([sum(groups.get(item) == kind for item in shown) for kind in kinds])
    if word == "exposure_share":
        return sum(groups.get(item) == "a" for item in shown) / len(shown) if shown else math.nan
    if word == "entropy":
        shares = [shown.count(item) / len(shown) for item in set(shown)]
        return -sum(share * math.log2(share) for share in shares) if shown else math.nan
    assert word == "personalization", word
    lists = [(user[request], set(top)) for request, top in tops.items() if top]
    alike = [
        len(one & other) / math.sqrt(len(one) * len(other))
        for at, (asker, one) in enumerate(lists)
        for stranger, other in lists[at + 1 :]
        if asker != stranger
    ]
    return 1 - sum(alike) / len(alike) if alike else math.nan


def _gini(amounts: Sequence[float]) -> float:
    """Half the mean absolute difference between two members, over the mean."""
    n, total = len(amounts), sum(amounts)
    return sum(abs(one - other) for one in amounts for other in amounts) / (2 * n * total) if total else math.nan
