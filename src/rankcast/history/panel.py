"""Every offline metric against every online metric, corrected for having looked at all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankcast.errors import RunError, nearest
from rankcast.history.link import FEWEST, Context, link_of
from rankcast.history.pairing import Paired, metrics_of, paired
from rankcast.history.tests import BAR, Bar, OnlineTest
from rankcast.records.history import History, Link
from rankcast.stats.agreement.correlations import permuted_p


@dataclass(frozen=True)
class Wanted:
    """What to look at. Empty: every metric there is. `worse`: metrics of which less is better. `tried`: by offline metric, the
    log-ratios of all that was evaluated and stands in no test.
    """

    online: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()
    worse: frozenset[str] = frozenset()
    confidence: float = 0.95
    seed: int = 0
    bar: Bar = BAR
    tried: Mapping[str, tuple[float, ...]] | None = None


def history_of(tests: Sequence[OnlineTest], wanted: Wanted) -> History:
    """The panel: a link for each online metric, group and offline metric, in that order."""
    found = _found(tests, wanted)
    p = _adjusted(found, wanted.seed)
    links = tuple(_link(one, p[at], len(found), wanted) for at, one in enumerate(found))
    unlike = [(one.name, one.misaligned(wanted.bar)) for one in tests if one.excluded is None]
    told = [f"{name}: {'; '.join(why)}" for name, why in unlike if why]
    return History(tests=len({(test.name, test.group) for test in tests}), links=links, problems=tuple(told))


def _found(tests: Sequence[OnlineTest], wanted: Wanted) -> list[Paired]:
    online, offline = metrics_of(tests)
    groups = sorted(dict.fromkeys(test.group for test in tests), key=lambda group: group is not None) or [None]
    return [
        paired(tests, goal, metric, group, wanted.worse, wanted.bar)
        for goal in wanted.online or online
        for group in groups
        for metric in wanted.offline or offline
    ]


def speaking_of(tests: Sequence[OnlineTest], group: str | None) -> tuple[OnlineTest, ...] | str:
    """The tests that speak for studies: of this group; silent: of all users, or of the only group there is. Else why not."""
    groups = dict.fromkeys(test.group for test in tests)
    if group is None and None not in groups and len(groups) > 1:
        return (
            f"past tests are of several groups ({', '.join(str(one) for one in groups)}); say which speaks for studies"
        )
    chosen = group if group is not None or None in groups else next(iter(groups), None)
    return tuple(test for test in tests if test.group == chosen)


def check_names(tests: Sequence[OnlineTest], wanted: Wanted) -> None:
    """RunError where a metric is wanted that no test has."""
    for which, names, there in zip(
        ("online", "offline"), (wanted.online, wanted.offline), metrics_of(tests), strict=True
    ):
        for name in names:
            if name not in there:
                raise RunError(f"no past test has the {which} metric {name}{nearest(name, there) or '; there is none'}")


def check_worse(tests: Sequence[OnlineTest], names: Sequence[str]) -> None:
    """RunError where less is said to be better of a metric that no test has."""
    there = [name for names in metrics_of(tests) for name in names]
    for name in names:
        if name not in there:
            raise RunError(f"no past test has the metric {name}{nearest(name, there) or '; there is none'}")


def check_group(tests: Sequence[OnlineTest], group: str | None) -> None:
    """RunError where no test is of this group."""
    there = [test.group for test in tests if test.group is not None]
    if group is not None and group not in there:
        raise RunError(f"no past test is of the group {group}{nearest(group, there) or '; there is none'}")


def _link(one: Paired, p: float | None, looks: int, wanted: Wanted) -> Link:
    tried = (wanted.tried or {}).get(one.offline, ()) if one.scale_offline == "relative" else ()
    tried = tuple(-value for value in tried) if one.offline in wanted.worse else tried
    return link_of(one, replace(Context(wanted.confidence, wanted.seed), looks=looks, p_adjusted=p, tried=tried))


def _adjusted(found: Sequence[Paired], seed: int) -> list[float | None]:
    """p of each link's |r| over tests: against the largest of all metrics on the same pairs (they are alike), times such sets."""
    together: dict[tuple[object, ...], list[int]] = {}
    for at, one in enumerate(found):
        if len(one.parts) >= FEWEST:
            key = (
                one.online,
                one.group,
                one.scale_online,
                "level" in (one.scale_offline, one.scale_online),
                tuple((row.test, row.variant) for row in one.rows),
            )
            together.setdefault(key, []).append(at)
    adjusted: list[float | None] = [None] * len(found)
    for places in together.values():
        means = [found[at].pairs.means(found[at].parts) for at in places]
        metrics = np.array([one.x for one in means])
        for at, p in zip(places, permuted_p(metrics, means[0].y, seed), strict=True):
            adjusted[at] = min(1.0, p * len(together))
    return adjusted
