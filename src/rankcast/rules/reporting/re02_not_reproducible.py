"""RE02 not-reproducible."""

from __future__ import annotations

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule


class NotReproducible(Rule):
    """Nobody can review or repeat what is not written down.

    Check: the run holds both files' text, the content hash of every input, seed, versions and the hash of private
    code, always. Private code (steps, variants, metrics of your own) is known by its hash alone: outside a git
    commit, or changed since, it is a warning, since nobody can get it back. Remedy: commit the code, then run.
    Source: Goda, a talk on Wantedly's offline evaluation, 2023; Bellogín and Said, 2021.
    """

    code = "RE02"
    name = "not-reproducible"
    moment = "data"
    severity = "warning"
    at = ("study",)
    good = """
# study.yaml
variants:
  two_tower: {scores: {path: ../data/scores/two_tower.parquet}}
"""
    bad = """
# study.yaml
variants:
  two_tower: {scores: null, python: "shop_models:score"}       # in a folder that is in no git repository
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        origin = found.origin
        if origin.private and (origin.commit is None or origin.dirty):
            state = "is in no git commit" if origin.commit is None else "is not as it was committed"
            return self.fired(
                "warning",
                f"private code {state}: {', '.join(origin.private)}",
                "commit it, then run the study",
                count=len(origin.private),
            )
        told = (
            f"commit {origin.commit[:12]}{' with changes' if origin.dirty else ''}"
            if origin.commit
            else "no git commit, and no private code that would need one"
        )
        return self.passed(
            f"the run holds both files, the hash of every input, seed {plan.study.seed} and versions; {told}"
        )
