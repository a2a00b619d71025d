"""Past online tests as a page and as Markdown: does offline foretell online?"""

from __future__ import annotations

from rankcast import text
from rankcast.records.history import History, Link
from rankcast.report import charts
from rankcast.report.markdown import MOST_CHARACTERS, MOST_ROWS, cell, literal, prose, shrunk
from rankcast.report.rendering import asset, hash_of, helpers, templates

MOST_LINKS = 12  # shown whole


def history_html(history: History, source: str) -> str:
    """One self-contained page; `source`: where the tests come from."""
    style = asset("report.css")
    page = templates(autoescape=True).get_template("history/page.html.j2")
    rendered: str = page.render(
        **_told(history, source), style=style, style_hash=hash_of(style), charts=charts, **helpers()
    )
    return text.printable(rendered)


def history_markdown(history: History, source: str) -> str:
    """The same as a comment."""
    page = templates(autoescape=False).get_template("history/page.md.j2")
    rendered: str = page.render(
        **_told(history, source), cell=cell, prose=prose, literal=literal, most=MOST_ROWS, **helpers()
    )
    return shrunk(text.printable(rendered).rstrip() + "\n", MOST_CHARACTERS)


def _told(history: History, source: str) -> dict[str, object]:
    earned = [link for link in history.links if link.standing == "earned"]
    by_trust = sorted(history.links, key=lambda link: (link.standing != "earned", link.p_adjusted or 2.0))
    return {
        "history": history,
        "source": source,
        "answers": answers(history),
        "absent": left_out(history),
        "earned": bool(earned),
        "shown": by_trust[:MOST_LINKS],
        "left_out": max(0, len(history.links) - MOST_LINKS),
    }


def answers(history: History) -> list[str]:
    """What the whole record says, in a sentence or two."""
    earned = [link for link in history.links if link.standing == "earned"]
    if earned:
        return [f"{_name(link)}: has earned the right to decide." for link in earned]
    if not history.links:
        return ["Nothing can be said: no test has both an offline and an online number."]
    if all(link.standing == "too few" for link in history.links):
        most = max(len(link.pairs) for link in history.links)
        return [
            f"Nothing can be said: {most} pair{'' if most == 1 else 's'} at most. A correlation of so few may be anything."
        ]
    likeliest = min(history.links, key=lambda link: 2.0 if link.p_adjusted is None else link.p_adjusted)
    looks = f"of {len(history.links)} links, " if len(history.links) > 1 else ""
    return [f"No offline metric is proven: {looks}none has earned trust. {likeliest.says}"]


def left_out(history: History) -> list[str]:
    """Variants of tests that take part in no link, and why; tests that describe something else are told as problems."""
    known = {(row.test, row.variant, link.group) for link in history.links for row in link.pairs}
    found = {
        f"left out: {one.test} ({one.variant}): {one.why}"
        for link in history.links
        for one in link.left_out
        if (one.test, one.variant, link.group) not in known
    }
    told = {line.partition(": ")[0] for line in history.problems}
    return sorted(line for line in found if not any(line.startswith(f"left out: {name} (") for name in told))


def _name(link: Link) -> str:
    group = f" ({link.group})" if link.group else ""
    return f"{link.offline} for {link.online}{group}"
