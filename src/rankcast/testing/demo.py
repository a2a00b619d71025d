"""The demo: the simulated job board on disk, with a service, two studies, and what really happens online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rankcast.errors import RunError
from rankcast.records import Result
from rankcast.testing.jobboard import JobBoard, Variant, simulate
from rankcast.testing.past import write_past

STUDIES: Mapping[Variant, str] = {"two_tower": "two-tower", "filter_net": "filter-net"}

SERVICE = """\
# yaml-language-server: $schema=./schema/service.json
rankcast: 1
service: jobboard-home
timezone: Asia/Tokyo

tables:
  requests:
    path: data/requests.parquet
    columns: {timestamp: requested_at}
  items:        {path: data/items.parquet}
  availability: {path: data/availability.parquet}
  impressions:  {path: data/impressions.parquet}
  events:       {path: data/events.parquet}
  users:        {path: data/users.parquet}

production:                      # what stands between a score and the user's eye, in production's own order
  candidates: scored
  steps:
    - match: {request.job_type: item.job_type}        # the filters that the user set
    - match: {request.employment: item.employment}
    - available                                       # still open at the request's time
    - not_seen: {events: [apply], within: 365d}
    - where: "NOT item.is_test"
    - cap: {by: item.company_id, at_most: 2}
  served: 10

labels:
  grades: {click: 1, bookmark: 2, apply: 4}
  horizon: 7d
  attribute: last_request

targets:
  where: "request.surface = 'home' AND NOT request.is_bot"
  without_labels: exclude
  average: request
"""

PAST = """
history: {path: history, pipeline: v1}            # past online tests beside what offline said before
"""

STUDY = """\
# yaml-language-server: $schema=../schema/study.json
rankcast: 1
study: {study}
service: ../service.yaml
owner: feed-team
why: |
  {why}
expect: "{expect}"
treatment: [scores]
period: {{from: 2023-10-02, to: 2023-10-16}}
variants:
  production: {{scores: {{path: ../data/scores/production.parquet}}, trained_until: 2023-09-29}}
  {variant}: {{scores: {{path: ../data/scores/{variant}.parquet}}, trained_until: 2023-09-29}}
  popular: {{builtin: popular, within: 28d}}
baseline: production
metrics:
  primary: dcg@10
  guardrails: [coverage@10, empty]
  also: [ndcg@10, recall@10, rr@10, list_length@10]
segments: [request.job_type, user.tenure, day]
fidelity: {{at_least: 0.90}}
compare: {{confidence: 0.95, smallest_effect: 1%, correction: holm}}
online: {{metric: applications_per_request}}
seed: 7
"""

_WORDS = {
    "two_tower": (
        "Cold users get popular posts only. Two towers should know them better.",
        "dcg@10 +1 % to +4 %; more applications per request, online",
    ),
    "filter_net": (
        "The new network learnt from clicks and looks far better than production in the notebook.",
        "ndcg@10 of the raw model order is higher; more applications per request, online",
    ),
}


@dataclass(frozen=True)
class Story:
    """One change as the notebook, Rankcast and the online test see it."""

    variant: str
    naive_production: float
    naive_variant: float
    decision: str
    offline_relative: float | None
    offline_low: float | None
    offline_high: float | None
    online_production: float
    online_variant: float
    online_relative: float
    ab_relative: float
    ab_low: float
    ab_high: float
    ab_p: float

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def text(self) -> str:
        """In four lines."""
        naive = self.naive_variant / self.naive_production - 1
        offline = "not measurable"
        if self.offline_relative is not None and self.offline_low is not None and self.offline_high is not None:
            offline = f"{self.offline_relative:+.1%} ({self.offline_low:+.1%} to {self.offline_high:+.1%})"
        return (
            f"{self.variant}\n"
            f"  a naive notebook    ndcg@10 of the raw model order, plain mean: {self.naive_production:.4f} -> "
            f"{self.naive_variant:.4f} ({naive:+.1%})\n"
            f"  Rankcast            dcg@10 of what users would have seen: {offline}: {self.decision}\n"
            f"  the online test     applications per user: {self.ab_relative:+.1%} ({self.ab_low:+.1%} to {self.ab_high:+.1%}, "
            f"p {self.ab_p:.3f})\n"
            f"  the truth           applications per request: {self.online_production:.4f} -> {self.online_variant:.4f} "
            f"({self.online_relative:+.1%})\n"
        )


def write_demo(folder: Path, requests: int, seed: int, schemas: Mapping[str, str]) -> JobBoard:
    """Write data, service, past online tests, studies and the editors' schemas (name -> text).

    Files that people edit are kept as they are when they are there already.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "service.yaml").is_file():
        raise RunError(f"{folder} holds other files; give an empty or a new folder")
    board = simulate(seed, requests)
    (folder / "studies").mkdir(parents=True, exist_ok=True)
    board.write(folder / "data")
    _keep_or_write(folder / "service.yaml", SERVICE + PAST)
    write_past(folder / "history")
    (folder / "schema").mkdir(exist_ok=True)
    for name, text in schemas.items():
        (folder / "schema" / f"{name}.json").write_text(text, encoding="utf-8")
    for variant, study in STUDIES.items():
        why, expect = _WORDS[variant]
        _keep_or_write(
            folder / "studies" / f"{study}.yaml", STUDY.format(study=study, variant=variant, why=why, expect=expect)
        )
    return board


def online_story(board: JobBoard, variant: Variant, result: Result) -> Story:
    """What the simulated service really does with a variant, beside what the run said."""
    truth, production, test = board.online(variant), board.online("production"), board.ab_test(variant, seed=0)
    row = next(
        row
        for row in result.results.comparisons
        if row.variant == variant and row.family == "primary" and row.segment is None
    )
    low, high = row.relative_bounds or (None, None)
    return Story(
        variant=variant,
        naive_production=board.naive("production"),
        naive_variant=board.naive(variant),
        decision=result.decision[variant].decision,
        offline_relative=row.relative,
        offline_low=low,
        offline_high=high,
        online_production=production.applications,
        online_variant=truth.applications,
        online_relative=truth.relative_applications,
        ab_relative=test.relative,
        ab_low=test.low / test.control,
        ab_high=test.high / test.control,
        ab_p=test.p,
    )


def _keep_or_write(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
