"""Tables in a notebook: plain HTML, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape as escaped

from rankcast.text import printable


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = (), title: str = "") -> str:
    """A table with a title above and notes below.

    >>> html_table(["a"], [["<b>"]])
    '<table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    above = f"<p><b>{escape(title)}</b></p>" if title else ""
    titles = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    below = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"{above}<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>{below}"


def escape(text: str) -> str:
    """Text as a page may hold it."""
    return escaped(printable(text))
