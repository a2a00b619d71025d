"""ST02 unclustered-units."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from rankcast.config.plan import Plan
from rankcast.records import Finding
from rankcast.rules.evidence import Found
from rankcast.rules.rule import Rule, compared_of
from rankcast.rules.thresholds import FEW, LEAST
from rankcast.tables.logs import Ints
from rankcast.tables.valuesets import group_codes

_MOST_EACH = 50  # requests a person, on average
_SELLER = re.compile(r"(^|_)(company|seller|employer|shop|merchant|advertiser|host|brand)(_?id)?($|_)")
_PERSON = re.compile(
    r"(^|_)(user|uid|member|account|customer|visitor|viewer|reader|subscriber|person|client)(_?id)?($|_)"
)


class UnclusteredUnits(Rule):
    """Requests of one person are alike. Where `user_id` holds a session or a request, each is taken as another person, and
    intervals come out too narrow.

    Check: another column of the requests looks like a person (user, member, account, customer, visitor) and gathers
    requests that `user_id` keeps apart: the design effect of clustering by it, variance over variance, exceeds the
    threshold: an error. For the other side of a market: an item's company, by which the design effect exceeds the
    threshold, is a warning unless `compare.cluster` names a second cluster. Remedy: map that column to `user_id`, or
    name it in `compare: {cluster: [user, ...]}`. Source: Deng, Lu and Litz, 2017; Owen, 2007.
    """

    code = "ST02"
    name = "unclustered-units"
    moment = "result"
    severity = "error"
    at = ("service", "tables", "requests")
    good = """
# service.yaml
tables: {requests: {path: data/requests.parquet, columns: {user_id: member_id}}}
"""
    bad = """
# service.yaml
tables: {requests: {path: data/requests.parquet, columns: {user_id: session_id}}}
# data: the requests have member_id too; two_tower is better for some members and worse for others
"""

    def judge(self, plan: Plan, found: Found) -> Finding:
        logs, user = found.logs, found.logs.requests.user[found.targets]
        if len(np.unique(user)) < 2:
            return self.cannot("there are fewer than two users with a target", "look at the ledger")
        worst: tuple[float, str, str] | None = None
        for name in (
            one for one in logs.requests.frame.columns if one not in logs.keys and _PERSON.search(one.lower())
        ):
            column = logs.requests.frame[name].gather(found.targets).cast(pl.String)
            if column.n_unique() < max(FEW, len(column) / _MOST_EACH):
                continue  # a category, whatever its name
            deff = self._effect(plan, found, group_codes(column.alias(name)))
            if deff is not None and (worst is None or deff > worst[0]):
                worst = (deff, f"request.{name}", name)
        if worst is not None and worst[0] > self.limit(plan, "deff"):
            return self.fired(
                "error" if len(found.targets) >= LEAST else "warning",
                f"`user_id` keeps requests apart that `{worst[2]}` puts together: clustered by it the variance is "
                f"{worst[0]:.2f} times as large",
                f"map it: `columns: {{user_id: {worst[2]}}}`, or `compare: {{cluster: [user, {worst[1]}]}}`",
            )
        other = self._other_side(plan, found)
        if other is not None:
            return other
        known = [found.again(name) for name in compared_of(plan)]
        if not any(one is not None and one.error is not None for one in known):
            return self.cannot(
                "there is no difference of a decided variant with an interval", "add a variant; look at the ledger"
            )
        told = f"clustered by {len(np.unique(user)):,} users, {len(user) / len(np.unique(user)):.1f} targets each"
        if worst is not None:
            told += f"; `{worst[2]}` gathers them further, with a variance {worst[0]:.2f} times as large"
        return self.passed(told, 0, len(user))

    def _other_side(self, plan: Plan, found: Found) -> Finding | None:
        """A market's other side: targets whose first relevant items belong to one company are alike too."""
        logs = found.logs
        if len(plan.study.compare.cluster) > 1 or not len(found.positives.item):
            return None
        request, first = np.unique(found.positives.request, return_index=True)
        item = np.full(len(found.targets), -1, dtype=np.int64)
        item[np.searchsorted(found.targets, request)] = found.positives.item[first]
        for name in (one for one in logs.items.frame.columns if _SELLER.search(one.lower())):
            groups = group_codes(logs.items.frame[name].cast(pl.String).alias(name))
            deff = self._effect(plan, found, np.where(item >= 0, groups[item], -1), finer=True)
            if deff is not None and deff > self.limit(plan, "market"):
                return self.fired(
                    "warning",
                    f"targets whose relevant items share `item.{name}` are alike: clustered by it the variance is {deff:.2f} "
                    "times as large as by user",
                    f"cluster by both: `compare: {{cluster: [user, item.{name}]}}`",
                    at=("study", "compare"),
                )
        return None

    def _effect(self, plan: Plan, found: Found, codes: Ints, finer: bool = False) -> float | None:
        """The design effect of another clustering, the largest of all variants; None where it is finer, or nothing varies."""
        user = found.logs.requests.user[found.targets]
        alone = codes < 0
        codes = np.where(alone, codes.max(initial=-1) + 1 + user, codes)
        if not finer and len(np.unique(codes)) >= len(np.unique(user)):
            return None
        effects = []
        for name in compared_of(plan):
            ours, theirs = found.again(name), found.again(name, cluster=codes)
            if ours is not None and theirs is not None and ours.error and theirs.error is not None:
                effects.append((theirs.error / ours.error) ** 2)
        return max(effects, default=None)
