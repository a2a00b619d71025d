"""DT02 non-global-split."""

from __future__ import annotations

from rankcast.records import Finding
from rankcast.rules.evidence import Evidence
from rankcast.rules.rule import Rule

_OVERLAPPING = {"random", "leave_one_out"}


class NonGlobalSplit(Rule):
    """Where training and test data are told apart at random, or by leaving each user's last event out, they overlap in time:
    the model learns from what other users did after the request.

    Check: a decided variant's `training.split` is `random` (an error) or `leave_one_out` (a warning). Remedy: one
    moment that splits all users' data, or rolling moments. Source: Meng and others, RecSys 2020; Hidasi and Czapp,
    RecSys 2023; Gusak and others, 2025.
    """

    code = "DT02"
    name = "non-global-split"
    moment = "plan"
    severity = "error"
    at = ("study", "variants")
    good = """
# study.yaml
variants:
  two_tower: {training: {split: global_temporal}}
"""
    bad = """
# study.yaml
variants:
  two_tower: {training: {split: random}}
"""

    def check(self, evidence: Evidence) -> Finding:
        models = [one for one in evidence.plan.variants if one.decided]
        said = {one.name: None if one.spec.training is None else one.spec.training.split for one in models}
        overlapping = {name: split for name, split in said.items() if split in _OVERLAPPING}
        if overlapping:
            told = ", ".join(f"{name} ({split})" for name, split in overlapping.items())
            return self.fired(
                "error" if "random" in overlapping.values() else "warning",
                f"training and test data overlap in time: {told}",
                "split all users' data at one moment (`split: global_temporal`), or at rolling ones",
                count=len(overlapping),
                of=len(said),
                at=("study", "variants", next(iter(overlapping)), "training", "split"),
            )
        silent = [name for name, split in said.items() if split is None]
        if silent or not said:
            return self.cannot(
                f"no `training.split` for {', '.join(silent) or 'any model'}",
                "say how training and test data were told apart: `training: {split: global_temporal}`",
            )
        return self.passed("every model's data were split at one moment, or at rolling ones", 0, len(said))
