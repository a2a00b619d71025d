"""Every key of the two files, where it stands, and two values of it: what a difference between plans must tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny import GONE

ALL = ["scores", "candidates", "steps", "served"]
API = {"url": "http://localhost/rank"}
SHA, OTHER = "a" * 40, "b" * 40


@dataclass(frozen=True)
class Case:
    """A key of a model, where it stands, and two values of it. `whole`: the place is the model, and the key is in both."""

    key: str
    place: tuple[str | int, ...]
    before: Any
    after: Any

    @property
    def name(self) -> str:
        return self.key.partition(".")[2].strip("_")


def _in(model: str, place: tuple[str | int, ...], base: Mapping[str, Any], **pairs: tuple[Any, Any]) -> list[Case]:
    """Cases of a model that stands at a place: all of it is written, one key of it differs."""
    return [
        Case(f"{model}.{key}", place, {**base, key.strip("_"): one}, {**base, key.strip("_"): other})
        for key, (one, other) in pairs.items()
    ]


SERVICE_CASES = [
    Case("Service.service", ("service",), "tiny", "small"),
    Case("Service.timezone", ("timezone",), "Asia/Tokyo", "Europe/Paris"),
    Case("Service.behaviour", ("behaviour",), GONE, {"depth": "request.depth"}),
    Case("Service.history", ("history",), GONE, {"path": "history"}),
    Case("Service.rules", ("rules",), {"TG02": {"warn": 0.02}}, {"TG02": {"warn": 0.03}}),
    *[
        Case(f"Tables.{name}", ("tables", name, "path"), f"data/{name}.parquet", f"new/{name}.csv")
        for name in ("requests", "items", "availability", "impressions", "events", "users")
    ],
    *_in("Table", ("tables", "items"), {}, path=("a.csv", ["b.csv", "c.csv"])),
    *_in("Table", ("tables", "items"), {"path": "a.csv"}, columns=({"item_id": "id"}, {"item_id": "nr"})),
    *_in("Table", ("tables", "items"), {"files": {"a": "a.csv"}}, sql=("SELECT 1 FROM a", "SELECT 2 FROM a")),
    *_in("Table", ("tables", "items"), {"sql": "SELECT 1"}, files=({"a": "a.csv"}, {"a": "b.csv"})),
    *_in(
        "EventsTable",
        ("tables", "events"),
        {"path": "e.csv"},
        complete_until=("2023-11-01", "2023-11-02"),
        event=("click", "apply"),
        distinct=(["user_id"], ["user_id", "item_id"]),
        columns=({"item_id": "id"}, {"item_id": "nr"}),
    ),
    *_in("EventsTable", ("tables", "events"), {}, path=("e.csv", "f.csv")),
    *_in("EventsTable", ("tables", "events"), {"files": {"a": "a"}}, sql=("SELECT 1 FROM a", "SELECT 2 FROM a")),
    *_in("EventsTable", ("tables", "events"), {"sql": "SELECT 1"}, files=({"a": "a.csv"}, {"a": "b.csv"})),
    *_in(
        "Production",
        ("production",),
        {"served": 3},
        candidates=("available", "impressions"),
        steps=(["available"], ["not_seen"]),
        served=(3, 17),
        released=("2023-09-01", "2023-09-02"),
    ),
    Case(
        "Step.argument",
        ("production", "steps", 4),
        {"cap": {"by": "item.kind", "at_most": 2}},
        {"cap": {"by": "item.wage", "at_most": 2}},
    ),
    Case(
        "Step.kind", ("production", "steps", 1), {"available": None, "name": "one"}, {"not_seen": None, "name": "one"}
    ),
    Case(
        "Step.name",
        ("production", "steps", 3),
        {"where": "NOT item.is_test", "name": "tests"},
        {"where": "NOT item.is_test", "name": "trials"},
    ),
    *_in(
        "Labels",
        ("labels",),
        {"grades": {"click": 1, "apply": 4}, "horizon": "7d"},
        grades=({"click": 1}, {"click": 3}),
        horizon=("7d", "9d"),
        attribute=("request_id", "last_shown"),
        negative_grades=(False, True),
        late=("exclude", "report"),
    ),
    *_in(
        "Grade", ("labels", "grades", "apply"), {"grade": 4}, grade=(4, 5), within=("3d", "5d"), after=("click", "look")
    ),
    *_in(
        "Targets",
        ("targets",),
        {"without_labels": "exclude"},
        where=("request.bot", "NOT request.bot"),
        without_labels=("exclude", "zero"),
        average=("request", ["user", "request"]),
        weight=("request.value", "request.worth"),
    ),
    *_in(
        "Past",
        ("history",),
        {"path": "history"},
        path=("history", "past.csv"),
        group=(None, "new_users"),
        pipeline=("v1", "v2"),
        online=(["ctr"], ["sales"]),
        offline=(["mrr"], ["ndcg@10"]),
        scale=("relative", "absolute"),
        lower_is_better=(["bounces"], ["returns"]),
        smallest_effect=(0.01, 0.02),
        columns=({"group": "a"}, {"group": "b"}),
    ),
    *_in("Past", ("history",), {"path": "past.csv", "scale": "level"}, control=("a", "b")),
    *_in("Past", ("history",), {"files": {"a": "a.csv"}}, sql=("SELECT 1 FROM a", "SELECT 2 FROM a")),
    *_in("Past", ("history",), {"sql": "SELECT 1"}, files=({"a": "a.csv"}, {"a": "b.csv"})),
    *_in(
        "Behaviour",
        ("behaviour",),
        {},
        clicks=(["click"], ["apply"]),
        depth=("request.a", "request.b"),
        ranks=("shown", "unknown"),
        by=("request.a", "request.b"),
    ),
]
OUTSIDE_CASES = [
    Case("Study.treatment", ("treatment",), ["scores"], ["scores", "served"]),
    Case("Study.segments", ("segments",), ["user.tenure"], ["request.surface"]),
    Case(
        "Study.segments",
        ("segments",),
        [{"user.history": {"none": 0, "some": "1-"}}],
        [{"user.history": {"none": 0, "some": "2-"}}],
    ),
    Case("Study.seed", ("seed",), 7, 8),
    Case("Study.allow", ("allow",), {}, {"DT05": {"reason": "short", "until": "2099-01-01"}}),
    Case("Study.online", ("online",), GONE, {"metric": "apply rate"}),
    *_in(
        "Period",
        ("period",),
        {"from": "2023-10-01", "to": "2023-10-15"},
        from_=("2023-10-01", "2023-10-02"),
        to=("2023-10-15", "2023-10-16"),
    ),
    *_in(
        "Metrics",
        ("metrics",),
        {"primary": "dcg@10"},
        primary=("dcg@10", "dcg@5"),
        guardrails=(["coverage@3"], ["coverage@4"]),
        also=(["ndcg@10"], ["ndcg@10", "hit@3"]),
    ),
    Case(
        "Guardrail.metric",
        ("metrics", "guardrails"),
        [{"coverage@3": {"at_most_worse": 0.01}}],
        [{"coverage@4": {"at_most_worse": 0.01}}],
    ),
    Case(
        "Guardrail.at_most_worse",
        ("metrics", "guardrails"),
        [{"coverage@3": {"at_most_worse": 0.01}}],
        [{"coverage@3": {"at_most_worse": 0.02}}],
    ),
    Case("Bar.at_least", ("fidelity", "at_least"), 0.5, 0.75),
    *_in(
        "Compare",
        ("compare",),
        {},
        confidence=(0.95, 0.99),
        smallest_effect=(0.01, 0.02),
        correction=("holm", "none"),
        method=("robust", "bootstrap"),
        replications=(2000, 500),
        cluster=(["user"], ["user", "item.kind"]),
        cuped=("user.history", "user.tenure"),
        least_users=(30, 50),
    ),
    *_in(
        "Online",
        ("online",),
        {"metric": "applies"},
        metric=("applies", "clicks"),
        events=(["apply"], ["click"]),
        attribute=("request_id", "last_shown"),
    ),
    *_in(
        "Waiver",
        ("allow", "DT05"),
        {"reason": "short", "until": "2099-01-01"},
        reason=("short", "long"),
        until=("2099-01-01", "2099-01-02"),
    ),
]
WORDS_CASES = [
    Case("Study.study", ("study",), "first", "second"),
    *[Case(f"Study.{name}", (name,), "one thing", "another") for name in ("owner", "why", "expect")],
]
NEW = ("variants", "new")
SCORES = {"scores": {"path": "data/new.parquet"}}
VARIANT_CASES = [  # the part of the treatment, then the case
    *[
        ("scores", case)
        for case in (
            *_in(
                "Variant", NEW, {}, scores=({"path": "a.csv"}, {"path": "b.csv"}), mlflow=("models:/a/1", "models:/a/2")
            ),
            *_in(
                "Variant",
                NEW,
                {},
                http=(API, {"url": "http://localhost/new"}),
                python=("shop.models:a", "shop.models:b"),
            ),
            *_in(
                "Variant",
                NEW,
                SCORES,
                trained_until=("2023-09-01", "2023-09-02"),
                training=({"trials": 3}, {"trials": 4}),
            ),
            Case("Variant.builtin", ("variants", "popular"), {"builtin": "popular"}, {"builtin": "recent"}),
            Case("Variant.within", ("variants", "popular", "within"), "28d", "14d"),
            *_in(
                "PythonVariant",
                (*NEW, "python"),
                {"function": "shop.models:a"},
                function=("shop.models:a", "shop.models:b"),
                reads=(["a.bin"], ["b.bin"]),
                columns=(["item.kind"], ["item.wage"]),
            ),
            *_in(
                "HttpVariant",
                (*NEW, "http"),
                API,
                url=("http://localhost/a", "http://localhost/b"),
                query=({"q": "request.wanted"}, {"q": "request.surface"}),
                headers=({"X-A": "a"}, {"X-A": "b"}),
                items=("data.a", "data.b"),
                item_id=("id", "nr"),
                score=("s", "t"),
                concurrency=(4, 5),
                timeout=(10.0, 20.0),
                retries=(3, 4),
                rate=(5.0, 6.0),
                failures=(0.0, 0.25),
            ),
            *_in(
                "Training",
                (*NEW, "training"),
                {},
                split=("random", "rolling"),
                tuned_on=({"from": "2023-08-01", "to": "2023-09-01"}, {"from": "2023-08-01", "to": "2023-09-02"}),
                trials=(3, 4),
                seeds=(5, 6),
                seed_sd=(0.1, 0.2),
                features=({"path": "a.csv"}, {"path": "b.csv"}),
            ),
        )
    ],
    *[
        (part, case)
        for part, one, other in (
            ("candidates", "available", "impressions"),
            ("candidates", {"path": "a.csv"}, {"path": "b.csv"}),
            ("served", 4, 5),
            ("steps", [{"cap": {"by": "item.kind", "at_most": 8}}], [{"cap": {"by": "item.kind", "at_most": 9}}]),
        )
        for case in _in("Variant", NEW, SCORES, **{part: (one, other)})
    ],
]
