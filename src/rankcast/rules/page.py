"""What a rule's page says, in the terminal and in the docs: from the facts that its class declares."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rankcast import plugins
from rankcast.rules.rule import Rule

MOMENTS = {
    "plan": "the two files alone: `rankcast check`, and every run",
    "data": "a run: the data, and what was made of them",
    "result": "a run: its results",
    "history": "past online tests",
}
_WIDE = 100


@dataclass(frozen=True)
class RulePage:
    """One rule: what goes wrong, how it is checked, what helps, by which thresholds, and a good and a bad study."""

    code: str
    name: str
    severity: str
    moment: str
    since: str
    wrong: str
    check: str
    remedy: str
    source: str
    thresholds: tuple[tuple[str, str, str], ...]
    good: str
    bad: str
    awaits: str = ""

    def facts(self) -> list[tuple[str, str]]:
        """By name."""
        worst = "error: its decision is `invalid`" if self.severity == "error" else "warning"
        awaits = [("not yet", f"{self.awaits}: this rule always says `cannot check`")] if self.awaits else []
        return [
            *awaits,
            ("at worst", worst),
            ("looks at", MOMENTS[self.moment]),
            ("since", self.since),
            ("source", self.source),
        ]

    def render(self) -> str:
        """As plain text."""
        parts = [f"{self.code} {self.name}", _wrapped(self.wrong), f"Check: {self.check}", f"Remedy: {self.remedy}"]
        parts = [parts[0], parts[1], *(_wrapped(part) for part in parts[2:])]
        wide = max(len(name) for name, _ in self.facts())
        parts.append("\n".join(f"{name:<{wide}}  {fact}" for name, fact in self.facts()))
        if self.thresholds:
            rows = [f"  {name}: {value}   {meaning}" for name, value, meaning in self.thresholds]
            told = (
                f"thresholds (another one: `rules: {{{self.code}: {{{self.thresholds[0][0]}: ...}}}}` in service.yaml)"
            )
            parts.append("\n".join([told, *rows]))
        parts += [f"a bad study\n{_indented(self.bad)}", f"a good study\n{_indented(self.good)}"]
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """As a section of the docs."""
        rows = [f"| {name} | {fact} |" for name, fact in self.facts()]
        parts = [
            f"## {self.code} {self.name}",
            self.wrong,
            f"**Check.** {self.check}",
            f"**Remedy.** {self.remedy}",
            "\n".join(["| | |", "| --- | --- |", *rows]),
        ]
        if self.thresholds:
            lines = [f"| `{name}` | {value} | {meaning} |" for name, value, meaning in self.thresholds]
            parts.append("\n".join(["| threshold | value | meaning |", "| --- | ---: | --- |", *lines]))
        parts += [f"A bad study:\n\n```yaml\n{self.bad}\n```", f"A good study:\n\n```yaml\n{self.good}\n```"]
        return "\n\n".join(parts) + "\n"

    def document(self) -> dict[str, object]:
        """As plain values."""
        return {**asdict(self), "thresholds": {name: value for name, value, _ in self.thresholds}}


def page(cls: type[Rule]) -> RulePage:
    """The page of a rule."""
    text = _parts(cls)
    return RulePage(
        code=cls.code,
        name=cls.name,
        severity=cls.severity,
        moment=cls.moment,
        since=cls.since,
        wrong=text["wrong"],
        check=text.get("Check", ""),
        remedy=text.get("Remedy", ""),
        source=text.get("Source", ""),
        thresholds=tuple((name, f"{one.value:g}", one.meaning) for name, one in cls.thresholds.items()),
        good=cls.good.strip(),
        bad=cls.bad.strip(),
        awaits=cls.awaits,
    )


_PART = re.compile(r"\b(Check|Remedy|Source): ")


def _parts(cls: type[Rule]) -> Mapping[str, str]:
    """The parts of a rule's page: `wrong`, `Check`, `Remedy`, `Source`."""
    text = " ".join((inspect.getdoc(cls) or "").split())
    parts = _PART.split(text)
    return {"wrong": parts[0].strip(), **dict(zip(parts[1::2], (one.strip() for one in parts[2::2]), strict=True))}


def all_pages() -> list[RulePage]:
    """The pages of everything that is registered, in order of code."""
    return [page(plugins.load(plugins.RULES, code)) for code in plugins.names(plugins.RULES)]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDE, break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> str:
    return textwrap.indent(text, "  ")
