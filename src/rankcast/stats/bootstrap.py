"""Bootstrap over users, for numbers that are not means over requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000

Bools = npt.NDArray[np.bool_]


def presence_replicates(
    statistic: Callable[[Bools], float], clusters: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Replicates (RESAMPLES) of a statistic that only asks which users are present.

    Each resample draws as many users as there are, with replacement; a user is present who was drawn at least once
    (Efron, 1979). The number of draws is fixed: independent presence of each user (a Poisson bootstrap) would add the
    variation of the sample's size to numbers that grow with it, as coverage does.
    """
    replicates = []
    for _ in range(RESAMPLES):
        present = np.zeros(clusters, dtype=bool)
        present[generator.integers(0, clusters, clusters)] = True
        replicates.append(statistic(present))
    return np.array(replicates, dtype=np.float64)


def standard_error(replicates: npt.NDArray[np.float64]) -> float:
    """Standard deviation of the replicates.

    The interval is built from it rather than from the replicates' quantiles, because a resample always shows fewer distinct
    items than the data: its quantiles would lie below the estimate.
    """
    return float(replicates.std(ddof=1))
