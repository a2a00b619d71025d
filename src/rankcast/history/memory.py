"""What happened when something alike was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankcast.history.tests import BAR, Change, OnlineTest
from rankcast.records.history import Scale
from rankcast.text import effect


@dataclass(frozen=True)
class Tried:
    """A past change: what it was and how it ended. `outcomes`: a line a variant and online metric; `also`: other words by which
    it is found.
    """

    name: str
    when: str
    kinds: tuple[str, ...]
    changes: tuple[str, ...]
    outcomes: tuple[str, ...]
    launched: tuple[str, ...] | None
    notes: str | None
    place: str
    also: tuple[str, ...] = ()


def of_test(test: OnlineTest) -> Tried:
    """A past online test."""
    outcomes = [
        f"{variant}: {metric} {_told(change)}"
        for metric, changes in test.online.items()
        for variant, change in changes.items()
    ]
    outcomes += [f"not to be trusted: {why}" for why in (test.excluded, *test.misaligned(BAR)) if why]
    said = [
        f"{variant}: offline {metric} {_told(change)}"
        for variant, numbers in test.offline.items()
        for metric, change in list(numbers.items())[:1]
    ]
    metrics = dict.fromkeys(metric for numbers in test.offline.values() for metric in numbers)
    launched = None if test.launched is None else tuple(sorted(test.launched))
    notes = " ".join(one for one in (test.why, test.notes) if one) or None
    return Tried(
        test.name,
        test.start or "",
        test.kinds,
        test.changes,
        (*outcomes, *said),
        launched,
        notes,
        test.place,
        tuple(one for one in (test.study, test.run, test.group, *metrics) if one),
    )


def search(tried: Sequence[Tried], words: Sequence[str]) -> list[Tried]:
    """What has every word in its name, kind, changes, variants, metrics or notes; the newest first.

    >>> cap = Tried("two-per-company", "2023-05-01", ("steps",), ("adds step cap at_most 2",), (), None, None, "")
    >>> [one.name for one in search([cap], ["Cap"])], search([cap], ["cap", "wage"])
    (['two-per-company'], [])
    """
    wanted = [word.casefold() for text in words for word in text.split()]
    found = [one for one in tried if all(word in _text(one) for word in wanted)]
    return sorted(found, key=lambda one: one.when, reverse=True)


def _text(one: Tried) -> str:
    return " ".join((one.name, *one.kinds, *one.changes, *one.outcomes, *one.also, one.notes or "")).casefold()


def _told(change: Change) -> str:
    scale: Scale = "relative" if change.log_ratio is not None else "level" if change.level else "absolute"
    value = change.difference if change.log_ratio is None else change.log_ratio
    error = change.error if change.log_ratio is None else change.error_log_ratio
    if value is None or error is None:
        return effect(value, scale)
    low, high = value - 1.96 * error, value + 1.96 * error
    return f"{effect(value, scale)} ({effect(low, scale)} to {effect(high, scale)})"
