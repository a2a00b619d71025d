"""summary.json: what a list of runs shows of each, in a few kilobytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict

from rankcast.records import Record, Result, Value

_DECISIONS = frozenset({"go", "no-go", "undecided", "invalid"})


class Change(Record):
    """A metric of a variant against the baseline, over all targets."""

    model_config = ConfigDict(allow_inf_nan=False)

    variant: str
    metric: str
    difference: float | None
    relative: float | None
    low: float | None
    high: float | None
    relative_low: float | None
    relative_high: float | None
    baseline_value: float | None
    verdict: str | None

    @property
    def shown_bounds(self) -> tuple[float, float] | None:
        """The interval of the relative difference, as it is shown."""
        if self.relative_low is None or self.relative_high is None:
            return None
        return self.relative_low, self.relative_high


class Summary(Record):
    """A run in short. `changes`: the primary metric first; `replay`: the id of its lists."""

    model_config = ConfigDict(allow_inf_nan=False)

    rankcast: int = 1
    study: str
    run: str
    service: str
    owner: str | None
    started: str
    period: tuple[str, str]
    decision: dict[str, str]
    because: dict[str, str]
    primary: str
    fidelity: float | None
    targets: int
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    changes: tuple[Change, ...]
    replay: str | None = None

    def matches(self, words: str) -> bool:
        """Whether every word occurs in its study, id, service, owner, variants or findings, or is a decision of it.

        >>> example().matches("two-tower go"), example().matches("two-tower no-go")
        (True, False)
        """
        told = (self.study, self.run, self.service, self.owner or "", *self.errors, *self.warnings, *self.decision)
        text, decided = " ".join(told).casefold(), set(self.decision.values())
        return all(word in decided if word in _DECISIONS else word in text for word in words.casefold().split())


def summary_of(result: Result, manifest: Mapping[str, Any]) -> Summary:
    """A run in short."""
    study, fired = manifest["plan"]["study"], [one for one in result.findings if one.status == "fired"]
    primary = study["metrics"]["primary"]
    rows = [row for row in result.results.comparisons if row.segment is None]
    ledger = [row for row in result.results.targets if row.scope == "requests"]
    return Summary(
        study=result.study,
        run=result.run,
        service=manifest["plan"]["service"]["service"],
        owner=study.get("owner"),
        started=manifest["started"],
        period=(str(study["period"]["from"]), str(study["period"]["to"])),
        decision={name: one.decision for name, one in result.decision.items()},
        because={name: one.because for name, one in result.decision.items()},
        primary=primary,
        fidelity=result.results.fidelity.overlap if result.results.fidelity else None,
        targets=ledger[-1].out if ledger else 0,
        errors=tuple(one.rule for one in fired if one.severity == "error"),
        warnings=tuple(one.rule for one in fired if one.severity == "warning"),
        changes=tuple(
            Change(
                variant=row.variant,
                metric=row.metric,
                difference=row.difference,
                relative=row.relative,
                low=row.low,
                high=row.high,
                relative_low=None if row.shown_bounds is None else row.shown_bounds[0],
                relative_high=None if row.shown_bounds is None else row.shown_bounds[1],
                baseline_value=row.baseline_value,
                verdict=row.verdict,
            )
            for row in sorted(rows, key=lambda row: row.metric != primary)
        ),
        replay=manifest.get("replay"),
    )


def example(**changed: Value | dict[str, str]) -> Summary:
    """A summary for examples and tests."""
    told: dict[str, Any] = {
        "study": "two-tower",
        "run": "0123456789ab",
        "service": "jobboard-home",
        "owner": "feed-team",
        "started": "2023-10-20T09:00:00+00:00",
        "period": ("2023-10-02", "2023-10-16"),
        "decision": {"two_tower": "go"},
        "because": {"two_tower": "dcg@10 is better"},
        "primary": "dcg@10",
        "fidelity": 0.97,
        "targets": 1000,
        "errors": (),
        "warnings": ("DT06",),
        "changes": (),
    }
    return Summary(**{**told, **changed})
