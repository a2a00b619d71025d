"""Fidelity: how closely replayed slates match the lists that were really shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.replay.lists import Lists
from rankcast.tables.logs import Bools, Floats, Logs
from rankcast.tables.ragged import members, place_in_group, spans


@dataclass(frozen=True)
class Agreement:
    """Per request with at least one impression: overlap |A and B| / max(|A|, |B|), and whether A = B, order included."""

    measured: Bools
    overlap: Floats
    exact: Bools


def agreement(slates: Lists, served: int, logs: Logs) -> Agreement:
    """A = the replayed slate, B = the impressions by rank, both cut to `served`; repeated items count once.

    Arrays have an entry per request.
    """
    items = len(logs.ids.items)
    slates = slates.distinct()
    position, at = spans(*logs.impressions_of(slates.requests))
    cut = (place_in_group(position) < served) & ~logs.impressions.repeated[at]
    position, item = position[cut], logs.impressions.item[at][cut]
    shown = np.bincount(position, minlength=slates.n)
    replayed = slates.lengths()
    ours, theirs = slates.pairs(items), position * items + item
    common = np.bincount(slates.position, members(ours, theirs), slates.n)
    longest = np.maximum(replayed, shown)
    overlap = np.divide(common, longest, out=np.zeros(slates.n), where=longest > 0)
    return Agreement(shown > 0, overlap, _same(slates, position, item, replayed == shown))


def _same(slates: Lists, position: np.ndarray, item: np.ndarray, same_length: Bools) -> Bools:
    mine, theirs = same_length[slates.position], same_length[position]
    differs = slates.item[mine] != item[theirs]
    same: Bools = same_length & (np.bincount(slates.position[mine], differs, slates.n) == 0)
    return same
