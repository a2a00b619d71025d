"""How results look in a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from rankcast.progress import Progress

if TYPE_CHECKING:
    from rankcast.records import Fidelity, Result
    from rankcast.runs.folder import Run

Item = TypeVar("Item")
_WIDE = 160
_EVERY = 10.0  # seconds between two lines of a log
_MOST_REASONS = 5


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
    """The verdict: decision, table, ledger in a line, where the report is."""
    result = run.result
    for name, one in result.decision.items():
        print(f"{plain(name)}: {one.decision}\n  {plain(one.because)}")
    if not result.decision:
        print("nothing to decide: all variants are references")
    for finding in result.findings:
        if finding.status == "fired":
            print(f"{finding.rule} {finding.name} ({finding.severity}): {plain(finding.evidence)}")
    _print_comparisons(result)
    ledger = " -> ".join(f"{row.step} {row.out:,}" for row in result.results.targets)
    print(f"targets: {result.results.targets[0].in_:,} requests -> {ledger}")
    _print_fidelity(result.results.fidelity)
    print(f"report: {run.report}")


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


def _print_comparisons(result: Result) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rankcast.text import number, p_value, relative_interval, signed, signed_share

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("variant", "metric", "baseline", "difference", "interval", "p adj.", "verdict"):
        table.add_column(
            title, justify="right" if title in {"baseline", "difference", "interval", "p adj."} else "left"
        )
    invalid = any(one.decision == "invalid" for one in result.decision.values())
    styles = {} if invalid else {"better": "green", "worse": "red", "equivalent": "cyan"}
    for row in result.results.comparisons:
        if row.segment is None:
            shown = signed_share(row.relative) if row.relative is not None else signed(row.difference)
            table.add_row(
                Text(plain(row.variant)),
                Text(row.metric),
                number(row.baseline_value),
                shown,
                relative_interval(row),
                p_value(row.p_adjusted),
                Text(row.verdict or "-", style=styles.get(row.verdict or "", "")),
            )
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)


def print_json(document: object) -> None:
    """A result for programs."""
    import json

    print(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
