"""RE01 segment-reversal-hidden."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding, StandardisedRow
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, compared_of


class SegmentReversalHidden(Rule):
    """The mean is better, and a minority is hurt; or the mean is better only because its mix is another one (Simpson).

    Check: the standardised difference (the mix of all replayed requests) has another sign than the plain one, surely;
    or a segment is surely the other way, after adjusting for having looked at many. The report shows all of them.
    Remedy: look at that segment; decide whether the change may go to the others alone. Source: Jadidinejad, Macdonald
    and Ounis, TOIS 2021.
    """

    code = "RE01"
    name = "segment-reversal-hidden"
    moment = "result"
    severity = "warning"
    at = ("study", "segments")
    good = """
# study.yaml
segments: [request.job_type, user.tenure]
# data: the difference has one sign everywhere
"""
    bad = """
# study.yaml
segments: [request.job_type, user.tenure]
# data: two_tower is better for most, and ranks the other way round for one job type
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = [
            row for row in found.results.comparisons if row.segment is not None and row.variant in compared_of(plan)
        ]
        if not plan.study.segments or not rows:
            return self.cannot(
                "the study names no segments, or none has a difference",
                "say `segments: [request.<column>, user.<column>]`",
            )
        primary = str(plan.metrics[0].metric)
        mixed = [
            row
            for row in found.results.standardised
            if row.reversal and row.variant in compared_of(plan) and _sure(row)
        ]
        whole = {
            row.variant: row.verdict
            for row in found.results.comparisons
            if row.segment is None and row.metric == primary
        }
        opposite = {"better": "worse", "worse": "better"}
        hurt = [
            row
            for row in rows
            if row.metric == primary
            and row.verdict is not None
            and row.verdict == opposite.get(whole.get(row.variant) or "")
        ]
        if hurt or mixed:
            told = [
                f"{row.variant} is {whole[row.variant]} in all and {row.verdict} for {row.segment.column} "
                f"{row.segment.value} ({row.n_users:,} users)"
                for row in hurt[:3]
                if row.segment is not None
            ]
            told += [
                f"{row.variant}: with the mix of {row.column} of all requests {row.standardised or 0:+.4g} instead of "
                f"{row.difference or 0:+.4g}"
                for row in mixed[:3]
            ]
            more = len(hurt) + len(mixed) - len(told)
            return self.fired(
                "warning",
                "; ".join(told) + (f"; and {more} more" if more > 0 else ""),
                "look at that segment first; perhaps the change is for the others alone",
                count=len(hurt) + len(mixed),
                of=len(rows),
            )
        return self.passed(
            "no segment is surely the other way, and no mix turns the difference round",
            0,
            len({(row.segment.column, row.segment.value) for row in rows if row.segment}),
        )


def _sure(row: StandardisedRow) -> bool:
    """Whether the standardised difference leaves zero out."""
    return row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)
