"""TG03 attrition-unexplained."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule

STRANGERS = ("of a request that is not in requests", "with a request_id that is not in requests")


class AttritionUnexplained(Rule):
    """Joins lose rows in silence, so the requests that are judged are not those that were meant.

    Check: in every row of the ledger, in = out + lost, with a reason, and each step begins where the one before ended
    (an error); impressions, or events with a `request_id`, of requests that the table of requests does not have (a
    warning). Remedy: load all requests and let `targets.where` say who counts. Source: Goda, a talk on Wantedly's
    offline evaluation, 2023; in spirit the sample-ratio check of online tests (Fabijan and others, 2019).
    """

    code = "TG03"
    name = "attrition-unexplained"
    moment = "data"
    severity = "error"
    at = ("service", "tables")
    good = """
# service.yaml
tables: {requests: {path: data/requests.parquet}}
# data: every impression belongs to a request of the table
"""
    bad = """
# service.yaml
tables: {requests: {path: data/requests.parquet}}
# data: a join has lost a tenth of the requests; their impressions are still there
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = found.results.targets
        if not rows:
            return self.cannot("there is no ledger", "the run has no table of requests")
        before = [None, *rows[:-1]]
        wrong = [
            row
            for row, last in zip(rows, before, strict=True)
            if row.in_ != row.out + row.lost
            or (row.lost and not row.reason)
            or (last is not None and last.scope == row.scope and last.out != row.in_)
        ]
        if wrong:
            told = "; ".join(
                f"{row.scope}, {row.step}: {row.in_:,} in, {row.out:,} out, {row.lost:,} lost" for row in wrong[:3]
            )
            return self.fired(
                "error",
                f"the ledger does not add up: {told}",
                "report this: it is our fault",
                count=len(wrong),
                of=len(rows),
            )
        strangers = [
            one
            for one in found.results.counts
            if one.what in STRANGERS and one.count > self.limit(plan, "tolerance") * one.of
        ]
        if strangers:
            worst = max(strangers, key=lambda one: one.count / one.of)
            return self.fired(
                "warning",
                f"{worst.count:,} of {worst.of:,} {worst.table} ({worst.count / worst.of:.1%}) are {worst.what}: the requests "
                "lost rows before they came here",
                "load all requests, and let `targets.where` say who counts: then the ledger has a reason",
                count=worst.count,
                of=worst.of,
                at=("service", "tables", "requests"),
            )
        return self.passed(f"all {len(rows)} rows of the ledger add up, each loss with a reason", 0, len(rows))
