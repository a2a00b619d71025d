"""Runs with RecTools' own interpreter: jobs as JSON on stdin, values as JSON on stdout."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import pandas as pd
from rectools import Columns, metrics
from rectools.metrics.base import MetricAtK


def calculator(items: dict[str, int]) -> metrics.PairwiseDistanceCalculator:
    features = pd.DataFrame(sorted(items.items()), columns=[Columns.Item, "category"]).set_index(Columns.Item)
    return metrics.PairwiseHammingDistanceCalculator(features)


def value(job: dict[str, Any]) -> dict[str, float] | float:
    tables = {
        "reco": pd.DataFrame(job["reco"], columns=[Columns.User, Columns.Item, Columns.Rank]),
        "interactions": pd.DataFrame(job["interactions"], columns=[Columns.User, Columns.Item]),
        "prev_interactions": pd.DataFrame(job["history"], columns=[Columns.User, Columns.Item]),
        "catalog": list(job["items"]),
    }
    metric = eval(job["metric"], vars(metrics) | {"categories": calculator(job["items"])})
    compute = getattr(metric, "calc_per_user", metric.calc)
    needed = compute.__code__.co_varnames[1 : compute.__code__.co_argcount]
    found = compute(**{name: tables[name] for name in needed})
    return float(found) if compute == metric.calc else {user: float(one) for user, one in found.items()}


def offered() -> list[str]:
    classes = {name: getattr(metrics, name) for name in metrics.__all__}
    return [name for name, one in classes.items() if isinstance(one, type) and issubclass(one, MetricAtK)]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    answer = {"offered": offered(), "values": [value(job) for job in json.load(sys.stdin)]}
    sys.stdout.write(json.dumps(answer))
