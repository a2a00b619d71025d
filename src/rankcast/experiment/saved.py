"""Replays of a shard on disk: what a killed run takes up again, and what a run with other metrics need not replay.

Three files a shard: `slates/<name>.parquet` (the lists), `replays/<name>.parquet` (a row per variant and request: how the list
came about) and `replays/<name>.json` (what adds up over requests), written last: a shard that has it is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rankcast.replay.fidelity.agreement import Agreement
from rankcast.replay.fidelity.mismatches import Mismatches
from rankcast.replay.fidelity.probes import Probed
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import StepCount
from rankcast.replay.reproduce import Facts, Replay, Trace
from rankcast.replay.ties import Tied
from rankcast.sources.encode import Encoder
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ids, Ints, Logs

SLATES, REPLAYS = "slates", "replays"
AFTER, WITHOUT = "after:", "without:"
_MEASURES = ("overlap", "exact", "rbo", "rbo_low", "rbo_high", "kendall_tau", "rank_mae")
_AGREEMENT = "fidelity_"


def write(folder: Path, name: str, slates: pl.DataFrame, replays: Mapping[str, Replay], logs: Logs) -> None:
    """Put a shard on disk. `slates` are the rows as users read them."""
    slates.write_parquet(folder / SLATES / f"{name}.parquet")
    frames = [_facts_frame(variant, replay, logs) for variant, replay in replays.items()]
    pl.concat(frames, how="diagonal").write_parquet(folder / REPLAYS / f"{name}.parquet")
    document = {variant: _document(replay, logs.ids) for variant, replay in replays.items()}
    partial = folder / REPLAYS / f".{name}.json"
    partial.write_text(json.dumps(document), encoding="utf-8")
    partial.rename(folder / REPLAYS / f"{name}.json")


def names(folder: Path) -> list[str]:
    """The shards that are whole."""
    return sorted(path.stem for path in (folder / REPLAYS).glob("shard-*.json"))


def drop_overlaps(folder: Path) -> None:
    """Remove shards that hold requests of others: two machines may have cut the same work in two ways."""
    seen: pl.Series | None = None
    for name in names(folder):
        mine = requests_of(folder, name)
        if seen is not None and mine.is_in(seen.implode()).any():
            (folder / REPLAYS / f"{name}.json").unlink()
        else:
            seen = mine if seen is None else pl.concat([seen, mine])


def requests_of(folder: Path, name: str) -> pl.Series:
    """The request ids of a shard."""
    frame = pl.read_parquet(folder / REPLAYS / f"{name}.parquet", columns=[c.VARIANT, c.REQUEST_ID])
    return frame.filter(pl.col(c.VARIANT) == frame[c.VARIANT][0])[c.REQUEST_ID]


def read(folder: Path, name: str, logs: Logs) -> tuple[Ints, dict[str, Replay]]:
    """A shard's requests (codes) and replays, as they were when they were written."""
    document: dict[str, Any] = json.loads((folder / REPLAYS / f"{name}.json").read_text(encoding="utf-8"))
    facts = pl.read_parquet(folder / REPLAYS / f"{name}.parquet", glob=False)
    slates = pl.read_parquet(folder / SLATES / f"{name}.parquet", glob=False)
    requests = Encoder(logs.ids.requests).codes(facts.filter(pl.col(c.VARIANT) == next(iter(document)))[c.REQUEST_ID])
    items = Encoder(logs.ids.items)
    position_of = np.zeros(len(logs.ids.requests), dtype=np.int64)
    position_of[requests] = np.arange(len(requests))
    replays = {}
    for variant, told in document.items():
        rows = slates.filter(pl.col(c.VARIANT) == variant)
        position = position_of[Encoder(logs.ids.requests).codes(rows[c.REQUEST_ID])]
        value = rows[c.SCORE].fill_null(np.nan).to_numpy()
        lists = Lists(requests, position, items.codes(rows[c.ITEM_ID]), value, repeats=told["repeats"])
        mine = facts.filter(pl.col(c.VARIANT) == variant)
        counts = tuple(StepCount(**one) for one in told["counts"])
        trace = None if told["trace"] is None else _trace(told["trace"], mine, logs.ids)
        replays[variant] = Replay(lists, _facts(mine), counts, trace, _tied(told["tied"], logs.ids))
    return requests, replays


def _facts_frame(variant: str, replay: Replay, logs: Logs) -> pl.DataFrame:
    requests = replay.slates.requests
    columns: dict[str, Any] = {
        c.VARIANT: pl.repeat(variant, len(requests), eager=True),
        c.REQUEST_ID: logs.ids.requests.gather(requests),
        **{field.name: getattr(replay.facts, field.name) for field in fields(Facts)},
    }
    if replay.trace is not None:
        found = replay.trace.agreement
        columns["measured"] = found.measured
        measures = {_AGREEMENT + name: getattr(found, name) for name in _MEASURES}
        measures |= {AFTER + name: values for name, values in found.after.items()}
        measures |= {WITHOUT + name: values for name, values in found.without.items()}
        columns |= {name: _where(found.measured, values) for name, values in measures.items()}
    return pl.DataFrame(
        {
            name: pl.Series(values, nan_to_null=True) if isinstance(values, np.ndarray) else values
            for name, values in columns.items()
        }
    )


def _where(measured: Bools, values: Floats | Bools) -> pl.Series:
    """Figures where they mean something, else null."""
    return pl.Series(values, nan_to_null=True).set(~pl.Series(measured), None)


def _facts(frame: pl.DataFrame) -> Facts:
    return Facts(**{field.name: _array(frame[field.name]) for field in fields(Facts)})


def _array(series: pl.Series) -> Any:
    if series.dtype.is_float():
        return series.fill_null(np.nan).to_numpy()
    return (series.fill_null(value=False) if series.dtype == pl.Boolean else series).to_numpy()


def _document(replay: Replay, ids: Ids) -> dict[str, Any]:
    return {
        "counts": [asdict(one) for one in replay.counts],
        "repeats": replay.slates.repeats,
        "trace": None if replay.trace is None else _trace_document(replay.trace, ids),
        "tied": None if replay.tied is None else _tied_document(replay.tied, ids),
    }


def _tied_document(tied: Tied, ids: Ids) -> dict[str, Any]:
    def rows(lists: Lists) -> dict[str, list[Any]]:
        return {"position": lists.position.tolist(), "items": ids.items.gather(lists.item).to_list()}

    return {
        "requests": ids.requests.gather(tied.best.requests).to_list(),
        "best": rows(tied.best),
        "worst": rows(tied.worst),
    }


def _tied(told: dict[str, Any] | None, ids: Ids) -> Tied | None:
    if told is None:
        return None
    requests = Encoder(ids.requests).codes(pl.Series(told["requests"], dtype=ids.requests.dtype))

    def lists(rows: dict[str, list[Any]]) -> Lists:
        item = Encoder(ids.items).codes(pl.Series(rows["items"], dtype=ids.items.dtype))
        return Lists(requests, np.array(rows["position"], dtype=np.int64), item, np.full(len(item), np.nan))

    return Tied(lists(told["best"]), lists(told["worst"]))


def _trace_document(trace: Trace, ids: Ids) -> dict[str, Any]:
    examples = {
        reason: [[ids.requests[request], None if item < 0 else ids.items[item], rank] for request, item, rank in rows]
        for reason, rows in trace.mismatches.examples.items()
    }
    probed = trace.probed
    return {
        "mismatches": {"counts": dict(trace.mismatches.counts), "examples": examples},
        "after": list(trace.agreement.after),
        "without": list(trace.agreement.without),
        "probed": None
        if probed is None
        else {
            "requests": ids.requests.gather(probed.requests).to_list(),
            "before": probed.before.tolist(),
            "names": list(probed.names),
            "after": probed.after.tolist(),
        },
    }


def _trace(told: dict[str, Any], frame: pl.DataFrame, ids: Ids) -> Trace:
    measured: Bools = frame["measured"].to_numpy()
    columns: dict[str, Floats] = {name: _array(frame[_AGREEMENT + name]) for name in _MEASURES}
    agreement = Agreement(
        measured=measured,
        **columns,  # type: ignore[arg-type]  # `exact` is boolean, as it was written
        after={name: _array(frame[AFTER + name]) for name in told["after"]},
        without={name: _array(frame[WITHOUT + name]) for name in told["without"]},
    )
    examples = {
        reason: tuple(_example(row, ids) for row in rows) for reason, rows in told["mismatches"]["examples"].items()
    }
    probed = told["probed"]
    return Trace(
        agreement,
        Mismatches(told["mismatches"]["counts"], examples),
        None
        if probed is None
        else Probed(
            Encoder(ids.requests).codes(pl.Series(probed["requests"], dtype=ids.requests.dtype)),
            np.array(probed["before"], dtype=np.float64),
            tuple(probed["names"]),
            np.array(probed["after"], dtype=np.float64).reshape(len(probed["before"]), len(probed["names"])),
        ),
    )


def _example(row: Sequence[Any], ids: Ids) -> tuple[int, int, int]:
    request, item, rank = row
    place = Encoder(ids.requests).codes(pl.Series([request], dtype=ids.requests.dtype))
    what = -1 if item is None else int(Encoder(ids.items).codes(pl.Series([item], dtype=ids.items.dtype))[0])
    return int(place[0]), what, rank
