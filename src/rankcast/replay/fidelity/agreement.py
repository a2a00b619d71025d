"""Fidelity: how closely replayed slates match the lists that were really shown, after every step and without each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rankcast.errors import RankcastError
from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.fidelity.rank_agreement import Common, kendall_tau, rank_biased_overlap, rank_error
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import Stage, through, without
from rankcast.tables.logs import Bools, Floats, Ints

CANDIDATES = "candidates"


@dataclass(frozen=True)
class Agreement:
    """Per request of a shard; only where `measured` (there is an impression) do the others mean anything.

    With A the replayed slate and B the logged list: overlap |A and B| / max(|A|, |B|); exact: A = B, order included;
    rank-biased overlap with its bounds; Kendall's tau and the mean rank error over common items (NaN without enough of them).
    `after` has the overlap of the list after each step, cut to `served`, `without` that of the slate if a step is left out
    (NaN where a later step cannot do without it).
    """

    measured: Bools
    overlap: Floats
    exact: Bools
    rbo: Floats
    rbo_low: Floats
    rbo_high: Floats
    kendall_tau: Floats
    rank_mae: Floats
    after: Mapping[str, Floats]
    without: Mapping[str, Floats]


def agreement(slates: Lists, stages: Sequence[Stage], candidates: Lists, served: int, logged: Logged) -> Agreement:
    """Hold the slates of one variant (already cut to `served`) against the log; its lists know their logged ranks."""
    once = slates.distinct()
    overlap = overlaps(once, logged)
    ours = once.keep(_shown(once))
    rank = once.ranks()[_shown(once)]
    theirs = ours.logged if ours.logged is not None else rank
    common = Common(ours.position, rank, theirs, once.lengths(), logged.lengths)
    rbo = rank_biased_overlap(common)
    moved = np.bincount(common.pair, common.a != common.b, logged.n) > 0
    after = {CANDIDATES: overlaps(candidates.first(served).distinct(), logged)}
    after |= {stage.name: overlaps(logged.mark(stage.after).first(served).distinct(), logged) for stage in stages}
    left_out = {}
    for at, stage in enumerate(stages):
        try:
            lists, touched = without(stages, at)
        except RankcastError:  # for some request a later step cannot do without this one
            left_out[stage.name] = _one_by_one(stages, at, np.arange(logged.n), served, logged)
            continue
        left_out[stage.name] = np.where(touched, overlaps(logged.mark(lists.first(served)).distinct(), logged), overlap)
    return Agreement(
        measured=logged.measured,
        overlap=overlap,
        exact=(overlap == 1.0) & ~moved,
        rbo=rbo.extrapolated,
        rbo_low=rbo.low,
        rbo_high=rbo.high,
        kendall_tau=kendall_tau(common),
        rank_mae=rank_error(common),
        after=after,
        without=left_out,
    )


def _one_by_one(stages: Sequence[Stage], left_out: int, some: Ints, served: int, logged: Logged) -> Floats:
    """Overlap without a step for some requests (positions); NaN for those alone for which a later step refuses the list."""
    chosen = np.zeros(logged.n, dtype=bool)
    chosen[some] = True
    before = stages[left_out].before
    try:
        lists = through((stage.bound for stage in stages[left_out + 1 :]), before.keep(chosen[before.position]))
    except RankcastError:
        if len(some) == 1:
            return np.array([np.nan])
        halves = np.array_split(some, 2)
        return np.concatenate([_one_by_one(stages, left_out, half, served, logged) for half in halves])
    return overlaps(logged.mark(lists.first(served)).distinct(), logged)[some]


def overlaps(lists: Lists, logged: Logged) -> Floats:
    """|A and B| / max(|A|, |B|) per request; 0 where both are empty."""
    common = np.bincount(lists.position[_shown(lists)], minlength=logged.n)
    longest = np.maximum(lists.lengths(), logged.lengths)
    return np.divide(common, longest, out=np.zeros(logged.n), where=longest > 0)


def _shown(lists: Lists) -> Bools:
    if lists.logged is None:
        raise ValueError("lists must be marked before they are held against the log")
    shown: Bools = lists.logged > 0
    return shown
