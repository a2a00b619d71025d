"""Two runs of one service held against each other: what differs beyond the treatment; then, if nothing does, the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import polars as pl

from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import MetricColumn, Part, Terms, ValuesTable
from rankcast.comparison.verdicts import Judged, differences, with_verdicts
from rankcast.config.comparing import Compare
from rankcast.display import html_table
from rankcast.errors import RunError, clip, show
from rankcast.experiment.merge import CLUSTER
from rankcast.records import ComparisonRow
from rankcast.runs.folder import Run
from rankcast.tables import columns as c
from rankcast.tables.valuesets import group_codes
from rankcast.text import COMPARED, compared

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


@dataclass(frozen=True)
class TwoRuns:
    """`differs`: what is not the same and is no treatment. `rows`: variants of the first run against those of the second.
    `left_out`: metrics that only one of them has, or that are one number per variant.
    """

    first: str
    second: str
    differs: tuple[str, ...]
    requests: int
    rows: tuple[ComparisonRow, ...]
    left_out: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        head = ("variant", "against", *COMPARED[1:])
        rows = [(row.variant, row.baseline, *compared(row)[1:]) for row in self.rows]
        notes = [f"differs beyond the treatment: {line}" for line in self.differs]
        if self.left_out:
            only = "only one run has them, or they are one number per variant"
            notes.append(f"left out, since {only}: {', '.join(self.left_out)}")
        title = f"{self.first} against {self.second}, on {self.requests:,} requests that both judged"
        return html_table(head, rows, notes, title)

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "run": self.first,
            "against": self.second,
            "differs": list(self.differs),
            "n_requests": self.requests,
            "left_out": list(self.left_out),
            "comparisons": [row.model_dump(mode="json") for row in self.rows],
        }


def compare_runs(first: Run, second: Run, anyway: bool = False) -> TwoRuns:
    """The decided variants of one run against those of another, on the requests that both judged.

    RunError where the services differ, and where anything else differs beyond the treatment unless `anyway`.
    """
    for run in (first, second):
        _check(run)
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
    rows = _rows(first, second, values)
    shown = {row.metric for row in rows}
    left_out = tuple(name for name in dict.fromkeys((*_metrics(first), *_metrics(second))) if name not in shown)
    return TwoRuns(first.id, second.id, differs, requests, rows, left_out)


_NEEDED = (
    *("plan.service.service", "plan.study.baseline", "plan.study.variants", "plan.study.period", "plan.study.compare"),
    *("plan.study.metrics.primary", "plan.study.seed", "data", "code", "private_code", "packages", "variables"),
    "files.service.text",
)


def _check(run: Run) -> None:
    """RunError where a manifest does not say what it takes to compare its run."""
    for path in _NEEDED:
        found: Any = run.manifest
        for key in path.split("."):
            found = found.get(key) if isinstance(found, dict) else None
            if found is None:
                raise RunError(
                    f"{run.folder / 'manifest.json'} cannot be compared: `{path}` is missing; run the study again"
                )


def _differences(first: Run, second: Run) -> Iterator[str]:
    one, other = first.manifest, second.manifest
    for run in (first, second):
        for variant, decision in run.decision.items():
            if decision.decision == "invalid":
                yield f"{variant} of {run.id} is invalid: {decision.because}"
    yield from _unlike(one["plan"]["service"], other["plan"]["service"], "service")
    studies = [{key: value for key, value in run["plan"]["study"].items() if key not in _FREE} for run in (one, other)]
    yield from _unlike(studies[0], studies[1], "study")
    yield from _unlike(_baseline(one), _baseline(other), "the baseline")
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
    if one["variables"] != other["variables"] and any("${" in run["files"]["service"]["text"] for run in (one, other)):
        yield "what environment variables fill in may not be the same"
    if (
        first.results.targets != second.results.targets
        and one["plan"]["study"]["period"] == other["plan"]["study"]["period"]
    ):
        yield "targets: their ledgers are not the same"


def _unlike(one: Any, other: Any, where: str) -> Iterator[str]:
    """Where two plans say different things."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(set(one) | set(other)):
            yield from _unlike(one.get(key), other.get(key), f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        for at in range(max(len(one), len(other))):
            ours, theirs = (value[at] if at < len(value) else None for value in (one, other))
            yield from _unlike(ours, theirs, f"{where}[{at}]")
    elif one != other:
        shown = (clip(show(value), _SHOWN) for value in (one, other))
        yield f"{where}: {' and '.join(shown)}"


def _data(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Files that both read and that are not the same, and files that only one read, if they are no variant's own."""
    ours, theirs = ({file["path"]: file["hash"] for file in run["data"]} for run in (one, other))
    own, common = [*_own_paths(one), *_own_paths(other)], [*_paths(_baseline(one)), *_paths(_baseline(other))]

    def is_treatment(path: str) -> bool:
        return any(fnmatchcase(path, name) for name in own) and not any(fnmatchcase(path, name) for name in common)

    for path in sorted(set(ours) | set(theirs)):
        if path in ours and path in theirs:
            if ours[path] != theirs[path] and not is_treatment(path):
                yield f"data: {path} has another content"
        elif not is_treatment(path):
            yield f"data: {path} was read by one of them only"


def _baseline(manifest: Mapping[str, Any]) -> Any:
    study = manifest["plan"]["study"]
    return study["variants"][study["baseline"]]


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


def _rows(first: Run, second: Run, values: Mapping[tuple[int, str], pl.DataFrame]) -> tuple[ComparisonRow, ...]:
    """Baseline against baseline (which says whether anything else moved), then every decided variant against every other, with p
    adjusted over all of them.
    """
    ours, theirs = (run.manifest["plan"]["study"] for run in (first, second))
    terms = _terms(ours)
    rows = _pair(first, second, ours["baseline"], theirs["baseline"], values, terms, decided=False)
    for variant in first.decision:
        for other in second.decision:
            rows += _pair(first, second, variant, other, values, terms, decided=True)
    return with_verdicts(rows, terms)


def _terms(study: Mapping[str, Any]) -> Terms:
    declared = Compare().model_dump() | study["compare"]  # an earlier version knew fewer keys
    return Terms(
        declared["confidence"],
        declared["smallest_effect"],
        declared["correction"],
        study["seed"],
        declared["method"],
        declared["replications"],
    )


def _pair(
    first: Run,
    second: Run,
    variant: str,
    other: str,
    values: Mapping[tuple[int, str], pl.DataFrame],
    terms: Terms,
    decided: bool,
) -> list[Judged]:
    ours, theirs = values[0, variant], values[1, other]
    names = [f"{variant} ({first.id})", f"{other} ({second.id})"]
    if names[0] == names[1]:  # a run against itself, or a copy of it
        names[1] += " again"
    primary = first.manifest["plan"]["study"]["metrics"]["primary"]
    metrics = [name for name in _metrics(first) if name in ours.columns and name in theirs.columns]
    if not metrics:
        raise RunError(f"{first.id} and {second.id} have no metric with a value per request in common")
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
        others=ours[CLUSTER].to_numpy() if CLUSTER in ours.columns else None,
    )
    estimator = Estimator(table, terms)
    return [row for metric in columns for row in differences(estimator, metric)]


def _metrics(run: Run) -> list[str]:
    """The metrics of a run, in its order."""
    return list(dict.fromkeys(row.metric for row in run.results.comparisons))


def _higher_is_better(name: str) -> bool:
    from rankcast.evaluate.grammar import parse

    return parse(name).higher_is_better


def _numbers(series: pl.Series) -> np.ndarray:
    return series.fill_null(np.nan).to_numpy()
