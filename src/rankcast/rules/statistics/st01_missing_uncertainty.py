"""ST01 missing-uncertainty."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, compared_of, primary_rows


class MissingUncertainty(Rule):
    """A difference without an interval cannot be told from noise.

    Check: a primary difference of a decided variant has no interval (fewer than two users, or a variant without a
    value). Such a difference is `undecided` already, so it is a warning. Remedy: more users. Source: Ihemelandu and
    Ekstrand, 2021.
    """

    code = "ST01"
    name = "missing-uncertainty"
    moment = "result"
    severity = "warning"
    at = ("study", "compare")
    good = """
# service.yaml
targets: {where: "request.surface = 'home' AND NOT request.is_bot"}
"""
    bad = """
# service.yaml
targets: {where: "request.user_id = 'user-00324'"}
# study.yaml
metrics: {also: [ndcg@10]}        # of one user nobody can tell how far users look
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        rows = primary_rows(plan, found, compared_of(plan))
        if not any(row.difference is not None for row in rows):
            return self.cannot(
                "there is no difference of a decided variant",
                "add a variant; look at the ledger for where targets were lost",
            )
        bare = [row for row in rows if row.difference is not None and row.low is None]
        if bare:
            told = ", ".join(f"{row.variant} {row.difference:+.4g} ({row.n_users:,} users)" for row in bare)
            return self.fired(
                "warning",
                f"without an interval: {told}",
                "it takes two users at least, and better hundreds",
                count=len(bare),
                of=len(rows),
            )
        return self.passed(
            "every primary difference has an interval, paired by request and clustered by user", 0, len(rows)
        )
