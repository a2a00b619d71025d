"""What was shown, and how often: the state of metrics per variant.

`Shown` is created empty, added to, and merged; its order is canonical, so merging shards in any order gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from rankcast.evaluate.catalogue import Catalogue, looked_up
from rankcast.evaluate.kernels import ratio, within
from rankcast.tables.logs import Bools, Floats, Ints

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Shown:
    """Which items each owner (a request) was shown, and at which rank: sorted by owner, rank and item."""

    owner: Ints
    item: Ints
    rank: Ints

    @classmethod
    def create(cls) -> Shown:
        """Nothing was shown yet."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing)

    def add(self, owner: Ints, item: Ints, rank: Ints) -> Shown:
        """With further rows; an owner's rows come in one go."""
        return self.merge(Shown(owner, item, rank))

    def merge(self, *others: Shown) -> Shown:
        """With what other shards were shown.

        >>> one = Shown.create().add(np.array([2]), np.array([7]), np.array([1]))
        >>> two = Shown.create().add(np.array([1]), np.array([8]), np.array([1]))
        >>> one.merge(two).item.tolist() == two.merge(one).item.tolist() == [8, 7]
        True
        """
        parts = (self, *others)
        owner, item, rank = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("owner", "item", "rank")
        )
        order = np.lexsort((item, rank, owner))
        return Shown(owner[order], item[order], rank[order])

    def only(self, kept: Bools) -> Shown:
        """Some of the rows."""
        return Shown(self.owner[kept], self.item[kept], self.rank[kept])

    def within(self, k: int | None) -> Shown:
        """The rows within rank k."""
        return self.only(within(self.rank, k))


@dataclass(frozen=True)
class Exposure:
    """Shown rows under B weightings of users: `user` (0..U-1) of each row, `weights` (U, B).

    A weighting is how often a bootstrap drew each user; ones for the data as they are.
    """

    shown: Shown
    user: Ints
    weights: Floats
    catalogue: Catalogue | None
    _memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def weighted(self, weights: Floats) -> Exposure:
        """The same rows under other weightings; what does not depend on them is kept."""
        return replace(self, weights=weights)

    @property
    def items(self) -> Ints:
        """The m distinct items that were shown, sorted."""
        return self.once("items", lambda: np.unique(self.shown.item))

    def item_codes(self) -> Ints:
        """Position of each row's item in `items`."""
        return self.once("codes", lambda: np.searchsorted(self.items, self.shown.item))

    def times(self) -> Floats:
        """How often each item was shown (m, B)."""
        return self.sum_by_item("times", lambda: np.ones(len(self.shown.item)))

    def sum_by_item(self, name: str, amounts: Callable[[], Floats]) -> Floats:
        """Sum of the rows' amounts, weighted by user, for each item (m, B). `name` tells one kind of amounts from another."""
        users, draws = self.weights.shape
        if draws == 1:
            total = np.bincount(self.item_codes(), amounts() * self.weights[self.user, 0], len(self.items))
            return total.astype(np.float64)[:, None]
        from scipy.sparse import csr_array

        def matrix() -> Any:
            return csr_array((amounts(), (self.item_codes(), self.user)), shape=(len(self.items), users))

        summed: Floats = self.once(f"sum of {name}", matrix) @ self.weights
        return summed

    def once(self, key: str, compute: Callable[[], Answer]) -> Answer:
        """What does not depend on the weights is computed once."""
        if key not in self._memory:
            self._memory[key] = compute()
        answer: Answer = self._memory[key]
        return answer

    def known(self) -> Catalogue:
        """What is known of items."""
        if self.catalogue is None:
            raise ValueError("nothing is known of items: the metric must say what it `needs`")
        return self.catalogue

    def of_available(self, catalogue: Catalogue) -> tuple[Ints, Floats]:
        """Codes of the available items that were shown, and how often (a, B)."""
        code = catalogue.place(self.items)
        inside = looked_up(catalogue.available, code, 0)
        return code[inside], self.times()[inside]


def gini(amounts: Floats, zeros: int) -> Floats:
    """Gini coefficient of each column (a, B), with so many further members that have nothing. NaN where nobody has anything.

    x ascending over n members: sum((2 i - n - 1) x_i) / (n sum(x)). 0 is equality, (n - 1) / n one has all.

    >>> gini(np.array([[1.0], [3.0]]), 0).tolist(), gini(np.array([[1.0]]), 3).tolist()
    ([0.25], [0.75])
    """
    n = len(amounts) + zeros
    place = np.arange(zeros + 1, n + 1)
    total = amounts.sum(axis=0)
    weighted = ((2.0 * place - n - 1.0)[:, None] * np.sort(amounts, axis=0)).sum(axis=0)
    return ratio(weighted, n * total)


@dataclass(frozen=True)
class Pool:
    """What one variant showed, for one metric: `shown.owner` counts targets, which have a `user` and belong to parts.

    `masks` and `catalogues` are by number of the part.
    """

    read: Callable[[Exposure], Floats]
    shown: Shown
    user: Ints
    masks: tuple[Bools, ...]
    catalogues: tuple[Catalogue | None, ...]
    _memory: dict[int, Exposure] = field(default_factory=dict, repr=False, compare=False)

    def over(self, mask: Bools) -> Pool:
        """The same with one part: some of the targets."""
        return Pool(self.read, self.shown, self.user, (mask,), self.catalogues[:1])

    def values(self, part: int, weights: Floats) -> Floats:
        """The metric over a part, under B weightings (U, B) of the part's users in order of their codes (B)."""
        if part not in self._memory:
            mask = self.masks[part]
            member = np.full(len(mask), -1, dtype=np.int64)
            member[mask] = np.unique(self.user[mask], return_inverse=True)[1]
            rows = self.shown.only(mask[self.shown.owner])
            self._memory[part] = Exposure(rows, member[rows.owner], weights, self.catalogues[part])
        return self.read(self._memory[part].weighted(weights))
