"""The strings of metrics: `name(parameter=...)@k`, the aliases that the field uses, and `module:name` for private ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from functools import cache
from math import isfinite
from typing import Any, ClassVar

from rankcast import plugins
from rankcast.errors import ConfigError, PluginError, clip, nearest
from rankcast.evaluate.metric import NEEDS, Metric, RequestMetric, VariantMetric
from rankcast.tables.expression import Expression

MOST_K = 1_000_000
MOST_CHARACTERS = 5_000

# What others call a metric -> our name and the parameters that make it the same number.
ALIASES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    **{
        alias: (name, {})
        for name, names in {
            "ap": "map average_precision mean_average_precision map_cut avgprec",
            "rr": "mrr recip_rank reciprocal_rank mean_reciprocal_rank",
            "precision": "p prec set_p",
            "recall": "r set_recall set_r",
            "f1": "set_f f_1 f1_score",
            "hit": "hit_rate hitrate hr success",
            "ndcg": "ndcg_cut normalized_discounted_cumulative_gain",
            "r_precision": "rprec rprecision",
            "rbp": "rank_biased_precision",
            "err": "expected_reciprocal_rank",
            "auc": "roc_auc",
            "list_length": "num_ret numret",
            "coverage": "catalog_coverage catalogue_coverage item_coverage",
            "gini": "gini_index",
            "entropy": "shannon_entropy",
            "novelty": "miuf mean_inv_user_freq",
            "popularity": "arp avg_rec_popularity",
            "diversity": "ild intra_list_diversity",
            "personalization": "personalisation",
        }.items()
        for alias in names.split()
    },
    "ndcg_burges": ("ndcg", {"gain": "exp"}),
    "ndcg_exp": ("ndcg", {"gain": "exp"}),
    "dcg_burges": ("dcg", {"gain": "exp"}),
    "relative_p": ("recall", {"norm": "cut"}),
    "unj": ("unjudged", {"norm": "cut"}),
}
# How others call a parameter, and its value where that differs.
_PARAMETERS = {"rel": "level", "max_rel": "max_grade", "dcg": "gain"}
_WORDS = {"gain": {"log2": "linear", "exp-log2": "exp"}}

_FORM = re.compile(
    r"^(?P<name>[A-Za-z_][\w.]*:[A-Za-z_]\w*|[A-Za-z]\w*?)"
    r"\s*(?:\((?P<parameters>.*)\))?\s*(?:(?:@|_at_|_)\s*(?P<k>[0-9]+))?(?:-l(?P<level>[0-9.]+))?$",
    re.DOTALL,
)
_PAIR = re.compile(
    r"""\s*(?P<key>[A-Za-z_]\w*)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,()"']+)\s*(?:,|$)""", re.DOTALL
)
_NUMBER = re.compile(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
_KINDS = {bool: "truth", int: "integer", float: "number"}  # of a private metric's plain default
_COLUMN = re.compile(r"^item\.\S.*$", re.DOTALL)


@dataclass(frozen=True)
class Unloaded(Metric):
    """A private metric by its string alone, where nothing of the study may be executed."""

    text: str = ""
    name: ClassVar[str] = "private"
    per_request: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.text


def parse(text: str, private: bool = True) -> Metric:
    """The metric that a string names. ConfigError says what is wrong with it. Without `private`, no foreign code is imported.

    >>> str(parse("nDCG@10")), str(parse("ndcg_cut_10")), str(parse("P(rel=2)@5")), str(parse("ap(norm=cut)@20"))
    ('ndcg@10', 'ndcg@10', 'precision(level=2)@5', 'ap(norm=cut)@20')
    >>> parse("ndgc@10")
    Traceback (most recent call last):
        ...
    rankcast.errors.ConfigError: `ndgc@10`: unknown metric `ndgc`; did you mean `ndcg`?
    """
    shown = clip(text, 80)
    form = _FORM.match(text.strip()) if len(text) <= MOST_CHARACTERS else None
    if form is None:
        raise ConfigError(f"`{shown}`: expected a metric such as `ndcg@10` or `precision(level=2)@5`")
    if form["k"] is not None and not 1 <= int(form["k"][:20]) <= MOST_K:
        raise ConfigError(f"`{shown}`: expected a cut-off from 1 to {MOST_K:,}")
    k = None if form["k"] is None else int(form["k"])
    if ":" in form["name"] and not private:
        return Unloaded(text=text.strip(), k=k)
    cls, given = _class_of(form["name"], shown)
    pairs = _pairs(form["parameters"] or "", shown)
    if form["level"] is not None:
        pairs.append(("level", form["level"]))
    try:
        parameters = _parameters(cls, pairs, given)
    except ConfigError as error:
        raise ConfigError(f"`{shown}`: {error.problems[0].message}") from error
    if ":" not in form["name"]:
        return cls(**parameters, k=k)
    with plugins.private(form["name"]):
        metric = cls(**parameters, k=k)
        odd = sorted(need for need in metric.needs() if need not in NEEDS and not _COLUMN.match(need))
        if odd:
            raise ValueError(f"needs() says `{odd[0]}`; expected item.<column> or one of {', '.join(sorted(NEEDS))}")
    return metric


def default_level(metric: Metric, level: float | None) -> Metric:
    """The metric with another least relevant grade, where it has such a parameter and does not say its own."""
    own = next((part for part in fields(metric) if part.name == "level"), None)
    if level is None or own is None or metric.level != own.default:  # type: ignore[attr-defined]
        return metric
    return replace(metric, level=level)  # type: ignore[call-arg]


def _class_of(word: str, shown: str) -> tuple[type[Metric], Mapping[str, str]]:
    if ":" in word:
        return _private(word), {}
    known = plugins.names(plugins.METRICS)
    name, given = ALIASES.get(word.lower(), (word.lower() if word.lower() in known else word, {}))
    if name not in known:
        hint = nearest(word.lower(), [*known, *ALIASES])
        hint = hint if "did you mean" in hint else "; `rankcast metrics` lists what there is"
        raise ConfigError(f"`{shown}`: unknown metric `{clip(word, 40)}`{hint}")
    return plugins.load(plugins.METRICS, name), given


@cache
def _private(word: str) -> type[Metric]:
    """The class behind `module:name`; its instances print that name, so that their string finds them again."""
    found = plugins.load_private(word, fresh=True)
    bases = (RequestMetric, VariantMetric)
    if not isinstance(found, type) or found in bases or not issubclass(found, bases) or not is_dataclass(found):
        raise PluginError(f"`{word}` is no metric: expected a frozen dataclass of RequestMetric or VariantMetric")
    return type(found.__name__, (found,), {"name": word, "__module__": found.__module__, "__doc__": found.__doc__})


def _pairs(text: str, shown: str) -> list[tuple[str, str]]:
    pairs, at = [], 0
    while text[at:].strip():
        pair = _PAIR.match(text, at)
        if pair is None:
            raise ConfigError(
                f"`{shown}`: cannot read the parameters from `{clip(text[at:].strip(), 40)}` on; expected `name=value`, the "
                'value in "..." where it holds spaces, commas or parentheses'
            )
        pairs.append((pair["key"], pair["value"]))
        at = pair.end()
    return pairs


def _parameters(cls: type[Metric], pairs: list[tuple[str, str]], given: Mapping[str, str]) -> dict[str, Any]:
    known = {part.name: part for part in fields(cls) if part.name != "k"}
    found: dict[str, Any] = dict(given)
    for key, value in pairs:
        name = key if key in known else _PARAMETERS.get(key, key)
        if name not in known:
            raise ConfigError(
                f"unknown parameter `{key}`{nearest(key, known) if known else f'; `{cls.name}` has none'}"
            )
        if name in found:
            raise ConfigError(f"parameter `{name}` is given twice")
        found[name] = _value(_unquoted(value), known[name], key)
    missing = [name for name, part in known.items() if part.metadata.get("required") and name not in found]
    if missing:
        example = "item.category" if known[missing[0]].metadata["kind"] == "column" else '"item.is_new"'
        raise ConfigError(f"`{missing[0]}` is needed, such as `{cls.name}({missing[0]}={example})`")
    return found


def _unquoted(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text, strict=False))
        except json.JSONDecodeError as error:
            raise ConfigError(f"{text}: {error.msg}; write a backslash as \\\\") from error
    return text[1:-1] if text.startswith("'") else text


def _value(text: str, part: Field[Any], key: str) -> Any:
    facts = part.metadata
    kind = facts.get("kind", _KINDS.get(type(part.default), "text"))
    if kind == "choice":
        text = _WORDS.get(part.name, {}).get(text, text)
        if text not in facts["choices"]:
            raise ConfigError(f"{key}={text}; expected {' or '.join(facts['choices'])}")
        return text
    if kind == "number":
        return _number(text, facts, key)
    if kind == "integer":
        return int(_number(text, {}, key, whole=True))
    if kind == "truth":
        if text not in {"true", "false"}:
            raise ConfigError(f"{key}={text}; expected true or false")
        return text == "true"
    if kind == "column":
        if not _COLUMN.match(text):
            raise ConfigError(f"{key}={text}; expected a column of items, such as item.category")
        return text
    if kind == "condition":
        Expression.parse(text, scopes=("item",), score=False)
    return text


def _number(text: str, facts: Mapping[str, Any], key: str, whole: bool = False) -> float:
    number = float(text) if _NUMBER.match(text) else float("nan")
    most = facts.get("most", float("inf"))
    inside = (0 < number < most if facts.get("below") else 0 < number <= most) if facts else isfinite(number)
    if not inside or (whole and not number.is_integer()):
        bound = f" above 0, {'below' if facts.get('below') else 'at most'} {most:,g}" if facts else ""
        raise ConfigError(f"{key}={text}; expected {'a whole' if whole else 'a'} number{bound}")
    return number
