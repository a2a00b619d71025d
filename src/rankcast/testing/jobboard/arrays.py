"""The array types of the simulation and two small operations on them that several stages share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Bools: TypeAlias = NDArray[np.bool_]
Doubles: TypeAlias = NDArray[np.float64]

NONE = -1
"""Index that stands for 'no such thing': no filter, no candidate list, an empty place in a slate."""


def sigmoid(x: Floats) -> Floats:
    """Logistic function, elementwise, in (0, 1)."""
    value: Floats = np.float32(1.0) / (np.float32(1.0) + np.exp(-x))
    return value


def normal(rng: np.random.Generator, *shape: int) -> Floats:
    """Standard normal draws in single precision: half the memory, and no truth here needs more digits."""
    return rng.standard_normal(shape, dtype=np.float32)


def shares(weight: Doubles) -> Doubles:
    """Weights as probabilities."""
    result: Doubles = weight / weight.sum()
    return result


def habit_or_any(rng: np.random.Generator, habit: Ints, kinds: int, loyalty: float) -> Ints:
    """Each one's habitual kind with probability `loyalty`, else any of the `kinds`."""
    other = rng.integers(kinds, size=habit.size)
    return np.where(rng.random(habit.size) < loyalty, habit, other)
