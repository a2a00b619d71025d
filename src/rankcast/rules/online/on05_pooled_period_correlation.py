"""ON05 pooled-period-correlation."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.online.linked import FEW, OfHistory, Past


class PooledPeriodCorrelation(OfHistory):
    """Put together, three periods with three pipelines show a relation that none of them has, or hide one that each has
    (Simpson).

    Check: more than one version of the pipeline in one correlation, or another than the service has now; or a pooled
    correlation outside the interval of every period. Remedy: one correlation per period, partly pooled. Source: Goda, a
    talk on Wantedly's offline evaluation, 2023.
    """

    code = "ON05"
    name = "pooled-period-correlation"
    severity = "warning"
    at = ("service", "history")
    good = """
# service.yaml
history: {path: history}
# history: one version of the pipeline
"""
    bad = """
# service.yaml
history: {path: history}
# history: all tests of two years in one, over two versions of the pipeline
"""

    def hold(self, past: Past) -> Finding:
        link = past.link
        if len(link.pairs) < FEW:
            return self.too_few(link)
        versions = list(dict.fromkeys(one.pipeline for one in link.pairs if one.pipeline is not None))
        remedy = "look at each period by itself (the report has them, partly pooled), and at the trend"
        if len(versions) > self.limit(past.plan, "versions"):
            return self.fired(
                "warning", f"one correlation over {len(versions)} versions of the pipeline", remedy, examples=versions
            )
        now = None if past.plan.service.history is None else past.plan.service.history.pipeline
        if now is not None and versions and now not in versions:
            return self.fired(
                "warning",
                f"all past tests are of version {', '.join(versions)} of the pipeline, and the service has {now}",
                "run the studies of past tests again with it and record these numbers; until then the link is of the old one",
                examples=versions,
            )
        bounds = [(one.pearson.low, one.pearson.high) for one in link.periods]
        known = [(low, high) for low, high in bounds if low is not None and high is not None]
        whole = link.pearson.value
        if len(known) > 1 and whole is not None and all(not low <= whole <= high for low, high in known):
            return self.fired(
                "warning",
                f"the correlation of all, {whole:+.2f}, lies outside the interval of each of {len(known)} periods",
                remedy,
            )
        if not versions:
            return self.cannot(
                "no past test says which version of the pipeline made its offline number",
                "write `pipeline:` into the records; `rankcast history add` takes it from service.yaml",
            )
        return self.passed(f"all {len(link.pairs)} tests have version {versions[0]} of the pipeline")
