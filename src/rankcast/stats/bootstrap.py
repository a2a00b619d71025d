"""Bootstrap over users, for numbers that are not means over requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
_BLOCK = 50  # resamples at a time: as many columns of weights are in memory

Floats = npt.NDArray[np.float64]


def user_replicates(statistic: Callable[[Floats], Floats], users: int, generator: np.random.Generator) -> Floats:
    """Replicates (RESAMPLES) of a statistic of weightings of the users: (users, B) -> (B).

    Each resample draws as many users as there are, with replacement; its weights say how often each was drawn (Efron,
    1979). The number of draws is fixed: independent weights of each user (a Poisson bootstrap) would add the variation of the
    sample's size to numbers that grow with it, as coverage does.
    """
    replicates = []
    for _ in range(0, RESAMPLES, _BLOCK):
        weights = np.empty((users, _BLOCK))
        for draw in range(_BLOCK):
            weights[:, draw] = np.bincount(generator.integers(0, users, users), minlength=users)
        replicates.append(statistic(weights))
    return np.concatenate(replicates)


def standard_error(replicates: Floats) -> float:
    """Standard deviation of the replicates that are measurable; NaN where fewer than two are.

    The interval is built from it rather than from the replicates' quantiles, because a resample always shows fewer distinct
    items than the data: its quantiles would lie below the estimate of a coverage.
    """
    measured = replicates[~np.isnan(replicates)]
    return float(measured.std(ddof=1)) if len(measured) > 1 else float("nan")
