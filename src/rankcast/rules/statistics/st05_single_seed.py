"""ST05 single-seed."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule, decided_of


class SingleSeed(Rule):
    """The same model trained again with another seed gives other lists. What looks like an improvement may be a lucky seed.

    Check: a variant's `training.seeds` is below the threshold (0 says that nothing in it is random); once there is a
    run and `seed_sd` is given: the difference is smaller than so many standard deviations. Remedy: three to five
    seeds, and their spread in the study. Source: Bouthillier and others, 2021.
    """

    code = "ST05"
    name = "single-seed"
    moment = "plan"
    severity = "warning"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {training: {seeds: 5}}
"""
    bad = """
# study.yaml
variants:
  two_tower: {training: {seeds: 1}}
"""

    def check(self, evidence: Evidence) -> Finding:
        plan, found = evidence.plan, evidence.found
        trained = {one.name: one.spec.training for one in plan.variants if one.name in decided_of(plan)}
        seeds = {name: one.seeds for name, one in trained.items() if one is not None and one.seeds is not None}
        few = [name for name, number in seeds.items() if 0 < number < self.limit(plan, "seeds")]
        if few:
            told = ", ".join(
                f"{name} was trained with {seeds[name]} seed{'s' if seeds[name] > 1 else ''}" for name in few
            )
            return self.fired(
                "warning",
                told,
                "train with three to five seeds; say their spread in `seed_sd`",
                count=len(few),
                of=len(trained),
                at=("study", "variants", few[0], "training"),
            )
        for name, one in trained.items():
            difference = None if found is None else found.again(name)
            if (
                one is not None
                and one.seed_sd
                and difference is not None
                and abs(difference.value) < self.limit(plan, "deviations") * one.seed_sd
            ):
                told = (
                    f"{name}: the difference of {difference.value:+.4g} is within what another seed changes (standard "
                    f"deviation {one.seed_sd:g})"
                )
                return self.fired("warning", told, "average over seeds", at=("study", "variants", name, "training"))
        silent = [name for name in trained if name not in seeds]
        if silent or not trained:
            return self.cannot(
                f"nobody says with how many seeds {', '.join(silent) or 'any variant'} was trained",
                "say it: `training: {seeds: 5, seed_sd: 0.002}`; `seeds: 0` where nothing is random",
            )
        return self.passed("; ".join(f"{name}: {number} seeds" for name, number in seeds.items()))
