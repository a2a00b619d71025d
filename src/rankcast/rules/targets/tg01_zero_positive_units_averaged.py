"""TG01 zero-positive-units-averaged."""

from __future__ import annotations

import numpy as np

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, decided_of, effect_of, strongest


class ZeroPositiveUnitsAveraged(Rule):
    """A request whose user did nothing afterwards is 0 under every list. Averaged with the others it thins out the
    difference, and a change of the share of such requests looks like a change of the model.

    Check: with `without_labels: zero`, the share of targets without a relevant label. Effect: the difference over the
    others. Remedy: `without_labels: exclude`, or say in `why` that such requests are meant to count. Source: the
    talk; Cañamares, Castells and Moffat, Information Retrieval Journal, 2020.
    """

    code = "TG01"
    name = "zero-positive-units-averaged"
    moment = "data"
    severity = "warning"
    at = ("service", "targets", "without_labels")
    good = """
# service.yaml
targets: {without_labels: exclude}
"""
    bad = """
# service.yaml
targets: {without_labels: zero}
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        if not len(found.targets):
            return self.cannot("there is no target", "the ledger says where they were lost")
        if plan.service.targets.without_labels == "exclude":
            lost = next((r.lost for r in found.results.targets if r.scope == "requests" and r.step == "labelled"), 0)
            told = (
                f"declared: requests without a relevant label are left out ({lost:,} of {lost + len(found.targets):,})"
            )
            return self.passed(told, 0, len(found.targets))
        labelled = np.isin(found.targets, found.positives.request)
        without, size = int((~labelled).sum()), len(found.targets)
        told = f"{without:,} of {size:,} targets ({without / size:.1%}) have no relevant label and count as 0"
        if without <= self.limit(plan, "warn") * size:
            return self.passed(told, without, size)
        return self.fired(
            "warning",
            told,
            "leave them out (`without_labels: exclude`), or say in `why` that they are meant to count",
            count=without,
            of=size,
            examples=found.logs.ids.requests.gather(found.targets[~labelled][:5]).to_list(),
            effect=strongest([effect_of(found, name, found.again(name, keep=labelled)) for name in decided_of(plan)]),
        )
