"""What the functions of `foreign` do, again and in plain Python: one request at a time, on rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


# --- Steps: the rows of a list, best first, to the rows of the new one ---


def alternate_companies(rows: list[Row]) -> list[Row]:
    """Every second item of a company goes to the end; an item without a company stays."""
    first: list[Row] = []
    later: list[Row] = []
    seen: dict[Any, int] = defaultdict(int)
    for row in rows:
        company = row["item.company"]
        seen[company] += 1
        (later if company is not None and seen[company] % 2 == 0 else first).append(row)
    return first + later


def without_every_third(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["rank"] % 3 != 0]


def without_tests(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["item.is_test"] is not True]


def backwards(rows: list[Row]) -> list[Row]:
    """The last item comes first, and its old rank is its new score."""
    return [row | {"score": row["rank"]} for row in reversed(rows)]


def drawn(rows: list[Row]) -> list[Row]:
    """Lists of several items lose the last one."""
    return rows[:-1] if len(rows) > 1 else rows


# --- Scores: the candidates of a request, by item, to their scores; who is left out is no candidate ---


def by_wage(rows: list[Row]) -> dict[Any, float]:
    return {row["item_id"]: 9.0 if row["item.wage"] is None else row["item.wage"] for row in rows}


def by_place(rows: list[Row]) -> dict[Any, float]:
    return {row["item_id"]: place * 7 % 5 for place, row in enumerate(rows)}


def by_city(rows: list[Row]) -> dict[Any, float]:
    """Every third candidate is left out; new users like high wages, others low ones."""
    scores = {}
    for place, row in enumerate(rows):
        if place % 3 == 2:
            continue
        wage = 0.0 if row["item.wage"] is None else row["item.wage"]
        here = row["item.city"] is not None and row["item.city"] == row["request.city"]
        scores[row["item_id"]] = (100.0 if here else 0.0) + (wage if row["user.tenure"] == "new" else -wage)
    return scores


def selective(rows: list[Row]) -> dict[Any, float]:
    """The first candidate is left out wherever there are several; the others stand by item, upside down."""
    return {row["item_id"]: float(place) for place, row in enumerate(rows) if place or len(rows) == 1}


def by_lot(rows: list[Row]) -> dict[Any, float]:
    return {row["item_id"]: place * 3 % 7 / 2 for place, row in enumerate(rows)}


STEPS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "foreign:alternate_companies": alternate_companies,
    "foreign:without_every_third": without_every_third,
    "foreign:without_tests": without_tests,
    "foreign:backwards": backwards,
    "foreign:drawn": drawn,
}
SCORES: dict[str, Callable[[list[Row]], dict[Any, float]]] = {
    "foreign:by_wage": by_wage,
    "foreign:by_place": by_place,
    "foreign:by_city": by_city,
    "foreign:selective": selective,
    "foreign:by_lot": by_lot,
}
