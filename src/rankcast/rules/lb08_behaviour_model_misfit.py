"""LB08 behaviour-model-misfit."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar, Literal

from rankcast.records import Behaviour, Examined, Finding
from rankcast.rules.rule import Evidence, finding

EXAMINATION = "examination"  # what such metrics say that they need
MOST = 0.10
_ERRORS = 3.0  # standard errors of the observed share: below, a difference is chance


class BehaviourModelMisfit:
    """A metric that discounts by how far users look is no better than the click model behind it; one that foretells clicks worse
    than ranks alone weighs ranks by noise.

    Check: where a metric says `discount=examined`, on clicks of users that the model was not fitted to, its perplexity is not
    below that of ranks alone, or at some rank it foretells 10 % more or fewer clicks than there were (and by more than three
    standard errors). Remedy: log how many ranks were on the screen (`behaviour: {depth: ...}`), tell what attracts apart
    (`behaviour: {by: ...}`), or take `log2`. Source: Chuklin, Markov and de Rijke, 2015; Deffayet and others, 2022.
    """

    code: ClassVar[str] = "LB08"
    name: ClassVar[str] = "behaviour-model-misfit"
    moment: ClassVar[Literal["plan", "result"]] = "result"

    def check(self, evidence: Evidence) -> Finding:
        used = [str(one.metric) for one in evidence.plan.metrics if EXAMINATION in one.metric.needs()]
        if not used:
            told = "no metric discounts by how far users look"
            return finding(
                self, "cannot check", "warning", told, "only metrics with discount=examined need the click model"
            )
        found = evidence.behaviour
        if found is None or found.perplexity is None or found.perplexity_of_ranks is None:
            told = "no clicks of users that the model was not fitted to"
            return finding(self, "cannot check", "warning", told, "add impressions and click events of more users")
        wrong = _misfits(found)
        shown = f"perplexity {found.perplexity:.4f}, of ranks alone {found.perplexity_of_ranks:.4f}"
        if found.perplexity < found.perplexity_of_ranks and not wrong:
            return finding(self, "passed", "warning", shown, "")
        if wrong:
            shown += "; foretold and observed clicks an impression: " + ", ".join(
                f"rank {one.rank}: {one.predicted:.4f} and {one.observed:.4f}" for one in wrong[:5]
            )
        remedy = (
            "log how many ranks were on the screen (`behaviour: {depth: ...}`), tell items apart (`by`), or take log2"
        )
        return finding(self, "fired", "warning", shown, remedy)


def _misfits(found: Behaviour) -> list[Examined]:
    return [one for one in found.ranks if _misses(one)]


def _misses(one: Examined) -> bool:
    if one.observed is None or one.predicted is None or not one.held_out or not one.observed:
        return False
    off = abs(one.predicted - one.observed)
    return off > MOST * one.observed and off > _ERRORS * sqrt(one.observed * (1 - one.observed) / one.held_out)
