"""Bootstrap over users, for numbers that are not means over requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000

Bools = npt.NDArray[np.bool_]


def presence_replicates(
    statistic: Callable[[Bools], tuple[float, ...]], clusters: int, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Replicates (RESAMPLES, number of statistics) of statistics that only ask which users are present.

    A Poisson bootstrap gives each user an independent Poisson(1) count; the user is present unless that is 0, so with
    probability 1 - 1/e. (Poisson bootstrap: Chamandy et al., 2012.)
    """
    share = 1.0 - np.exp(-1.0)
    return np.array([statistic(generator.random(clusters) < share) for _ in range(RESAMPLES)], dtype=np.float64)


def standard_error(replicates: npt.NDArray[np.float64]) -> float:
    """Standard deviation of the replicates.

    The interval is built from it rather than from the replicates' quantiles, because a resample always shows fewer distinct
    items than the data: its quantiles would lie below the estimate.
    """
    return float(replicates.std(ddof=1))
