"""ON04 pair-misaligned."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.online.linked import OfHistory, Past


class PairMisaligned(OfHistory):
    """The offline number and the online number describe two different things.

    Check: model, goal, population or version of the pipeline differ; the periods lie further apart than the
    threshold; the sample ratio of the online test is off. Remedy: run the study again for what was shipped; leave
    such tests out. Source: Fabijan and others, KDD 2019.
    """

    code = "ON04"
    name = "pair-misaligned"
    severity = "error"
    at = ("service", "history")
    good = """
# service.yaml
history: {path: history}
# history: the run's model is the one that was shipped, users were split as intended
"""
    bad = """
# service.yaml
history: {path: history}
# history: one arm lost users on the way
"""

    def hold(self, past: Past) -> Finding:
        if not past.history.problems:
            return self.passed(f"{past.history.tests} past tests, each like the run beside it")
        return self.fired(
            "error",
            f"{len(past.history.problems)} of {past.history.tests} past tests tell of something else than the number beside "
            "them, and are left out",
            "run the study again for what was shipped; or say in the record why its numbers do not count (`excluded:`)",
            count=len(past.history.problems),
            of=past.history.tests,
            examples=past.history.problems,
        )
