"""Ids become 64-bit keys: integers as they are, text by a hash whose collisions are found, never trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.errors import DataError, RankcastError
from rankcast.sources import border
from rankcast.sources.rankings import Table
from rankcast.tables.logs import Ints


class CollisionError(RankcastError):
    """Two texts have one key: another seed will tell them apart."""


@dataclass(frozen=True)
class Keys:
    """How one kind of id becomes keys: `text` by a hash with a seed, integers as they are."""

    text: bool
    seed: int = 0

    def of(self, ids: pl.Series) -> Ints:
        """The key of each id."""
        if not self.text:
            return ids.to_numpy()
        keys: Ints = ids.hash(self.seed).to_numpy().view(np.int64)
        return keys

    def check_distinct(self, ids: pl.Series, keys: Ints) -> None:
        """CollisionError where distinct ids have one key."""
        if self.text and len(np.unique(keys)) < len(ids):
            raise CollisionError("two ids have the same hash")

    def check_same(self, one: pl.Series, other: pl.Series) -> None:
        """CollisionError where ids that were taken as the same by their keys are not."""
        if self.text and not (one == other).all():
            raise CollisionError("two ids have the same hash")


def check_repeats(pairs: pl.DataFrame, repeated: int, request_keys: Keys, item_keys: Keys) -> None:
    """CollisionError where so many rows repeat the keys of a (request, item), but not all of them repeat the ids."""
    if repeated and (request_keys.text or item_keys.text) and len(pairs) - pairs.n_unique() < repeated:
        raise CollisionError("two ids have the same hash")


def alike(columns: Sequence[tuple[Table, pl.Series]]) -> list[pl.Series]:
    """Ids of several tables in one type: a text file does not say whether its ids are integers. DataError where they differ."""
    held = [(table, ids) for table, ids in columns if len(ids) or table.lazy]
    typed = [(table, ids) for table, ids in held if not table.from_text]
    first = (typed or held or list(columns))[0]
    wanted = first[1].dtype
    if not typed and any(ids.dtype == pl.String for _, ids in held):
        wanted = pl.String()
    converted = [_as(ids, wanted) if table.from_text or not len(ids) else ids for table, ids in columns]
    for (table, _), ids in zip(columns, converted, strict=True):
        if ids.dtype != wanted:
            raise DataError(
                table.source.data_problem(
                    f"ids are {border.type_name(ids.dtype)}, but {border.type_name(wanted)} in {first[0].source.reads}; make "
                    "them one type",
                    ids.name,
                )
            )
    return converted


def _as(ids: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Text as integers where every one is a canonical integer, integers as text; nothing as anything."""
    if ids.dtype == dtype or not len(ids):
        return ids.cast(dtype)
    return ids.cast(pl.String) if dtype == pl.String else border.integers_of(ids)
