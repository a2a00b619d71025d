"""A first service and study from a folder of data files: their columns are looked at, a mapping is proposed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from rankcast.config.write import scalar
from rankcast.errors import RunError
from rankcast.sources import files
from rankcast.sources.source import FileSet, Pattern, Source
from rankcast.tables import columns as c
from rankcast.tables.timestamps import to_utc
from rankcast.template import CHECKLIST, study_template

_MOST_FILES = 500
_MOST_EVENTS = 12
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    c.REQUEST_ID: ("requestid", "reqid", "req", "queryid", "searchid", "pageviewid", "slateid"),
    c.USER_ID: ("userid", "memberid", "customerid", "visitorid", "uid", "user", "member", "customer"),
    c.ITEM_ID: ("itemid", "postid", "productid", "jobid", "articleid", "objectid", "sku", "docid", "videoid", "item", "asin"),
    c.TIMESTAMP: ("timestamp", "ts", "time", "datetime", "requestedat", "createdat", "eventtime", "occurredat", "date",
                  "happenedat", "loggedat", "at", "when"),
    c.EVENT: ("event", "eventtype", "action", "eventname", "type"),
    c.RANK: ("rank", "position", "pos", "slot"),
    c.OPEN_AT: ("openat", "openedat", "publishedat", "validfrom", "startat", "startsat", "availablefrom"),
    c.CLOSE_AT: ("closeat", "closedat", "expiresat", "validto", "endat", "endsat", "availableto", "unpublishedat"),
    c.SCORE: ("score", "prediction", "pred", "relevancescore"),
    c.COMPUTED_AT: ("computedat", "scoredat", "batchat", "predictedat"),
}  # fmt: skip
# From the most telling columns to the least: the first table whose columns are all there wins.
_TELLING = (
    ("scores", (c.ITEM_ID, c.SCORE)),
    ("availability", (c.ITEM_ID, c.OPEN_AT, c.CLOSE_AT)),
    ("events", (c.USER_ID, c.ITEM_ID, c.TIMESTAMP, c.EVENT)),
    ("impressions", (c.REQUEST_ID, c.ITEM_ID, c.RANK)),
    ("requests", (c.REQUEST_ID, c.USER_ID, c.TIMESTAMP)),
    ("items", (c.ITEM_ID,)),
    ("users", (c.USER_ID,)),
)
_OPTIONAL = {"events": (c.REQUEST_ID,), "scores": (c.REQUEST_ID, c.USER_ID, c.COMPUTED_AT)}


@dataclass(frozen=True)
class Found:
    """A table that was recognised: its path relative to the folder, the mapping ours -> theirs, and the files."""

    table: str
    path: str
    columns: Mapping[str, str]
    files: tuple[Path, ...] = field(repr=False)


@dataclass(frozen=True)
class Proposal:
    """The recognised tables; `scores` by variant name; files that could not be placed."""

    tables: Mapping[str, Found]
    scores: Mapping[str, Found]
    unknown: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As plain values."""
        found = [*self.tables.values(), *self.scores.values()]
        return {
            "found": [{"table": one.table, "path": one.path, "columns": dict(one.columns)} for one in found],
            "unknown": list(self.unknown),
        }

    def lines(self) -> list[str]:
        """What was found, for people."""
        lines = [
            f"{one.path}: {one.table}"
            + (f" ({', '.join(f'{a} <- {b}' for a, b in one.columns.items())})" if one.columns else "")
            for one in [*self.tables.values(), *self.scores.values()]
        ]
        return lines + [f"{path}: not recognised; left out" for path in self.unknown]


def propose(folder: Path) -> Proposal:
    """Recognise the files below a folder. RunError when there is nothing to start from."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; give the one that holds your data files")
    groups = _groups(folder)
    if not groups:
        raise RunError(f"{folder}: no data file below it; expected names ending in {', '.join(files.FORMATS)}")
    tables: dict[str, Found] = {}
    scores: dict[str, Found] = {}
    unknown: list[str] = []
    for path, members, header in groups:
        found = _recognise(path, members, header)
        if found is None or (found.table != "scores" and found.table in tables):
            unknown.append(path)
        elif found.table == "scores":
            scores[_variant_name(path)] = found
        else:
            tables[found.table] = found
    if "requests" not in tables:
        wanted = {c.REQUEST_ID, c.USER_ID, c.TIMESTAMP}
        likely = sorted(groups, key=lambda group: -len(wanted & set(map(_ours, group[2]))))
        seen = "; ".join(f"{path} ({', '.join(header[:8])})" for path, _, header in likely[:5])
        raise RunError(
            f"{folder}: no file looks like requests (request_id, user_id, timestamp); most like it: {seen}. "
            "Shape one with `sql` in a service.yaml of your own: see docs/guide/own-logs.md"
        )
    if not scores and "impressions" not in tables:
        raise RunError(
            f"{folder}: requests were found, but neither scores (item_id, score) nor impressions (request_id, item_id, rank): "
            "there is no list to judge; add one of them and try again"
        )
    return Proposal(tables, scores, tuple(unknown))


def write(folder: Path, proposal: Proposal, schemas: Mapping[str, str]) -> list[Path]:
    """Write service.yaml, studies/first.yaml, a study to copy, a checklist and the editors' schemas; RunError when one of the
    files is there already.
    """
    service, study = folder / "service.yaml", folder / "studies" / "first.yaml"
    template, checklist = folder / "studies" / "template.yaml", folder / "studies" / "REVIEW.md"
    for path in (service, study, template, checklist):
        if path.exists():
            raise RunError(f"{path} is there already; remove it, or edit it instead")
    study.parent.mkdir(exist_ok=True)
    (folder / "schema").mkdir(exist_ok=True)
    for name, text in schemas.items():
        (folder / "schema" / f"{name}.json").write_text(text, encoding="utf-8")
    service.write_text(_service_text(folder, proposal), encoding="utf-8")
    template.write_text(_template_text(proposal), encoding="utf-8")
    checklist.write_text(CHECKLIST, encoding="utf-8")
    study.write_text(_study_text(proposal), encoding="utf-8")
    return [service, template, checklist, study]


_Group = tuple[str, tuple[Path, ...], list[str]]


def _groups(folder: Path) -> list[_Group]:
    """Data files as tables: (path or glob, files, header). Files of one format and header are one table."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and files.format_of(path)
        and not any(part.startswith(".") or part == "runs" for part in path.relative_to(folder).parts)
    )
    grouped: dict[tuple[str, tuple[str, ...]], list[Path]] = {}
    for path in found[:_MOST_FILES]:
        try:
            header = tuple(files.header(path))
        except (pl.exceptions.PolarsError, OSError):
            continue
        grouped.setdefault((str(files.format_of(path)), header), []).append(path)
    groups: list[_Group] = []
    for (ending, header), members in grouped.items():
        tables = _tables(members, ending, scored={c.ITEM_ID, c.SCORE} <= set(map(_ours, header)))
        groups += [(_glob(batch, ending, folder), tuple(batch), list(header)) for batch in tables]
    return sorted(groups)


def _tables(members: list[Path], ending: str, scored: bool) -> list[list[Path]]:
    """Files of one format and header as tables: all of them where a glob can say so, else those of one folder.

    Score files are variants: each file is one, unless names differ by a number only (parts of one).
    """
    folders: dict[Path, list[Path]] = {}
    for path in members:
        folders.setdefault(path.parent, []).append(path)
    if scored:
        numbered = {
            parent: len({re.sub(r"[0-9]+", "", path.name) for path in paths}) == 1 for parent, paths in folders.items()
        }
        return [
            batch
            for parent, paths in folders.items()
            for batch in ([paths] if numbered[parent] else [[p] for p in paths])
        ]
    above = Path(os.path.commonpath([path.parent for path in members]))
    return [members] if set(above.rglob(f"*.{ending}")) == set(members) else list(folders.values())


def _glob(batch: list[Path], ending: str, folder: Path) -> str:
    above = Path(os.path.commonpath([path.parent for path in batch]))
    if len(batch) == 1:
        pattern = batch[0]
    elif all(path.parent == above for path in batch):
        pattern = above / f"*.{ending}"
    else:
        pattern = above / "**" / f"*.{ending}"
    return os.path.relpath(pattern, folder).replace(os.sep, "/")


def _ours(theirs: str) -> str | None:
    """The column of ours that a name most likely means."""
    bare = theirs.lower().replace("_", "").replace("-", "").replace(" ", "")
    return next((ours for ours, names in _SYNONYMS.items() if bare in names or theirs == ours), None)


def _recognise(path: str, members: tuple[Path, ...], header: list[str]) -> Found | None:
    meanings: dict[str, str] = {}
    for theirs in sorted(header, key=lambda name: (name not in _SYNONYMS, header.index(name))):
        ours = _ours(theirs)
        if ours is not None:
            meanings.setdefault(ours, theirs)
    words = path.lower()
    named = [one for one in _TELLING if one[0].rstrip("s") in words]
    for table, needed in [*named, *_TELLING]:
        others = [c.USER_ID if table == "items" else c.ITEM_ID, c.REQUEST_ID] if table in {"items", "users"} else []
        if all(ours in meanings for ours in needed) and not any(ours in meanings for ours in others):
            used = [*needed, *(ours for ours in _OPTIONAL.get(table, ()) if ours in meanings)]
            return Found(table, path, {ours: meanings[ours] for ours in used if meanings[ours] != ours}, members)
    return None


def _variant_name(path: str) -> str:
    name = Path(path)
    stem = name.name.split(".")[0]
    return name.parent.name if stem in {"*", "scores"} and name.parent.name else stem


def _column(found: Found, ours: str) -> pl.Series:
    """One column of a table, over all its files."""
    patterns = tuple(Pattern.of(str(path), str(path.resolve()), path.parent) for path in found.files)
    frame, _ = files.read(Source(found.path, FileSet(patterns)))
    return frame[found.columns.get(ours, ours)]


def _service_text(folder: Path, proposal: Proposal) -> str:
    tables = proposal.tables
    lines = [
        "# yaml-language-server: $schema=./schema/service.json",
        "rankcast: 1",
        f"service: {scalar(folder.resolve().name or 'service')}",
        "timezone: UTC                    # CHECK: the zone of time stamps that carry none",
        "",
        "tables:",
        *(
            f"  {name + ':':<14}{_table_text(tables[name], '')}"
            for name in ("requests", "items", "availability", "impressions", "events", "users")
            if name in tables
        ),
        "",
        "production:                      # CHECK: what stands between a score and the user's eye, in production's own order",
        f"  candidates: {'scored' if proposal.scores else 'impressions'}",
        "  steps:" + ("" if "availability" in tables else " []"),
        *(["    - available"] if "availability" in tables else []),
        f"  served: {_served(proposal)}                     # CHECK: length of the list that the client receives",
        "",
        "labels:",
        f"  grades: {{{', '.join(f'{scalar(kind)}: 1' for kind in _event_kinds(proposal))}}}   # CHECK: what an event is worth",
        "  horizon: 7d                    # CHECK: how long after a request its success may show",
        f"  attribute: {_attribute(proposal)}",
        "",
        "targets:",
        "  without_labels: exclude        # CHECK: exclude | zero",
        "  average: request",
        "",
    ]
    return "\n".join(lines)


def _variants(proposal: Proposal) -> tuple[list[str], str]:
    """The lines of all variants, and which of them is the baseline."""
    names = sorted(proposal.scores, key=lambda name: ("prod" not in name.lower(), name))
    variants = [f"  {scalar(name) + ':':<14}{{scores: {_table_text(proposal.scores[name], '../')}}}" for name in names]
    if not names:
        variants.append(
            "  logged:       {builtin: logged}      # no score file was found: the lists as they were shown"
        )
    if "events" in proposal.tables:
        variants.append("  popular:      {builtin: popular, within: 28d}")
    return variants, scalar(names[0] if names else "logged")


def _template_text(proposal: Proposal) -> str:
    start, end = _period(proposal)
    return study_template(f"period: {{from: {start}, to: {end}}}", *_variants(proposal))


def _study_text(proposal: Proposal) -> str:
    start, end = _period(proposal)
    variants, baseline = _variants(proposal)
    return "\n".join(
        [
            "# yaml-language-server: $schema=../schema/study.json",
            "rankcast: 1",
            "study: first",
            "service: ../service.yaml",
            "why: |",
            "  A first look: is production replayed faithfully, and what does it score?",
            f"period: {{from: {start}, to: {end}}}   # CHECK: half-open; the horizon must have passed",
            "variants:",
            *variants,
            f"baseline: {baseline}           # CHECK: what users get today",
            "metrics:",
            "  primary: dcg@10",
            "  also: [ndcg@10, recall@10, hit@10, list_length]",
            "",
        ]
    )


def _table_text(found: Found, prefix: str) -> str:
    mapping = ", ".join(f"{ours}: {scalar(theirs)}" for ours, theirs in found.columns.items())
    return f"{{path: {scalar(prefix + found.path)}" + (f", columns: {{{mapping}}}" if mapping else "") + "}"


def _event_kinds(proposal: Proposal) -> Iterable[str]:
    if "events" not in proposal.tables:
        return ["click"]
    kinds = _column(proposal.tables["events"], c.EVENT).drop_nulls().cast(pl.String).value_counts(sort=True)
    return kinds.head(_MOST_EVENTS).to_series().to_list() or ["click"]


def _served(proposal: Proposal) -> int:
    if "impressions" not in proposal.tables:
        return 10
    deepest = _column(proposal.tables["impressions"], c.RANK).cast(pl.Int64, strict=False).max()
    return max(1, deepest) if isinstance(deepest, int) else 10


def _attribute(proposal: Proposal) -> str:
    events = proposal.tables.get("events")
    if events is not None and any(_ours(name) == c.REQUEST_ID for name in files.header(events.files[0])):
        return "request_id"
    return "last_shown" if "impressions" in proposal.tables else "last_request"


def _period(proposal: Proposal) -> tuple[date, date]:
    """Two whole weeks, or one, that end a week before the last request; all there is where the log is shorter."""
    times = to_utc(_column(proposal.tables["requests"], c.TIMESTAMP), "UTC")
    days = None if times is None else times.drop_nulls().dt.date()
    first, last = (None, None) if days is None else (days.min(), days.max())
    if not isinstance(first, date) or not isinstance(last, date):
        return date(2023, 10, 2), date(2023, 10, 16)
    end = max(last - timedelta(days=6), first + timedelta(days=1))
    weeks = min(2, (end - first).days // 7)
    return (end - timedelta(weeks=weeks) if weeks else first), end
