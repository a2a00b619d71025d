"""What was handed over to `score`, opened and under our names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from rankcast.errors import DataError, nearest
from rankcast.evaluate.catalogue import Catalogue, History
from rankcast.evaluate.metric import CATALOGUE, EXAMINATION, HISTORY, Metric
from rankcast.scoring.keys import Keys, alike
from rankcast.sources import rankings
from rankcast.sources.rankings import Table
from rankcast.tables import columns as c
from rankcast.tables import schema
from rankcast.tables.keys import KeyIndex


@dataclass(frozen=True)
class Given:
    """Tables and their rows, checked, with ids of one type. `slate_rows` are a few only where the table is not in memory."""

    slates: Table
    slate_rows: pl.DataFrame
    labels: Table
    label_rows: pl.DataFrame
    items: pl.DataFrame | None
    history: pl.DataFrame | None

    @classmethod
    def open(cls, slates: Any, labels: Any, columns: Mapping[str, str], items: Any, history: Any) -> Given:
        """Open everything; DataError says what is wrong with it."""
        tables = {
            "slates": rankings.open_table(slates, "slates", c.SCORE, lazy=True),
            "labels": rankings.open_table(labels, "labels", c.GRADE),
        }
        for name, given in (("items", items), ("history", history)):
            if given is not None:
                tables[name] = rankings.open_table(given, name, c.SCORE)
        tables = rankings.under_our_names(tables, columns)
        rows = {
            "slates": tables["slates"].read_or_look(schema.SLATES),
            "labels": rankings.read_labels(tables["labels"]),
        }
        rows |= {name: tables[name].read(schema.BESIDE[name]) for name in tables if name in schema.BESIDE}
        for ids, names in ((c.REQUEST_ID, ("slates", "labels")), (c.ITEM_ID, tuple(tables))):
            found = alike([(tables[name], rows[name][ids]) for name in names])
            rows |= {name: rows[name].with_columns(column) for name, column in zip(names, found, strict=True)}
        slate_table = tables["slates"]
        if slate_table.whole is not None:
            slate_table = replace(slate_table, whole=rows["slates"], source=replace(slate_table.source, columns={}))
        return cls(
            slate_table, rows["slates"], tables["labels"], rows["labels"], rows.get("items"), rows.get("history")
        )

    def check(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Rows of the slates under our names; what is in memory was checked as a whole."""
        if self.slates.whole is not None:
            return raw
        frame = self.slates.check(raw, schema.SLATES)
        first = self.slate_rows
        odd = [name for name in (c.REQUEST_ID, c.ITEM_ID) if frame[name].dtype != first[name].dtype]
        if odd or frame.columns != first.columns:
            what = f"`{odd[0]}` has another type" if odd else "`score` stands in some, `rank` in others"
            raise DataError(self.slates.source.data_problem(f"the files do not fit together: {what}"))
        return frame

    def check_needs(self, metrics: Iterable[Metric]) -> None:
        """DataError where a metric needs what was not given."""
        for metric in metrics:
            for need in sorted(metric.needs()):
                scope, _, name = need.partition(".")
                if scope in {CATALOGUE, "item"} and self.items is None:
                    raise DataError(
                        f"`{metric}` needs to know the items: give --items (in Python, items=), a table of item_id and attributes"
                    )
                if need == EXAMINATION:
                    raise DataError(
                        f"`{metric}` needs to know how far users look, which a study estimates from impressions and clicks"
                    )
                if need == HISTORY and self.history is None:
                    raise DataError(
                        f"`{metric}` needs what users did before: give --history (in Python, history=), a table of user_id, "
                        "item_id"
                    )
                if scope == "item" and self.items is not None and name not in self.items.columns:
                    raise DataError(f"`{metric}`: no column `{name}` in items{nearest(name, self.items.columns)}")

    def catalogue(self, keys: Keys) -> Catalogue | None:
        """What is known of items; its codes are in order of item_id."""
        known = [frame[c.ITEM_ID] for frame in (self.items, self.history) if frame is not None]
        if not known:
            return None
        universe = pl.concat(known).unique().sort()
        item_keys = keys.of(universe)
        keys.check_distinct(universe, item_keys)
        frame, available, history = pl.DataFrame({c.ITEM_ID: universe}), np.zeros(len(universe), dtype=bool), None
        if self.items is not None:
            frame = frame.join(self.items, on=c.ITEM_ID, how="left", maintain_order="left")
            available = universe.is_in(self.items[c.ITEM_ID].implode()).to_numpy()
        if self.history is not None:
            item = KeyIndex(item_keys).find(keys.of(self.history[c.ITEM_ID]))
            user = self.history[c.USER_ID].rank("dense").cast(pl.Int64).to_numpy()
            history = History.of(user, item, len(universe))
        return Catalogue(frame, available, history, KeyIndex(item_keys))
