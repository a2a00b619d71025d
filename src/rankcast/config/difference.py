"""Two plans, and what differs between them, in words that a reviewer reads; what is outside the declared treatment is marked.

Plans are compared as they are resolved: a default that is written out, another order of keys or another file name is no
difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rankcast.errors import clip, show
from rankcast.tables.duration import Duration

Kind = Literal["treatment", "outside", "words"]
_WORDS = ("study", "owner", "why", "expect")  # change no number
_OWN = ("candidates", "steps", "served")  # of a variant; everything else says where its scores come from
_LONGEST = 160
_BEFORE = 20  # characters before the first that differs


@dataclass(frozen=True)
class Change:
    """One difference. `kind`: inside the treatment, outside of it, or words only."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class Difference:
    """What changes from one plan to another; `treatment` is what the second declares. `new`: a study against its own baseline."""

    before: str
    after: str
    treatment: tuple[str, ...]
    changes: tuple[Change, ...]
    new: bool = False

    def of(self, kind: Kind) -> list[str]:
        """The texts of one kind."""
        return [one.text for one in self.changes if one.kind == kind]

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "before": self.before,
            "after": self.after,
            "treatment": list(self.treatment),
            "changes": [{"kind": one.kind, "text": one.text} for one in self.changes],
        }


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """From one resolved plan (`Plan.document`) to another: variants are paired by name, baselines with each other."""
    one, other = before["study"], after["study"]
    changes = [
        *(Change("outside", f"service: {text}") for text in _service(before["service"], after["service"])),
        *_study(one, other),
        *_variants(one, other, [plan["service"]["production"] for plan in (before, after)]),
    ]
    return Difference(one["study"], other["study"], tuple(other["treatment"]), tuple(changes))


def proposed(plan: Mapping[str, Any]) -> Difference:
    """What a resolved plan proposes: every variant that is decided, against its baseline."""
    study = plan["study"]
    changes = []
    for name, variant in study["variants"].items():
        if "builtin" not in variant and name != study["baseline"]:
            changes += _proposal(name, study)
    return Difference(study["baseline"], study["study"], tuple(study["treatment"]), tuple(changes), new=True)


def _proposal(name: str, study: Mapping[str, Any]) -> list[Change]:
    base, own = study["variants"][study["baseline"]], study["variants"][name]
    return [
        Change(_kind(key, study["treatment"]), f"treatment adds: {name}: {text}")
        for key, text in _variant(base, own, against=f" ({study['baseline']})")
    ]


def _kind(key: str, treatment: Sequence[str]) -> Kind:
    return "treatment" if key in treatment else "outside"


def _service(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    production = [dict(one["production"]) for one in (before, after)]
    steps = [one.pop("steps") for one in production]
    yield from _steps(*steps)
    plain = [{**one, "production": rest} for one, rest in zip((before, after), production, strict=True)]
    yield from _unlike(plain[0], plain[1], "")


def _study(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    skipped = {"rankcast", "service", "variants"}
    for key in dict.fromkeys((*before, *after)):
        if key in skipped:
            continue
        if key == "treatment" and sorted(before[key]) == sorted(after[key]):
            continue
        for text in _unlike(before.get(key), after.get(key), key):
            yield Change("words" if key in _WORDS else "outside", text)


def _variants(
    before: Mapping[str, Any], after: Mapping[str, Any], production: Sequence[Mapping[str, Any]]
) -> Iterator[Change]:
    baselines = before["baseline"], after["baseline"]
    base = before["variants"][baselines[0]], after["variants"][baselines[1]]
    for key, text in _variant(*base):
        if key in _OWN and all(one[key] == like[key] for one, like in zip(base, production, strict=True)):
            continue  # it follows production, of which that is told already
        yield Change("outside", f"the baseline changes: {baselines[1]}: {text}")
    ours = {name: one for name, one in before["variants"].items() if name != baselines[0]}
    theirs = {name: one for name, one in after["variants"].items() if name != baselines[1]}
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in theirs:
            builtin = "builtin" in ours[name]
            text = f"reference {name} is dropped" if builtin else f"treatment drops: variant {name}"
            yield Change("words" if builtin else "treatment", text)
        elif name not in ours:
            yield from _fresh(name, after)
        else:
            yield from _changed(name, (ours[name], theirs[name]), base, after["treatment"])


def _fresh(name: str, study: Mapping[str, Any]) -> Iterator[Change]:
    own = study["variants"][name]
    if "builtin" in own:
        yield Change("words", f"reference {name} ({own['builtin']}) is added")
        return
    yield Change("treatment", f"treatment adds: variant {name}")
    yield from _proposal(name, study)


def _changed(
    name: str, pair: tuple[Mapping[str, Any], Mapping[str, Any]], base: tuple[Any, Any], treatment: Sequence[str]
) -> Iterator[Change]:
    """A variant of both: `adds` where it was as the baseline before, `drops` where it is so now."""
    for key, text in _variant(*pair):
        own = key in _OWN
        was, now = (own and one.get(key) == like.get(key) for one, like in zip(pair, base, strict=True))
        if was and now:
            continue  # it follows the baseline, which is told already
        verb = "adds" if was else "drops" if now else "changes"
        kind = "treatment" if now else _kind(key, treatment)  # to go back to the baseline is never outside
        yield Change(kind, f"treatment {verb}: {name}: {text}")


def _variant(before: Mapping[str, Any], after: Mapping[str, Any], against: str = "") -> Iterator[tuple[str, str]]:
    """(part of the treatment, in words)."""
    sources = [{key: value for key, value in one.items() if key not in _OWN} for one in (before, after)]
    if against:
        if sources[0] != sources[1]:
            same = sources[0].get("trained_until") == sources[1].get("trained_until")
            theirs, ours = (_brief(source, told=not same) for source in sources)
            if ours != theirs:
                yield "scores", f"{ours} instead of {theirs}{against}"
            else:
                yield from (("scores", f"{text}{against}") for text in _unlike(sources[0], sources[1], ""))
    else:
        yield from (("scores", text) for text in _unlike(sources[0], sources[1], ""))
    for text in _unlike(before["candidates"], after["candidates"], "candidates"):
        yield "candidates", text
    for text in _steps(before["steps"], after["steps"]):
        yield "steps", text
    for text in _unlike(before["served"], after["served"], "served"):
        yield "served", text


def _brief(source: Mapping[str, Any], told: bool) -> str:
    """Where scores come from, in a few words."""
    kind = next(key for key in source if key not in {"within", "trained_until", "training"})
    value = source[kind]
    if isinstance(value, dict):
        value = next((value[key] for key in ("path", "function", "url", "sql") if key in value), value)
    until = f", trained until {source['trained_until']}" if told and "trained_until" in source else ""
    return f"{kind} {_value(value)}{until}"


def _steps(before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    ours, theirs = _named(before), _named(after)
    for name in ours:
        if name not in theirs:
            yield f"step {name} is gone" + ("" if ours[name] is None else f" ({_value(ours[name])})")
    places = list(theirs)
    for name, argument in theirs.items():
        if name not in ours:
            at = places.index(name)
            where = f"after {places[at - 1]}" if at else "first of all"
            yield f"step {name} is new, {where}" + ("" if argument is None else f": {_value(argument)}")
        else:
            for text in _unlike(ours[name], argument, ""):
                yield f"step {name} {text}"
    common = [name for name in ours if name in theirs]
    order = [name for name in theirs if name in ours]
    if common != order:
        yield f"steps run in another order: {', '.join(common)} -> {', '.join(order)}"


def _named(steps: Sequence[Any]) -> dict[str, Any]:
    """Steps by the name under which a run reports them; of one with a name of its own, with its kind."""
    named: dict[str, Any] = {}
    for step in steps:
        if isinstance(step, str):
            named[step] = None
            continue
        kind = next(key for key in step if key != "name")
        name, argument = step.get("name", kind), _spoken(step[kind])
        named[name] = (
            argument if name == kind or re.fullmatch(f"{re.escape(kind)}-\\d+", name) else {kind: argument or {}}
        )
    return named


def _spoken(argument: Any) -> Any:
    """An argument without keys that say nothing."""
    if not isinstance(argument, dict):
        return argument
    return {key: value for key, value in argument.items() if value is not None} or None


def _unlike(before: Any, after: Any, where: str) -> Iterator[str]:
    """Leaves that differ, as `key old -> new`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _unlike(before.get(key), after.get(key), f"{where}.{key}" if where else str(key))
    elif not _same(before, after):
        if isinstance(before, list) and isinstance(after, list):
            yield f"{where} {_of_lists(before, after)}".strip()
        else:
            yield f"{where} {' -> '.join(_values(before, after))}".strip()


def _same(before: Any, after: Any) -> bool:
    """Whether two values mean the same: 1 is not true, and 7d is 1w."""
    if isinstance(before, str) and isinstance(after, str):
        return before == after or _span(before) == _span(after) is not None
    return json.dumps(before, sort_keys=True, default=str) == json.dumps(after, sort_keys=True, default=str)


def _span(text: str) -> int | None:
    try:
        return Duration.parse(text).micros
    except ValueError:
        return None


def _of_lists(before: Sequence[Any], after: Sequence[Any]) -> str:
    def without(some: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        return [one for one in some if not any(_same(one, other) for other in others)]

    told = [f"loses {_value(one)}" for one in without(before, after)]
    told += [f"gains {_value(one)}" for one in without(after, before)]
    kept = [
        [one for one in some if any(_same(one, other) for other in others)]
        for some, others in ((before, after), (after, before))
    ]
    if not _same(kept[0], kept[1]) or not told:
        told.append(f"in another order: {' -> '.join(_values(kept[0], kept[1]))}")
    return ", ".join(told)


def _values(before: Any, after: Any) -> tuple[str, str]:
    """Two values that differ, written so that it is seen."""
    told = _value(before), _value(after)
    if told[0] != told[1]:
        return told
    whole = tuple(json.dumps(one, ensure_ascii=False, default=str) for one in (before, after))
    if whole[0] == whole[1]:
        return f"{whole[0]} ({type(before).__name__})", f"{whole[1]} ({type(after).__name__})"
    same = next((at for at, (one, other) in enumerate(zip(*whole, strict=False)) if one != other), 0)
    start = max(0, same - _BEFORE)
    lead = "…" if start else ""
    return lead + clip(whole[0][start:], _LONGEST), lead + clip(whole[1][start:], _LONGEST)


def _value(value: Any) -> str:
    """A value as it stands in a file, one line."""
    if isinstance(value, str):
        return clip(" ".join(value.split()), _LONGEST)
    if isinstance(value, dict) and value:
        return clip("{" + ", ".join(f"{key}: {_value(inner)}" for key, inner in value.items()) + "}", _LONGEST)
    return "nothing" if value is None else clip(show(value), _LONGEST)
