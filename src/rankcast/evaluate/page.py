"""What a metric's page says, from the facts that its class declares."""

from __future__ import annotations

import inspect
from dataclasses import Field, dataclass, fields
from math import isinf
from typing import Any

from rankcast import plugins
from rankcast.evaluate.grammar import ALIASES
from rankcast.evaluate.metric import Metric

_NEEDS = {
    "catalogue": "the catalogue of items (`--items` in score)",
    "history": "what users did before (`--history` in score)",
    "impressions": "impressions in a study; in score, the labels say what was judged",
}


@dataclass(frozen=True)
class Page:
    """One metric: its `definition` in a line, the rest of its text, and facts by name."""

    name: str
    definition: str
    text: str
    facts: tuple[tuple[str, str], ...]

    def render(self) -> str:
        """As plain text."""
        wide = max(len(name) for name, _ in self.facts)
        facts = "\n".join(f"{name:<{wide}}  {fact}" for name, fact in self.facts)
        return "\n\n".join(part for part in (self.definition, self.text, facts) if part)


def page_of(metric: Metric) -> Page:
    """The page of a metric, or of a metric with its parameters."""
    definition, _, text = (inspect.getdoc(type(metric)) or "").partition("\n")
    return Page(type(metric).name, definition, text.strip(), tuple(_facts(metric)))


def all_pages() -> list[Page]:
    """The pages of everything that is registered, by name."""
    return [page_of(plugins.load(plugins.METRICS, name)()) for name in plugins.names(plugins.METRICS)]


def parameters(metric: Metric) -> list[str]:
    """Each parameter with what it may be and its default."""
    shown = []
    for part in fields(metric):
        kind = part.metadata.get("kind")
        if part.name == "k":
            continue
        if kind == "choice":
            options = [f"{one} (default)" if one == part.default else one for one in part.metadata["choices"]]
            shown.append(f"{part.name}={' | '.join(options)}{_here(metric, part)}")
        elif part.metadata.get("required"):
            shown.append(
                f"{part.name}={'item.<column>' if kind == 'column' else 'an SQL boolean over item.*'} (required)"
            )
        elif part.name == "level":
            shown.append(f"level=least relevant grade (default: any above 0){_here(metric, part)}")
        else:
            default = f"{part.name}={part.default:g} (default)" if isinstance(part.default, float) else part.name
            shown.append(default + _here(metric, part))
    return shown


def _here(metric: Metric, part: Field[Any]) -> str:
    """The value in force, where it is not the default."""
    value = getattr(metric, part.name)
    return "" if value == part.default else f" (here {value:g})" if isinstance(value, float) else f" (here {value})"


def _facts(metric: Metric) -> list[tuple[str, str]]:
    low, high = metric.bounds
    aliases = sorted(alias for alias, (name, given) in ALIASES.items() if name == metric.name and not given)
    needs = sorted({_NEEDS.get(need, f"the column `{need}`") for need in metric.needs() if need})
    facts = [
        ("kind", "a value per request" if metric.per_request else "one value per variant"),
        ("direction", "higher is better" if metric.higher_is_better else "lower is better"),
        ("range", f"{low:g} and more" if isinf(high) else f"{low:g} to {high:g}"),
        ("empty list", _value(metric.empty_list())),
    ]
    if metric.needs_labels:
        truth = _value(metric.of_empty_truth)
        fate = "" if metric.of_empty_truth is not None else "; 0 where such requests count as zero"
        facts.append(("no relevant label", truth + fate))
    facts.append(("parameters", "; ".join(["@k cuts the list", *parameters(metric)])))
    if needs:
        facts.append(("needs", "; ".join(needs)))
    facts.append(("cost grows with", metric.cost))
    if aliases:
        facts.append(("also known as", ", ".join(aliases)))
    if metric.source:
        facts.append(("source", metric.source))
    facts.append(("version", str(metric.version)))
    return facts


def _value(value: float | None) -> str:
    return "not measurable (null)" if value is None else f"{value:g}"
