"""What is known of the rows of lists: values of columns for each, and frames for foreign code."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from rankcast.replay.lists import Lists
from rankcast.tables import columns as c
from rankcast.tables.logs import Ints, Logs

_OWN = {"request": (c.REQUEST_ID, c.USER_ID, c.TIMESTAMP), "item": (c.ITEM_ID,), "user": (c.USER_ID,)}


def gather(lists: Lists, logs: Logs, scope: str, name: str) -> pl.Series:
    """A column (`request`, `item` or `user`) for every row."""
    if scope == "request":
        return logs.requests.frame[name].gather(lists.row_requests())
    if scope == "user":
        return logs.users.frame[name].gather(lists.row_users(logs))
    return logs.items.frame[name].gather(lists.item)


def scores(lists: Lists) -> pl.Series:
    """The score of every row, null for what was placed without one."""
    return pl.Series(lists.value, nan_to_null=True)


def list_frame(lists: Lists, logs: Logs) -> pl.DataFrame:
    """Lists as a frame: request_id, user_id, timestamp, item_id, rank, score, and all other columns as `request.<name>`,
    `item.<name>` and `user.<name>`.
    """
    own = {name: gather(lists, logs, "request", name) for name in (c.REQUEST_ID, c.USER_ID, c.TIMESTAMP)}
    return pl.DataFrame(
        {
            **own,
            c.ITEM_ID: gather(lists, logs, "item", c.ITEM_ID),
            c.RANK: lists.ranks(),
            c.SCORE: scores(lists),
            **{full: gather(lists, logs, *full.split(".", 1)) for full in attributes(logs)},
        }
    )


def request_frame(requests: Ints, logs: Logs, wanted: Iterable[str] | None = None) -> pl.DataFrame:
    """Requests as a frame: request_id, user_id, timestamp, the requests' other columns, and `user.<name>`.

    `wanted`: of the other columns only these (`request.<name>`, `user.<name>`).
    """
    columns = {name: logs.requests.frame[name].gather(requests) for name in _OWN["request"]}
    for full in attributes(logs) if wanted is None else wanted:
        scope, name = full.split(".", 1)
        if scope == "request":
            columns[name] = logs.requests.frame[name].gather(requests)
        elif scope == "user":
            columns[full] = logs.users.frame[name].gather(logs.requests.user[requests])
    return pl.DataFrame(columns)


def candidate_frame(
    requests: Ints, position: Ints, item: Ints, logs: Logs, wanted: Iterable[str] | None = None
) -> pl.DataFrame:
    """Candidates as a frame: request_id, item_id and `item.<name>`; `wanted` as in `request_frame`."""
    columns = {
        c.REQUEST_ID: logs.ids.requests.gather(requests[position]),
        c.ITEM_ID: logs.ids.items.gather(item),
    }
    for full in attributes(logs) if wanted is None else wanted:
        scope, name = full.split(".", 1)
        if scope == "item":
            columns[full] = logs.items.frame[name].gather(item)
    return pl.DataFrame(columns)


def attributes(logs: Logs) -> list[str]:
    """All columns beside keys and the request's time, as `scope.name`."""
    frames = {"request": logs.requests.frame, "item": logs.items.frame, "user": logs.users.frame}
    return [f"{scope}.{name}" for scope, frame in frames.items() for name in frame.columns if name not in _OWN[scope]]
