"""Adjusting p-values for having looked more than once, within a declared family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: controls the chance of even one false alarm (Holm, 1979).

    Sorted p_(i), i from 1 of m: adjusted = max over j <= i of min(1, (m - j + 1) p_(j)).

    >>> [round(p, 6) for p in holm([0.001, 0.03, 0.03, 0.04])]
    [0.004, 0.09, 0.09, 0.09]
    """
    order = np.argsort(p_values, kind="stable")
    sizes = len(p_values) - np.arange(len(p_values))
    stepped = np.maximum.accumulate(np.minimum(1.0, np.asarray(p_values, dtype=float)[order] * sizes))
    return _in_place(stepped, order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's step-up adjustment: controls the share of false alarms (1995).

    Sorted p_(i): adjusted = min over j >= i of min(1, m p_(j) / j).

    >>> [round(p, 6) for p in benjamini_hochberg([0.02, 0.024, 0.03])]
    [0.03, 0.03, 0.03]
    """
    order = np.argsort(p_values, kind="stable")
    ranks = np.arange(1, len(p_values) + 1)
    raised = np.minimum(1.0, np.asarray(p_values, dtype=float)[order] * len(p_values) / ranks)
    stepped = np.minimum.accumulate(raised[::-1])[::-1]
    return _in_place(stepped, order)


def unadjusted(p_values: Sequence[float]) -> list[float]:
    """The p-values as they are, for a family that is declared as such."""
    return [float(p) for p in p_values]


def _in_place(stepped: np.ndarray, order: np.ndarray) -> list[float]:
    adjusted = np.empty(len(order))
    adjusted[order] = stepped
    return [float(p) for p in adjusted]
