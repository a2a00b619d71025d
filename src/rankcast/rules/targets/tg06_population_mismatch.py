"""TG06 population-mismatch."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule
from rankcast.rules.telling import told_apart
from rankcast.rules.thresholds import LEAST


class PopulationMismatch(Rule):
    """The requests that are judged are others than those that come in: other keywords, other users. A verdict on them says
    little of the service.

    Check: the population stability index of each segment column, targets against all replayed requests, PSI = sum of
    (p - q) ln(p / q); and how well the columns of requests tell targets from the rest (AUC of a naive Bayes
    classifier, fitted to half of the users and measured on the others, and the other way round). Effect: the
    standardised difference in the results. Remedy: look at the standardised differences; loosen what leaves requests
    out. Source: Bernardi, Mavridis and Estevez, KDD 2019 (the classifier); the limits of PSI are folklore of credit
    scoring.
    """

    code = "TG06"
    name = "population-mismatch"
    moment = "data"
    severity = "error"
    at = ("service", "targets")
    good = """
# study.yaml
segments: [request.job_type, user.tenure]
# data: what happened after every kind of request is in the log
"""
    bad = """
# study.yaml
segments: [request.job_type, user.tenure]
# data: only events on posts of one job type reached the log
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if not len(found.targets):
            return self.cannot("there is no target", "the ledger says where they were lost")
        if plan.service.targets.without_labels == "zero" and len(found.targets) == len(found.replayed):
            return self.passed("every replayed request is a target", 0, len(found.replayed))
        if len(found.targets) < LEAST:
            return self.cannot(
                f"{len(found.targets):,} targets are too few to tell them from other requests", "take a longer period"
            )
        psi: dict[str, float] = {row.column: row.psi for row in found.results.standardised if row.psi is not None}
        auc = told_apart(found)
        if not psi and auc is None:
            return self.cannot(
                "there are no segments, and no columns of requests to tell targets by",
                "name `segments` such as request.<column> and user.<column>",
            )
        column = max(psi, key=lambda one: psi[one], default="")
        index = psi.get(column, 0.0)
        told = "; ".join(
            [
                *([f"PSI of {column} {index:.3f}"] if psi else []),
                *([f"columns of requests tell targets from the rest with AUC {auc:.3f}"] if auc is not None else []),
            ]
        )
        if index <= self.limit(plan, "warn") and (auc or 0.5) <= self.limit(plan, "auc_warn"):
            return self.passed(told, len(found.targets), len(found.replayed))
        grave = index > self.limit(plan, "error") or (auc or 0.5) > self.limit(plan, "auc_error")
        return self.fired(
            "error" if grave else "warning",
            told,
            "look at the standardised differences, and loosen what leaves requests out (`targets.where`, the horizon)",
            count=len(found.targets),
            of=len(found.replayed),
        )
