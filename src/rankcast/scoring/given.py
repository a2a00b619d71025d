"""What was handed over to `score`, opened and under our names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from rankcast.errors import DataError, nearest
from rankcast.evaluate.catalogue import Catalogue, History
from rankcast.evaluate.metric import CATALOGUE, HISTORY, Metric
from rankcast.scoring.keys import Keys, alike
from rankcast.sources import rankings
from rankcast.sources.rankings import Table
from rankcast.tables import columns as c
from rankcast.tables import schema
from rankcast.tables.keys import KeyIndex


@dataclass(frozen=True)
class Given:
    """What was handed over, opened and under our names. `slate_rows` are checked where they are in memory anyway."""

    slates: Table
    slate_rows: pl.DataFrame | None
    labels: Table
    label_rows: pl.DataFrame
    items: tuple[Table, pl.DataFrame] | None
    history: tuple[Table, pl.DataFrame] | None

    @classmethod
    def open(cls, slates: Any, labels: Any, columns: dict[str, str], items: Any, history: Any) -> Given:
        slate_table, label_table = rankings.slates_and_labels(
            rankings.open_table(slates, "slates", c.SCORE, lazy=True),
            rankings.open_table(labels, "labels", c.GRADE),
            columns,
        )
        label_rows = rankings.read_labels(label_table)
        whole = slate_table.whole is not None
        rows = slate_table.read(schema.SLATES) if whole else slate_table.check(slate_table.sample(), schema.SLATES)
        catalogue = None if items is None else rankings.read_catalogue(items, columns)
        past = None if history is None else rankings.read_history(history, columns)
        for name in (c.REQUEST_ID, c.ITEM_ID):
            ours, theirs = alike((slate_table, rows[name]), (label_table, label_rows[name]))
            rows, label_rows = rows.with_columns(ours), label_rows.with_columns(theirs)
        return cls(slate_table, rows if whole else None, label_table, label_rows, catalogue, past)

    def check_needs(self, metrics: Iterable[Metric]) -> None:
        """DataError where a metric needs what was not given."""
        for metric in metrics:
            for need in sorted(metric.needs()):
                scope, _, name = need.partition(".")
                if scope in {CATALOGUE, "item"} and self.items is None:
                    raise DataError(
                        f"`{metric}` needs to know the items: give --items, a file with item_id and attributes"
                    )
                if need == HISTORY and self.history is None:
                    raise DataError(
                        f"`{metric}` needs what users did before: give --history, a file with user_id, item_id"
                    )
                if scope == "item" and self.items is not None and name not in self.items[1].columns:
                    raise DataError(f"`{metric}`: no column `{name}` in items{nearest(name, self.items[1].columns)}")


def catalogue_of(given: Given, keys: Keys) -> Catalogue | None:
    """What is known of items; its codes are in order of item_id."""
    tables = [one for one in (given.items, given.history) if one is not None]
    if not tables:
        return None
    labelled = (given.labels, given.label_rows[c.ITEM_ID])
    ids = [alike(labelled, (table, frame[c.ITEM_ID]))[1] for table, frame in tables]
    universe = pl.concat(ids).unique().sort()
    code = pl.DataFrame({c.ITEM_ID: universe}).with_row_index("code")
    item_keys = keys.of(universe)
    keys.check_distinct(universe, item_keys)
    frame, available, history = pl.DataFrame({c.ITEM_ID: universe}), np.zeros(len(universe), dtype=bool), None
    if given.items is not None:
        frame = frame.join(given.items[1].with_columns(ids[0]), on=c.ITEM_ID, how="left", maintain_order="left")
        available = universe.is_in(ids[0].implode()).to_numpy()
    if given.history is not None:
        item = pl.DataFrame({c.ITEM_ID: ids[-1]}).join(code, on=c.ITEM_ID, maintain_order="left")["code"]
        user = given.history[1][c.USER_ID].rank("dense")
        history = History.of(user.cast(pl.Int64).to_numpy(), item.cast(pl.Int64).to_numpy(), len(universe))
    return Catalogue(frame, available, history, KeyIndex(item_keys))
