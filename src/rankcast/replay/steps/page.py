"""Step `page`: the page that the user asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from rankcast.errors import ConfigError, DataError, clip, show
from rankcast.replay.lists import Lists
from rankcast.replay.step import Change, Context, column, mapping
from rankcast.tables.logs import Bools, Ints


@dataclass(frozen=True)
class Page:
    """Keeps the items of one page of the list: with `size` n and page p, ranks (p - 1) n + 1 to p n. Pages count from 1; a
    request without a page asks for the first.

    `page: {size: 20, number: request.page}`
    """

    size: int
    number: str
    kind: ClassVar[str] = "page"
    alone: ClassVar[bool] = False
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = {"size": 2, "number": "request.page"}

    @classmethod
    def parse(cls, argument: object) -> Page:
        given = mapping(argument, {"size", "number"}, set(), "size: 20, number: request.page")
        size = given["size"]
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"size: expected an integer from 1, found {show(size)}")
        try:
            return cls(size, column(given["number"], ("request",))[1])
        except ConfigError as error:
            raise ConfigError(f"number: {error}") from error

    def needs(self) -> frozenset[str]:
        return frozenset({f"request.{self.number}"})

    def bind(self, context: Context) -> Change:
        pages = self._pages(context.logs.requests.frame)

        def keep(lists: Lists) -> Bools:
            page = pages[lists.row_requests()]
            rank = lists.ranks()
            kept: Bools = ((page - 1) * self.size < rank) & (rank <= page * self.size)
            return kept

        return keep

    def _pages(self, requests: pl.DataFrame) -> Ints:
        column = requests[self.number]
        number = column.cast(pl.Float64, strict=False) if column.dtype.is_numeric() or column.dtype == pl.Null else None
        if number is None:
            odd = clip(str(column.drop_nulls().first()), 40)
            raise DataError(
                f"request.{self.number}: expected page numbers, found {column.dtype} such as {odd}; make it an integer, e.g. "
                "with CAST in `sql`"
            )
        broken = column.filter(
            ((number < 1) | (number != number.floor()) | number.is_infinite()).fill_null(value=False)
        )
        if len(broken):
            raise DataError(
                f"request.{self.number}: {len(broken)} of {len(column)} values are no page number, such as "
                f"{show(broken[0])}; pages are integers from 1, null is the first"
            )
        return number.fill_null(1.0).clip(1.0, 2.0**40).cast(pl.Int64).to_numpy()
