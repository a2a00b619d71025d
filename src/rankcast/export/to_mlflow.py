"""A run as a run of MLflow: its numbers as metrics, its plan as parameters, its report as an artifact."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from rankcast.errors import RunError, clip
from rankcast.runs.folder import Run

Value = TypeVar("Value")
RUN = "rankcast.run"  # the tag by which a run is found again
_TOGETHER = 500  # metrics of one call
_LONGEST = 5_000  # characters of a tag
_PARAMETER = 500  # characters of a parameter
_VARIANT, _NAME = 80, 140  # of the name of a variant and of a metric: MLflow takes 250 in all
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # else minutes
_FILES = ("report.html", "report.md", "result.json", "manifest.json")


@dataclass(frozen=True)
class Exported:
    """The run of MLflow; `before`: it was there already."""

    run_id: str
    experiment: str
    before: bool


def export_run(run: Run, uri: str | None = None, experiment: str | None = None) -> Exported:
    """Export a run to a tracking server (`uri`; silent: MLFLOW_TRACKING_URI) once: a second call finds the first.

    `experiment`: silent, the name of the service.
    """
    if not (uri or os.environ.get("MLFLOW_TRACKING_URI")):
        raise RunError("no tracking server; give --uri, or set MLFLOW_TRACKING_URI")
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise RunError(f"rankcast export mlflow: needs an extra: pip install 'rankcast[mlflow]' ({error})") from error
    name = experiment or str(run.manifest["plan"]["service"]["service"])
    try:
        client = MlflowClient(tracking_uri=uri)
        place = client.get_experiment_by_name(name)
        if place is not None and place.lifecycle_stage != "active":
            raise RunError(
                f"the experiment {name} was deleted in MLflow; restore it, or name another one with --experiment"
            )
        place_id = client.create_experiment(name) if place is None else place.experiment_id
        wanted = f"tags.`{RUN}` = '{run.result.run}' and attributes.status = 'FINISHED'"
        earlier = client.search_runs([place_id], wanted, max_results=1)
        if earlier:
            return Exported(earlier[0].info.run_id, name, before=True)
        return Exported(_export(run, client, place_id), name, before=False)
    except (MlflowException, OSError) as error:
        raise RunError(
            f"MLflow refuses the export: {clip(' '.join(str(error).split()), 400)}; look at --uri (or MLFLOW_TRACKING_URI)"
        ) from error


def _export(run: Run, client: Any, place: str) -> str:
    """Everything; a run that is left half-way is marked as failed, so that the next call starts anew."""
    made: str = client.create_run(place, tags=_tags(run), run_name=f"{run.result.study} {run.result.run}").info.run_id
    try:
        _log(run, client, made)
    except Exception:
        _mark_failed(client, made)
        raise
    client.set_terminated(made, status="FINISHED")
    return made


def _mark_failed(client: Any, made: str) -> None:
    """Twice if need be: a server that refuses an upload may close the connection over which the next call goes."""
    for _ in range(2):
        with suppress(Exception):  # what went wrong before is what must be told
            client.set_terminated(made, status="FAILED")
            return


def _log(run: Run, client: Any, made: str) -> None:
    from mlflow.entities import Metric, Param

    numbers = metrics_of(run)
    metrics = [Metric(key, value, 0, 0) for key, value in numbers.items()]
    for start in range(0, len(metrics), _TOGETHER):
        client.log_batch(made, metrics=metrics[start : start + _TOGETHER])
    client.log_batch(
        made, params=[Param(key, value) for key, value in _parameters(run.manifest["plan"]["study"]).items()]
    )
    for name in _FILES:
        client.log_artifact(made, str(run.folder / name))


def metrics_of(run: Run) -> dict[str, float]:
    """Every value and difference over all targets, by a name that MLflow takes: `two_tower/ndcg_at_10`,
    `two_tower/ndcg_at_10/relative`.
    """
    return dict(_distinct(list(_numbers(run))))


def name_of(text: str) -> str:
    """One part of a name, as MLflow takes it: `@` becomes `_at_`, whatever else it refuses an underscore.

    >>> name_of("ndcg@10"), name_of("exposure_gini(by=item.company_id)@20"), name_of("二塔")
    ('ndcg_at_10', 'exposure_gini_by_item.company_id_at_20', '二塔')
    """
    plain = re.sub(r"[^\w.-]+", "_", text.replace(")@", "@").replace("@", "_at_"))
    return ((plain.strip("_") if plain.strip("_.") else "") or "_")[:_NAME]


def variants_of(run: Run) -> dict[str, str]:
    """The name of each variant in MLflow: no two have the same."""
    named = _distinct([(name_of(name)[:_VARIANT], name) for name in run.manifest["plan"]["study"]["variants"]])
    return {name: plain for plain, name in named}


def _distinct(pairs: Sequence[tuple[str, Value]]) -> list[tuple[str, Value]]:
    """Pairs of a name and something, with `_2`, `_3` behind a name that was there already."""
    seen: set[str] = set()
    found = []
    for name, value in pairs:
        unique, number = name, 1
        while unique in seen:
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        found.append((unique, value))
    return found


def _numbers(run: Run) -> Iterator[tuple[str, float]]:
    results, names = run.results, variants_of(run)
    for row in results.metrics:
        if row.segment is None and row.value is not None:
            yield f"{names[row.variant]}/{name_of(row.metric)}", row.value
    for change in results.comparisons:
        if change.segment is None:
            bounds = change.shown_bounds or (None, None)
            parts = {
                "difference": change.difference,
                "relative": change.relative,
                "relative_low": bounds[0],
                "relative_high": bounds[1],
                "p_adjusted": change.p_adjusted,
            }
            for name, value in parts.items():
                if value is not None:
                    yield f"{names[change.variant]}/{name_of(change.metric)}/{name}", value
    if results.fidelity is not None and results.fidelity.overlap is not None:
        yield "fidelity/overlap", results.fidelity.overlap


def _tags(run: Run) -> dict[str, str]:
    told, names = {RUN: run.result.run, "rankcast.study": run.result.study}, variants_of(run)
    told |= {f"rankcast.decision.{names[name]}": one.decision for name, one in run.decision.items()}
    told |= {f"rankcast.variant.{plain}": name for name, plain in names.items() if plain != name}
    fired = [one.rule for one in run.findings if one.status == "fired"]
    because = "\n".join(f"- **{name}: {one.decision}.** {one.because}" for name, one in run.decision.items())
    return {**told, "rankcast.fired": ", ".join(fired), "mlflow.note.content": clip(because, _LONGEST)}


def _parameters(study: Mapping[str, Any]) -> dict[str, str]:
    """What a reader looks for first; the whole plan is in manifest.json."""
    told = {
        "study": study["study"],
        "owner": study.get("owner"),
        "period": f"{study['period']['from']} to {study['period']['to']}",
        "baseline": study["baseline"],
        "variants": ", ".join(study["variants"]),
        "treatment": ", ".join(study["treatment"]),
        "primary": study["metrics"]["primary"],
        "seed": study["seed"],
    }
    return {key: clip(str(value), _PARAMETER) for key, value in told.items() if value is not None}
