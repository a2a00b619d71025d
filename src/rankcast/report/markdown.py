"""The report as Markdown that fits a comment, and text of the data that Markdown shows as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rankcast import text
from rankcast.errors import clip
from rankcast.report.document import Report
from rankcast.report.rendering import helpers, templates

MOST_CHARACTERS = 65_536  # of a comment on a pull request
MOST_ROWS = 40  # of a table
_FOLDED = re.compile(
    r"<details><summary>([^\n]*?)</summary>(?:(?!<details>).)*?</details>\n*", re.DOTALL
)  # the innermost
_ROWS = re.compile(r"(?:^\|.*\n){6,}", re.MULTILINE)
_CUT = "\n\n(cut here; the rest stands in report.html)\n"


def markdown(report: Report, most: int = MOST_CHARACTERS) -> str:
    """The report as a comment: decision first, one table, the rest folded."""
    page = templates(autoescape=False).get_template("report.md.j2")
    rendered: str = page.render(report=report, cell=cell, prose=prose, code=code, most=MOST_ROWS, **helpers())
    return shrunk(text.printable(rendered).rstrip() + "\n", most)


def shrunk(written: str, most: int) -> str:
    """Markdown of at most so many characters: what is folded goes first, the last of it before the first; then rows of tables,
    then the end.

    >>> shrunk("verdict\\n<details><summary>Steps</summary>\\n\\nlong, long\\n</details>\\n", 50)
    'verdict\\n\\nLeft out for its length: Steps.\\n'
    """
    gone: list[str] = []
    rest = written
    while len(rest) + len(_left_out(gone)) > most and (folded := list(_FOLDED.finditer(rest))):
        gone.insert(0, folded[-1][1])
        rest = rest[: folded[-1].start()] + rest[folded[-1].end() :]
    if len(rest) + len(_left_out(gone)) > most:
        rest = _ROWS.sub(_first_rows, rest)
    rest = f"{rest.rstrip()}\n{_left_out(gone)}" if gone else rest
    if len(rest) <= most:
        return rest
    if most < len(_CUT):
        return rest[:most]
    kept = rest[: most - len(_CUT)]
    return (kept.rpartition("\n")[0] or kept) + _CUT


def _first_rows(table: re.Match[str]) -> str:
    lines = table[0].splitlines(keepends=True)
    return "".join(lines[:5]) + f"\nand {len(lines) - 5} more rows\n"


def _left_out(titles: Sequence[str]) -> str:
    return f"\nLeft out for its length: {', '.join(titles)}.\n" if titles else ""


def cell(value: object) -> str:
    """Text of the data in a table, short."""
    return _escaped(str(value), 80)


def literal(value: object) -> str:
    """Text of the data in a sentence, where nothing is code."""
    return _escaped(str(value), 300)


def prose(value: object) -> str:
    """Text in a sentence; what stands between backticks looks like code."""
    parts = re.split(r"`([^`]+)`", clip(" ".join(str(value).split()), 1_000))
    return "".join(code(part) if at % 2 else _escaped(part, 1_000, begins=not at) for at, part in enumerate(parts))


def code(value: object) -> str:
    """Text of the data as code, one line.

    >>> print(code("a`b"))
    ``a`b``
    """
    shown = clip(" ".join(str(value).split()), 200)
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    padded = f" {shown} " if shown.startswith("`") or shown.endswith("`") else shown
    return f"{fence}{padded}{fence}"


def cell_code(value: object) -> str:
    """The same in a table, where a bar would end the cell even in code."""
    return code(value).replace("|", "\\|")


def _escaped(shown: str, longest: int, begins: bool = True) -> str:
    """Text that Markdown shows as it is: no markup, no line break, nobody mentioned, not too long.

    A backslash does not keep GitHub from mentioning somebody; a comment after the `@` does.
    """
    shown = clip(re.sub(r"\s+", " ", shown), longest)
    shown = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", shown)
    if begins:  # no heading, no list, no quote
        shown = re.sub(r"^(\d*)([#>+=.)-])", r"\1\\\2", shown)
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?<![A-Za-z0-9_])@(?=[A-Za-z0-9])", "@<!-- -->", shown)
