"""Pairs of noisy numbers: what one axis and the other say of the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """n pairs (x_i, y_i) with their standard errors; NaN where an error is not known. `shared`: covariance of the two errors."""

    x: Floats
    y: Floats
    error_x: Floats
    error_y: Floats
    shared: Floats

    @staticmethod
    def of(x: npt.ArrayLike, y: npt.ArrayLike, error_x: npt.ArrayLike, error_y: npt.ArrayLike) -> Pairs:
        """Pairs whose errors are independent: offline window and online test are disjoint.

        >>> Pairs.of([1, 2], [3, 4], 0.5, [0.1, 0.2]).error_x.tolist()
        [0.5, 0.5]
        """
        across = np.asarray(x, dtype=np.float64)
        return Pairs(
            across,
            np.asarray(y, dtype=np.float64),
            np.broadcast_to(np.asarray(error_x, dtype=np.float64), across.shape),
            np.broadcast_to(np.asarray(error_y, dtype=np.float64), across.shape),
            np.zeros(across.shape),
        )

    @property
    def n(self) -> int:
        """How many pairs."""
        return len(self.x)

    @property
    def errors_known(self) -> bool:
        """Whether every number has a standard error."""
        return bool(np.isfinite(self.error_x).all() and np.isfinite(self.error_y).all())

    def take(self, chosen: Bools | Ints) -> Pairs:
        """The chosen pairs."""
        return Pairs(self.x[chosen], self.y[chosen], self.error_x[chosen], self.error_y[chosen], self.shared[chosen])

    def centred(self) -> tuple[Pairs, tuple[float, float]]:
        """The pairs around their means, and these: far from 0, sums of squares would lose their digits."""
        middle = float(self.x.mean()), float(self.y.mean())
        return Pairs(self.x - middle[0], self.y - middle[1], self.error_x, self.error_y, self.shared), middle

    def without(self, some: int | Ints) -> Pairs:
        """All but one, or some."""
        return self.take(~np.isin(np.arange(self.n), some))

    def means(self, parts: Sequence[Ints]) -> Pairs:
        """One pair a part: the means of its pairs, their errors independent.

        >>> Pairs.of([1, 3, 7], [0, 2, 5], 1.0, 1.0).means([np.array([0, 1]), np.array([2])]).x.tolist()
        [2.0, 7.0]
        """
        whole = [self.take(part) for part in parts]
        return Pairs(
            np.array([one.x.mean() for one in whole]),
            np.array([one.y.mean() for one in whole]),
            np.array([np.sqrt((one.error_x**2).sum()) / one.n for one in whole]),
            np.array([np.sqrt((one.error_y**2).sum()) / one.n for one in whole]),
            np.array([one.shared.sum() / one.n**2 for one in whole]),
        )
