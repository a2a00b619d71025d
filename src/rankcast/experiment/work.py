"""What every shard needs, from the plan and what came in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rankcast.config.plan import Plan
from rankcast.evaluate.impressed import Impressed
from rankcast.evaluate.metric import RequestMetric
from rankcast.evaluate.truth.labels import Labels
from rankcast.evaluate.truth.targets import Population
from rankcast.experiment import assembly
from rankcast.experiment.evidence import shadows_of
from rankcast.experiment.looking import some_of
from rankcast.experiment.shard import Work
from rankcast.replay.fidelity.probes import sample_of
from rankcast.sources.load import Loaded


def work_of(
    plan: Plan, loaded: Loaded, labels: Labels, population: Population, candidates: float, folder: Path
) -> Work:
    """The work without its models, which are not needed where all lists are there already. `candidates`: about how many the
    baseline has for a request.
    """
    logs, size, primary = loaded.logs, len(loaded.logs.requests.time), plan.metrics[0].metric
    is_target = np.zeros(size, dtype=bool)
    is_target[population.targets] = True
    grades = [one.grade for one in plan.service.labels.grades.values()]
    return Work(
        logs=logs,
        setting=assembly.setting_of(plan),
        models=(),
        names=tuple(variant.name for variant in plan.variants),
        baseline=plan.study.baseline,
        baseline_served=next(one.served for one in plan.variants if one.name == plan.study.baseline),
        pools=loaded.candidates,
        placements=loaded.placements,
        labels=labels,
        scene=assembly.scene_of(plan, logs),
        is_target=is_target,
        chosen=sample_of(population.replayed, size, candidates),
        metrics=[planned.metric for planned in plan.metrics],
        unlabelled_as_zero=plan.service.targets.without_labels == "zero",
        folder=folder,
        weighed=assembly.weighed_of(plan),
        best=max(grades),
        bounded=min(grades) >= 0,
        impressed=Impressed.of(logs) if len(logs.impressions.item) else None,
        looked=some_of(population.replayed, size),
        primary=primary if isinstance(primary, RequestMetric) else None,
        shadows=shadows_of(plan, logs),
        graded=assembly.liked(plan),
    )


def candidates_of(plan: Plan, loaded: Loaded) -> float:
    """About how many candidates the baseline has for a request."""
    scores = loaded.scores.get(plan.study.baseline)
    if scores is None:
        return float(len(loaded.logs.intervals.item))
    owners = loaded.logs.ids.users if scores.by_user else loaded.logs.ids.requests
    return scores.total / max(1, len(owners))
