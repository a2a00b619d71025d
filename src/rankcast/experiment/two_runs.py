"""Two runs of one service held against each other: what differs beyond the treatment; then, if nothing does, the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import polars as pl

from rankcast.comparison.table import MetricColumn, Part, Terms, ValuesTable
from rankcast.comparison.verdicts import compare
from rankcast.errors import RunError, clip, show
from rankcast.records import ComparisonRow
from rankcast.runs.folder import Run
from rankcast.tables import columns as c
from rankcast.tables.valuesets import group_codes

_FREE = {
    "study",
    "owner",
    "why",
    "expect",
    "treatment",
    "variants",
    "metrics",
    "segments",
    "fidelity",
    "online",
    "service",
}
_SHOWN = 60
_NOTHING = object()


@dataclass(frozen=True)
class TwoRuns:
    """`differs`: what is not the same and is no treatment. `rows`: variants of the first run against those of the second."""

    first: str
    second: str
    differs: tuple[str, ...]
    requests: int
    rows: tuple[ComparisonRow, ...]

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "run": self.first,
            "against": self.second,
            "differs": list(self.differs),
            "n_requests": self.requests,
            "comparisons": [row.model_dump(mode="json") for row in self.rows],
        }


def compare_runs(first: Run, second: Run, anyway: bool = False) -> TwoRuns:
    """The decided variants of one run against those of another, on the requests that both judged.

    RunError where the services differ, and where anything else differs beyond the treatment unless `anyway`.
    """
    ours, theirs = (run.manifest["plan"] for run in (first, second))
    names = [plan["service"]["service"] for plan in (ours, theirs)]
    if names[0] != names[1]:
        raise RunError(
            f"{first.id} is a run of the service {show(names[0])}, {second.id} of {show(names[1])}; only runs of one service can "
            "be compared"
        )
    differs = tuple(_differences(first, second))
    if differs and not anyway:
        raise RunError(
            f"{first.id} and {second.id} differ in more than their treatment, so that a difference would not be the treatment's: "
            f"{'; '.join(differs)}. Run both studies again on the same inputs, or look at the numbers all the same with --anyway"
        )
    values, requests = _together(first, second)
    return TwoRuns(first.id, second.id, differs, requests, tuple(_rows(first, second, values)))


def _differences(first: Run, second: Run) -> Iterator[str]:
    one, other = first.manifest, second.manifest
    yield from _unlike(one["plan"]["service"], other["plan"]["service"], "service")
    studies = [{key: value for key, value in run["plan"]["study"].items() if key not in _FREE} for run in (one, other)]
    yield from _unlike(studies[0], studies[1], "study")
    baselines = [run["plan"]["study"]["variants"][run["plan"]["study"]["baseline"]] for run in (one, other)]
    yield from _unlike(baselines[0], baselines[1], "the baseline")
    yield from _data(one, other)
    if one["code"] != other["code"]:
        yield "code: two versions of Rankcast made them"
    shared = set(one["private_code"]) & set(other["private_code"])
    for module in sorted(name for name in shared if one["private_code"][name] != other["private_code"][name]):
        yield f"code: module {module}"
    for package in sorted(set(one["packages"]) | set(other["packages"])):
        versions = [run["packages"].get(package) for run in (one, other)]
        if versions[0] != versions[1]:
            yield f"package {package}: {versions[0]} and {versions[1]}"
    if one["variables"] != other["variables"] and one["plan"]["service"] == other["plan"]["service"]:
        yield "what environment variables fill in"
    if (
        first.results.targets != second.results.targets
        and one["plan"]["study"]["period"] == other["plan"]["study"]["period"]
    ):
        yield "targets: their ledgers are not the same"


def _unlike(one: Any, other: Any, where: str) -> Iterator[str]:
    """Where two plans say different things."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            yield from _unlike(one.get(key, _NOTHING), other.get(key, _NOTHING), f"{where}.{key}")
    elif one != other:
        shown = ("nothing" if value is _NOTHING else clip(show(value), _SHOWN) for value in (one, other))
        yield f"{where}: {' and '.join(shown)}"


def _data(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Files that both read and that are not the same, and files that only one read, if they are no variant's own."""
    ours, theirs = ({file["path"]: file["hash"] for file in run["data"]} for run in (one, other))
    own = [*_own_paths(one), *_own_paths(other)]
    for path in sorted(set(ours) | set(theirs)):
        if path in ours and path in theirs:
            if ours[path] != theirs[path]:
                yield f"data: {path} has another content"
        elif not any(fnmatchcase(path, pattern) for pattern in own):
            yield f"data: {path} was read by one of them only"


def _own_paths(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Where the variants of a study, the baseline aside, take their scores, candidates and models from."""
    study = manifest["plan"]["study"]
    for name, variant in study["variants"].items():
        if name != study["baseline"]:
            yield from _paths(variant)


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in {"path", "reads"}:
                yield from [inner] if isinstance(inner, str) else inner
            elif key == "files":
                for written in inner.values():
                    yield from [written] if isinstance(written, str) else written
            else:
                yield from _paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner)


def _together(first: Run, second: Run) -> tuple[dict[tuple[int, str], pl.DataFrame], int]:
    """By run and variant, the values of the requests that both judged, in order of request_id."""
    one, other = first.values, second.values
    if one[c.REQUEST_ID].dtype != other[c.REQUEST_ID].dtype:
        raise RunError("the two have request ids of different types: they share no request")
    shared = one.select(c.REQUEST_ID).unique().join(other.select(c.REQUEST_ID).unique(), on=c.REQUEST_ID, how="semi")
    if not len(shared):
        raise RunError(f"{first.id} and {second.id} judged no request in common")
    found = {}
    for number, frame in enumerate((one, other)):
        kept = frame.join(shared, on=c.REQUEST_ID, how="semi").sort(c.REQUEST_ID)
        for variant in kept[c.VARIANT].unique().to_list():
            found[number, variant] = kept.filter(pl.col(c.VARIANT) == variant)
    return found, len(shared)


def _rows(first: Run, second: Run, values: Mapping[tuple[int, str], pl.DataFrame]) -> Iterator[ComparisonRow]:
    """Baseline against baseline (which says whether anything else moved), then every decided variant against every other."""
    ours, theirs = (run.manifest["plan"]["study"] for run in (first, second))
    yield from _pair(first, second, ours["baseline"], theirs["baseline"], values, decided=False)
    for variant in first.decision:
        for other in second.decision:
            yield from _pair(first, second, variant, other, values, decided=True)


def _pair(
    first: Run,
    second: Run,
    variant: str,
    other: str,
    values: Mapping[tuple[int, str], pl.DataFrame],
    decided: bool,
) -> Iterable[ComparisonRow]:
    ours, theirs = values[0, variant], values[1, other]
    names = [f"{variant} ({first.id})", f"{other} ({second.id})"]
    study = first.manifest["plan"]["study"]
    primary = study["metrics"]["primary"]
    directions = {row.metric for row in first.results.comparisons}
    metrics = [name for name in ours.columns if name in theirs.columns and name in directions]
    if not metrics:
        raise RunError(f"{first.id} and {second.id} have no metric in common")
    columns = tuple(
        MetricColumn(
            name,
            "primary" if decided and name == primary else "exploration",
            _higher_is_better(name),
            {names[0]: _numbers(ours[name]), names[1]: _numbers(theirs[name])},
        )
        for name in metrics
    )
    table = ValuesTable(
        baseline=names[1],
        variants=(names[1], names[0]),
        decided=frozenset({names[0]} if decided else ()),
        user=group_codes(ours[c.USER_ID]),
        weight=ours["weight"].to_numpy(),
        parts=(Part(None, np.ones(len(ours), dtype=bool)),),
        metrics=columns,
    )
    told = study["compare"]
    terms = Terms(
        told["confidence"],
        told["smallest_effect"],
        told["correction"],
        study["seed"],
        told["method"],
        told["replications"],
    )
    return compare(table, terms).comparisons


def _higher_is_better(name: str) -> bool:
    from rankcast.evaluate.grammar import parse

    return parse(name).higher_is_better


def _numbers(series: pl.Series) -> np.ndarray:
    return series.fill_null(np.nan).to_numpy()
