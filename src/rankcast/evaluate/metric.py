"""A metric is a value: `name(parameter=...)@k`. Its string parses to it and prints back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from rankcast import plugins
from rankcast.errors import ConfigError, nearest
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import sum_by

Gain = Literal["linear", "exp"]
Norm = Literal["all", "cut"]

ALIASES = {
    "map": "ap", "mrr": "rr", "mean_reciprocal_rank": "rr", "reciprocal_rank": "rr", "recip_rank": "rr",
    "p": "precision", "r": "recall", "prec": "precision", "hit_rate": "hit", "hitrate": "hit", "hr": "hit",
    "success": "hit", "ndcg_cut": "ndcg", "map_cut": "ap", "average_precision": "ap",
}  # fmt: skip
LATER = frozenset({
    "f1", "rbp", "err", "bpref", "auc", "r_precision", "judged", "unjudged", "gini", "entropy", "exposure_gini",
    "exposure_share", "novelty", "popularity", "diversity", "personalization", "serendipity",
})  # fmt: skip

MOST_K = 1_000_000
MOST_PARAMETER = 1_000_000
_FORM = re.compile(
    r"^\s*(?P<name>[A-Za-z][A-Za-z0-9_]*?)\s*(\((?P<parameters>[^()]*)\))?\s*((@|_at_|_)\s*(?P<k>[0-9]+))?\s*$"
)


@dataclass(frozen=True)
class Judged:
    """Slates of one variant held against the labels of n targets.

    `hit_*`: the labelled items in the slates, by target and rank (from 1); `label_*`: all labels, by target and grade, best
    first; `length`: how long each slate is.
    """

    n: int
    length: Ints
    hit_target: Ints
    hit_rank: Ints
    hit_grade: Floats
    label_target: Ints
    label_grade: Floats

    def sum_hits(self, contributions: Floats) -> Floats:
        """Sum of contributions of hits, per target."""
        return sum_by(self.hit_target, contributions, self.n)

    def relevant(self, level: float) -> Bools:
        """Which hits count as relevant: a grade above 0 that reaches the level."""
        return is_relevant(self.hit_grade, level)

    def relevant_labels(self, level: float) -> Floats:
        """R, the number of relevant labels, per target."""
        return sum_by(self.label_target, is_relevant(self.label_grade, level), self.n)

    def relevant_hits(self, level: float, k: int | None) -> Floats:
        """Number of relevant hits within rank k, per target."""
        return self.sum_hits((self.relevant(level) & within(self.hit_rank, k)).astype(np.float64))


@dataclass(frozen=True)
class Metric:
    """What all metrics have: a cut-off k (None: the whole list), a direction, a page."""

    k: int | None = field(default=None, kw_only=True)

    name: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    per_request: ClassVar[bool] = True
    version: ClassVar[int] = 1

    def __str__(self) -> str:
        shown = [
            f"{part.name}={_print(getattr(self, part.name))}"
            for part in fields(self)
            if part.name != "k" and getattr(self, part.name) != part.default
        ]
        return self.name + (f"({', '.join(shown)})" if shown else "") + (f"@{self.k}" if self.k is not None else "")


class RequestMetric(Metric):
    """A metric with a value per request."""

    def values(self, judged: Judged) -> Floats:
        """The metric's value for each of the n targets; NaN where it is not measurable."""
        raise NotImplementedError


def parse(text: str) -> Metric:
    """The metric that a string names. ConfigError says what is wrong with it.

    >>> str(parse("nDCG@10")), str(parse("ndcg_cut_10")), str(parse("P@5")), str(parse("ap(norm=cut)@20"))
    ('ndcg@10', 'ndcg@10', 'precision@5', 'ap(norm=cut)@20')
    >>> parse("ndgc@10")
    Traceback (most recent call last):
        ...
    rankcast.errors.ConfigError: `ndgc@10`: unknown metric `ndgc`; did you mean `ndcg`?
    """
    form = _FORM.match(text)
    if form is None:
        raise ConfigError(f"`{text}`: expected a metric such as `ndcg@10` or `precision(level=2)@5`")
    word = form["name"].lower()
    name = ALIASES.get(word, word)
    if name in LATER:
        raise ConfigError(
            f"`{text}`: metric `{name}` is not available yet; there are {', '.join(plugins.names(plugins.METRICS))}"
        )
    if name not in plugins.names(plugins.METRICS):
        known = plugins.names(plugins.METRICS)
        raise ConfigError(f"`{text}`: unknown metric `{word}`{nearest(word, [*known, *ALIASES])}")
    cls = plugins.load(plugins.METRICS, name)
    if form["k"] is not None and not 1 <= int(form["k"][:20]) <= MOST_K:
        raise ConfigError(f"`{text}`: expected a cut-off from 1 to {MOST_K:,}")
    metric: Metric = cls(
        **_parameters(form["parameters"] or "", cls, text), k=None if form["k"] is None else int(form["k"])
    )
    return metric


def _parameters(text: str, cls: type[Metric], whole: str) -> dict[str, Any]:
    known = {part.name: part for part in fields(cls) if part.name != "k"}
    given: dict[str, Any] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or key not in known:
            hint = nearest(key, known) if known else f"; `{cls.name}` has none"
            raise ConfigError(f"`{whole}`: unknown parameter `{key}`{hint}")
        if key in given:
            raise ConfigError(f"`{whole}`: parameter `{key}` is given twice")
        given[key] = _value(value, known[key].metadata, whole, key)
    return given


def _value(text: str, metadata: Any, whole: str, key: str) -> Any:
    choices = metadata.get("choices")
    if choices is not None:
        if text not in choices:
            raise ConfigError(f"`{whole}`: {key}={text}; expected {' or '.join(choices)}")
        return text
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number <= MOST_PARAMETER:
        raise ConfigError(f"`{whole}`: {key}={text}; expected a number above 0, at most {MOST_PARAMETER:,}")
    return number


def _print(value: Any) -> str:
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def choice(default: str, options: Any) -> Any:
    """A parameter with closed choices, a Literal."""
    return field(default=default, metadata={"choices": get_args(options)})


def level() -> Any:
    """The parameter `level`: the least grade that is relevant. Above 0 whatever it says."""
    return field(default=0.0)


def within(ranks: Ints, k: int | None) -> Bools:
    """Which ranks lie within the cut-off."""
    return np.ones(len(ranks), dtype=bool) if k is None else ranks <= k


def is_relevant(grades: Floats, least: float) -> Bools:
    """Which grades are relevant: above 0, and at least `least`."""
    return (grades > 0) & (grades >= least)


def gains(grades: Floats, gain: str) -> Floats:
    """Grades as gains: linear g, or exponential 2^g - 1."""
    return grades if gain == "linear" else np.exp2(grades) - 1.0


def discounts(ranks: Ints) -> Floats:
    """1 / log2(rank + 1)."""
    weights: Floats = 1.0 / np.log2(ranks + 1.0)
    return weights


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Numerator over denominator; NaN, that is not measurable, where the denominator is 0."""
    share: Floats = np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
    return share
