"""How well some requests can be told from others by their columns: a small classifier, measured on users it has not seen."""

from __future__ import annotations

import numpy as np
import polars as pl

from rankcast.rules.evidence import Found
from rankcast.rules.thresholds import LEAST
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.valuesets import group_codes

MOST_VALUES = 1_000
_BINS = 10


def told_apart(found: Found) -> float | None:
    """AUC by which columns of requests tell targets among all replayed requests; None where there is nothing to tell by,
    or too few requests of either kind. It is what chance cannot explain: two standard errors below the estimate, 0.5 at least.

    Naive Bayes: log odds add up over columns, each value's odds smoothed by one request of either kind; fitted to the users
    with even codes and measured on the others, and the other way round.
    """
    logs = found.logs
    is_target = np.zeros(len(logs.requests.time), dtype=bool)
    is_target[found.targets] = True
    answer = is_target[found.replayed]
    if min(answer.sum(), (~answer).sum()) < LEAST:
        return None
    frame = logs.requests.frame
    every = [_codes(frame[name].gather(found.replayed)) for name in frame.columns if name not in logs.keys]
    columns = [codes for codes in every if codes is not None]
    if not columns:
        return None
    fold = logs.requests.user[found.replayed] % 2 == 0
    areas = [one for one in (_held_out(columns, answer, fold), _held_out(columns, answer, ~fold)) if one is not None]
    chance = 2 * (1 / (12 * min(answer.sum(), (~answer).sum()))) ** 0.5
    return max(0.5, float(np.mean(areas)) - chance) if areas else None


def _codes(column: pl.Series) -> Ints | None:
    """A code of each value, from 0; None for a column that tells nothing, or everything."""
    if column.dtype.is_float() or (column.dtype.is_integer() and column.n_unique() > _BINS):
        numbers = column.cast(pl.Float64).fill_null(np.nan).fill_nan(None)
        edges = [edge for edge in (numbers.quantile(at / _BINS) for at in range(1, _BINS)) if edge is not None]
        values = numbers.fill_null(np.inf).to_numpy()
        codes: Ints = np.searchsorted(np.unique(np.array(edges)), values, side="right")
    elif column.dtype.is_temporal() or column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return None
    else:
        codes = group_codes(column) + 1
    sizes = len(np.unique(codes))
    return codes if 1 < sizes <= MOST_VALUES else None


def _held_out(columns: list[Ints], answer: Bools, fold: Bools) -> float | None:
    """AUC on the rows outside the fold, of what was fitted inside."""
    inside, outside = np.flatnonzero(fold), np.flatnonzero(~fold)
    if not answer[inside].any() or answer[inside].all():
        return None
    score = np.zeros(len(outside))
    for codes in columns:
        size = int(codes.max()) + 1
        yes = np.bincount(codes[inside][answer[inside]], minlength=size) + 1.0
        no = np.bincount(codes[inside][~answer[inside]], minlength=size) + 1.0
        score += np.log(yes / yes.sum() / (no / no.sum()))[codes[outside]]
    return area(score, answer[outside])


def area(score: Floats, answer: Bools) -> float | None:
    """Area under the curve: how often a positive scores above a negative, ties half.

    >>> area(np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False]))
    0.625
    """
    n = int(answer.sum())
    if not n or n == len(answer):
        return None
    _, code, size = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(size) - (size - 1) / 2
    ranks = middle[code]
    return float((ranks[answer].sum() - n * (n + 1) / 2) / (n * (len(answer) - n)))
