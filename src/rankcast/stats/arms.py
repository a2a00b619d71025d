"""Two arms of an online test: from counts and sums to a difference with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, log, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RARE = 10  # successes or failures of an arm below which the exact test speaks
_NEAR_ZERO = 0.5  # error over value above which a ratio to it says nothing
MISMATCH = 0.001  # p of the sample ratio below which a test is not to be trusted (Fabijan and others, 2019)


@dataclass(frozen=True)
class Arm:
    """One arm: users, the metric's value, the standard error of that, and the successes where it is a share of users."""

    users: int
    value: float
    error: float | None
    successes: int | None = None

    @staticmethod
    def of_share(users: int, successes: int) -> Arm:
        """A share of users: sqrt(p (1 - p) / n).

        >>> Arm.of_share(400, 100)
        Arm(users=400, value=0.25, error=0.021650635094610966, successes=100)
        """
        p = successes / users
        return Arm(users, p, sqrt(p * (1 - p) / users), successes)

    @staticmethod
    def of_mean(users: int, mean: float, deviation: float | None) -> Arm:
        """A mean per user, with the standard deviation over users."""
        return Arm(users, mean, None if deviation is None else deviation / sqrt(users))

    @staticmethod
    def of_users(numerator: Floats, denominator: Floats) -> Arm:
        """A ratio of sums over users, such as clicks per impression; its error by the delta method, as users differ in both.

        With r = sum(a) / sum(b): variance = n / (n - 1) sum (a_u - r b_u)^2 / (sum b)^2 (Deng, Knoblich and Lu, 2018).

        >>> arm = Arm.of_users(np.array([1.0, 0, 2, 1]), np.array([2.0, 1, 5, 4]))
        >>> round(arm.value, 6), round(arm.error, 6)
        (0.333333, 0.06415)
        """
        n, total = len(numerator), float(denominator.sum())
        ratio = float(numerator.sum()) / total
        rest = numerator - ratio * denominator
        return Arm(n, ratio, sqrt(n / (n - 1) * float(rest @ rest)) / total if n > 1 else None)


@dataclass(frozen=True)
class ArmDifference:
    """Treatment over control: absolute, and as a log-ratio, which makes relative changes of both signs alike.

    `exact`: the two-sided p is Fisher's, since an arm has few successes or failures.
    """

    difference: float
    error: float | None
    low: float | None
    high: float | None
    log_ratio: float | None
    error_log_ratio: float | None
    p: float | None
    exact: bool


def arm_difference(control: Arm, treatment: Arm, confidence: float) -> ArmDifference:
    """Difference of two independent arms.

    Interval of the difference of two shares by Newcombe's hybrid of Wilson's (1998, method 10), of others by the normal
    distribution; log-ratio by the delta method: error^2 = (e_T / m_T)^2 + (e_C / m_C)^2, none where a value is not above 0 by
    two of its standard errors.
    Where an arm of a share has few successes or failures, the error is half of Newcombe's interval over z: never 0; where one
    has none, the log-ratio is that of (x + 1/2) / (n + 1) of both, with errors to match (Agresti and Min, 2005).

    >>> found = arm_difference(Arm.of_share(1000, 100), Arm.of_share(1000, 130), 0.95)
    >>> round(found.difference, 3), round(found.low, 4), round(found.high, 4), round(found.p, 4)
    (0.03, 0.002, 0.0581, 0.0355)
    """
    difference = treatment.value - control.value
    if control.error is None or treatment.error is None:
        ratio = log(treatment.value) - log(control.value) if min(control.value, treatment.value) > 0 else None
        return ArmDifference(difference, None, None, None, ratio, None, None, False)
    error = sqrt(control.error**2 + treatment.error**2)
    low, high = _bounds(control, treatment, difference, error, confidence)
    p, exact = _p(control, treatment, difference, error)
    if exact:
        error = (high - low) / 2 / NormalDist().inv_cdf(0.5 + confidence / 2)
    ratio, of_ratio = _log_ratio(control, treatment)
    return ArmDifference(difference, error, low, high, ratio, of_ratio, p, exact)


def sample_ratio_p(users: Sequence[int], shares: Sequence[float]) -> float:
    """p of arms being as large as they are when users were split in these shares (chi-square).

    >>> round(sample_ratio_p([821_588, 815_482], [0.5, 0.5]), 8)
    1.82e-06
    """
    from scipy.stats import chisquare

    expected = np.asarray(shares) / sum(shares) * sum(users)
    return float(chisquare(users, expected).pvalue)


def _log_ratio(control: Arm, treatment: Arm) -> tuple[float | None, float | None]:
    if control.successes is not None and treatment.successes is not None:
        counts = [(control.successes, control.users), (treatment.successes, treatment.users)]
        if any(x in (0, n) for x, n in counts):
            (y, m), (x, n) = ((x + 0.5, n + 1.0) for x, n in counts)
            return log(x / n) - log(y / m), sqrt(1 / x - 1 / n + 1 / y - 1 / m)
    if control.value <= 0 or treatment.value <= 0 or control.error is None or treatment.error is None:
        return None, None
    if any(arm.successes is None and (arm.error or 0.0) > _NEAR_ZERO * arm.value for arm in (control, treatment)):
        return None, None
    error = sqrt((control.error / control.value) ** 2 + (treatment.error / treatment.value) ** 2)
    return log(treatment.value) - log(control.value), error


def _bounds(control: Arm, treatment: Arm, difference: float, error: float, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    if control.successes is None or treatment.successes is None:
        return difference - z * error, difference + z * error
    (low_c, high_c), (low_t, high_t) = _wilson(control, z), _wilson(treatment, z)
    down = sqrt((treatment.value - low_t) ** 2 + (high_c - control.value) ** 2)
    up = sqrt((high_t - treatment.value) ** 2 + (control.value - low_c) ** 2)
    return difference - down, difference + up


def _wilson(arm: Arm, z: float) -> tuple[float, float]:
    n, p = arm.users, arm.value
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def _p(control: Arm, treatment: Arm, difference: float, error: float) -> tuple[float | None, bool]:
    if control.successes is None or treatment.successes is None:
        return (erfc(abs(difference) / error / sqrt(2.0)) if error > 0 else None), False
    table = [[arm.successes or 0, arm.users - (arm.successes or 0)] for arm in (treatment, control)]
    if min(min(row) for row in table) < RARE:
        from scipy.stats import fisher_exact

        return float(fisher_exact(table).pvalue), True
    pooled = (control.successes + treatment.successes) / (control.users + treatment.users)
    under_null = sqrt(pooled * (1 - pooled) * (1 / control.users + 1 / treatment.users))
    return erfc(abs(difference) / under_null / sqrt(2.0)), False
