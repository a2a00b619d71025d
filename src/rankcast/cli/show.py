"""How results look in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from rankcast.progress import Progress

if TYPE_CHECKING:
    from rich.table import Table

    from rankcast.records import ComparisonRow, Fidelity, Finding, LedgerRow, Result
    from rankcast.runs.folder import Run

Item = TypeVar("Item")
OUT = "Where runs are kept: a folder, or s3://bucket/prefix."
_WIDE = 160
_EVERY = 10.0  # seconds between two lines of a log
_MOST_REASONS = 5
_MOST_REVERSALS = 5


def plain(text: str) -> str:
    """Text without control characters, which could drive the terminal.

    >>> plain("a\\x1b[31mb\\n")
    'a�[31mb\\n'
    """
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)


class TerminalProgress(Progress):
    """Shows each stage on stderr, with a bar where someone is watching, now and then a line where it is a log."""

    def note(self, stage: str, text: str) -> None:
        sys.stderr.write(f"{stage:>8}  {plain(text)}\n")
        sys.stderr.flush()

    def track(self, stage: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        if not sys.stderr.isatty():
            yield from self._lines(stage, items, total)
            return
        from rich.console import Console
        from rich.progress import track

        yield from track(items, description=f"{stage:>8}", total=total, console=Console(stderr=True), transient=True)

    def _lines(self, stage: str, items: Iterable[Item], total: int) -> Iterator[Item]:
        begun = told = time.monotonic()
        for number, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            if now - told > _EVERY and number < total:
                told = now
                left = (now - begun) / number * (total - number)
                self.note(stage, f"{number:,} of {total:,} done, about {time_left(left)} left")


def time_left(seconds: float) -> str:
    """A span as people say it.

    >>> time_left(42), time_left(200), time_left(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"


def print_run(run: Run) -> None:
    """The verdict: decision, what speaks against it, table, the ledger in five lines, fidelity, where the report is."""
    result = run.result
    for name, one in result.decision.items():
        print(f"{plain(name)}: {one.decision}\n  {plain(one.because)}")
    if not result.decision:
        print("nothing to decide: all variants are references")
    print_findings(result.findings)
    for line in result.results.reversals[:_MOST_REVERSALS]:
        print(f"THE OTHER WAY: {plain(line)}")
    invalid = any(one.decision == "invalid" for one in result.decision.values())
    print_table(comparisons_table([row for row in result.results.comparisons if row.segment is None], invalid))
    _print_averages(result)
    _print_ledger(result.results.targets)
    _print_late(result)
    _print_fidelity(result.results.fidelity)
    print(f"report: {run.report}")


def print_findings(findings: Sequence[Finding]) -> None:
    """What fired, the worst first; what is waived; what cannot be checked; how many passed."""
    for one in sorted(findings, key=lambda one: (one.severity != "error", one.rule)):
        if one.status == "fired":
            print(plain(f"{one.rule} {one.name} ({one.severity}): {one.evidence}"))
            print(plain(f"  {one.remedy}"))
    for one in findings:
        if one.status == "waived":
            print(plain(f"{one.rule} {one.name} waived, {one.waived}: {one.evidence}"))
    if findings:
        blind = [one.rule for one in findings if one.status == "cannot check"]
        passed = sum(one.status == "passed" for one in findings)
        told = f"; cannot check {', '.join(blind)}: the report says what is missing" if blind else ""
        print(f"rules: {passed} of {len(findings)} passed{told}")


def _print_averages(result: Result) -> None:
    """The primary metric under every average, where there are several."""
    from rankcast.text import average_interval, change

    primary = [row for row in result.results.averages if row.metric == _primary(result)]
    if len({row.average for row in primary}) < 2:
        return
    print("averaged by")
    for row in primary:
        mark = "decides" if row.decides else "THE SIGN CHANGES" if row.changes_sign else ""
        interval = average_interval(row)
        size = f"worth {row.effective_requests or 0:,.0f} requests, {row.effective_users or 0:,.0f} users"
        print(f"  {plain(row.average):<20} {plain(row.variant)}: {change(row)} ({interval}; {size}) {mark}".rstrip())


def _primary(result: Result) -> str | None:
    return next((row.metric for row in result.results.comparisons), None)


def _print_ledger(rows: Sequence[LedgerRow]) -> None:
    """Who was lost: a line a scope, and who they were."""
    words = {"labels": "events"}
    print("targets")
    for scope in ("requests", "users", "items", "labels"):
        chain = [row for row in rows if row.scope == scope]
        if chain:
            told = [row for row in chain if row.lost or scope == "requests"]
            shown = " -> ".join([f"{chain[0].in_:,}", *(f"{row.step} {row.out:,}" for row in told)])
            print(f"  {words.get(scope, scope):<9}{shown}")
    last = [row for row in rows if row.scope == "users" and row.new_lost is not None and row.new_kept is not None]
    if last:
        worst = max(last, key=lambda row: (row.new_lost or 0) - (row.new_kept or 0))
        print(
            f"  who      without any event before: {worst.new_lost:.0%} of the {worst.lost:,} users that `{worst.step}` took, "
            f"{worst.new_kept:.0%} of those it left"
        )


def _print_late(result: Result) -> None:
    for row in result.results.late:
        if row.requests and row.missing is None:
            print(
                f"late: {plain(row.event)}: the horizon of none of the {row.requests:,} requests is over; how many events are "
                "still to come cannot be told"
            )
        elif row.requests and row.share_missing is not None:
            print(
                f"late: {plain(row.event)}: about {row.missing or 0:,.0f} events of {row.requests:,} requests are still to come "
                f"({row.share_missing:.1%} of all)"
            )


def _print_fidelity(fidelity: Fidelity | None) -> None:
    """How far the replay can be believed, and what speaks against it."""
    from rankcast.text import number

    if fidelity is None:
        print("fidelity: not measured (no replayed request has an impression)")
        return
    print(
        f"fidelity: overlap {fidelity.overlap:.4f}, exact {fidelity.exact:.4f}, rank-biased overlap {number(fidelity.rbo)} over "
        f"{fidelity.requests:,} requests"
    )
    if fidelity.mismatches:
        most = sorted(fidelity.mismatches.items(), key=lambda pair: -pair[1])[:_MOST_REASONS]
        print("  differs: " + ", ".join(f"{plain(reason)} {count:,}" for reason, count in most))
    for suspect in fidelity.suspects:
        print(f"  closer {plain(suspect.what)}: overlap {suspect.before:.4f} -> {suspect.overlap:.4f}")


def comparisons_table(rows: Sequence[ComparisonRow], doubtful: bool, both: bool = False) -> Table:
    """Differences, a line each; `both` names what each is held against."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from rankcast.text import change, number, p_value, relative_interval

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    numbers = {"baseline", "difference", "interval", "p adj."}
    against = ("against",) if both else ()
    for title in ("variant", *against, "metric", "baseline", "difference", "interval", "p adj.", "verdict"):
        table.add_column(title, justify="right" if title in numbers else "left")
    styles = {} if doubtful else {"better": "green", "worse": "red", "equivalent": "cyan"}
    for row in rows:
        table.add_row(
            Text(plain(row.variant)),
            *((Text(plain(row.baseline)),) if both else ()),
            Text(row.metric),
            number(row.baseline_value),
            change(row),
            relative_interval(row),
            p_value(row.p_adjusted),
            Text(row.verdict or "-", style=styles.get(row.verdict or "", "")),
        )
    return table


def print_table(table: Table) -> None:
    """A table on stdout."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def print_json(document: object) -> None:
    """A result for programs."""
    import json

    print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
