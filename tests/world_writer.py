"""Writes one small random world: its tables, its service and its studies. `worlds` says what may be chosen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
from ruamel.yaml import YAML

import world_judgement
from world_tables import Row, Tables

METRICS = (
    "dcg@3 ndcg@5 recall@2 precision@3 hit@1 ap@5 rr@10 dcg ndcg precision recall hit ap rr ndcg(gain=exp)@3 "
    "dcg(gain=exp) precision(level=2)@2 recall(level=2)@5 hit(level=3)@5 rr(level=2) ap(level=2)@4 ap(norm=cut)@3 "
    "list_length list_length@2 empty empty@3 dcg(gain=binary) ndcg(gain=binary)@3 dcg(discount=log2_from_2)@4 "
    "ndcg(discount=reciprocal) ndcg(discount=none)@2 recall(norm=cut) recall(norm=cut)@2 f1 f1@3 f1(level=2)@2 "
    "rbp rbp@3 rbp(p=0.5) rbp(p=0.95)@4 rbp(level=2)@4 err err@2 err(max_grade=5)@3 auc auc@3 auc(level=2) "
    "r_precision r_precision@2 r_precision(level=4)"
)
ON_HISTORY = "novelty novelty@2 popularity popularity@3 serendipity serendipity@1 serendipity@3 serendipity(level=2)@2"
ON_IMPRESSIONS = (
    "bpref bpref@3 bpref(level=2) judged judged@2 judged(norm=cut) judged(norm=cut)@4 "
    "unjudged unjudged@3 unjudged(norm=cut)@5"
)
ON_ITEMS = "diversity(by=item.city) diversity(by=item.company)@3 diversity(by=item.wage)@2 diversity(by=item.is_test)@5"
PER_VARIANT = ["entropy@2", "entropy", "personalization@2", "personalization"]
PER_VARIANT_ON_ITEMS = [
    "coverage@3",
    "coverage",
    "gini@2",
    "gini",
    "exposure_gini(by=item.company)@2",
    "exposure_gini(by=item.wage)@3",
    "exposure_gini(by=item.city)",
    'exposure_share(where="item.is_test")@2',
    'exposure_share(where="NOT item.is_test")',
    'exposure_share(where="item.wage >= 10 OR item.company IS NULL")@3',
]
STEPS = ["job", "city", "match", "available", "available", "not_seen", "cap", "where", "where", "score"]
WHERES = [
    "NOT item.is_test",
    "NOT (item.wage < 12 AND item.is_test)",
    "item.wage >= 10",
    "item.wage >= 10 OR item.company IS NULL",
    "item.city = request.city",
    "user.tenure = 'new'",
]
RERANKS = [
    "coalesce(item.wage, 9.5)",
    "CASE WHEN item.is_test THEN 0 ELSE 1 END",
    "CASE WHEN item.city = request.city THEN 2.0 ELSE 1.0 END",
    "CASE WHEN user.tenure = 'new' THEN coalesce(item.wage, 0.0) ELSE -coalesce(item.wage, 0.0) END",
]
RERANKS_ON_SCORES = ["coalesce(score, 0.5) * 2", "coalesce(score, 0.0) - CASE WHEN item.is_test THEN 0.25 ELSE 0.0 END"]
RERANKS_ON_KNOWN_SCORES = ["score", "-score", "score + coalesce(item.wage, 0.0) / 4"]  # a pinned item may have none
LEAVE_OUT = {"selective", "by_city"}  # models that do not score every candidate
ARRANGING = ["rerank", "rerank", "pin", "pin", "page", "python", "python"]
FUNCTIONS = ["backwards", "without_every_third", "drawn"]  # of `foreign`
FUNCTIONS_ON_ITEMS = ["alternate_companies", "without_tests"]
MODELS = ["by_place", "selective", "by_lot"]
MODELS_ON_ITEMS = ["by_wage", "by_city"]


def _dump(path: Path, content: Row) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    yaml = YAML(typ="safe", pure=True)
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.representer.ignore_aliases = lambda _: True
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    return path


class Writer(Tables):
    def arranging(self, rng: Random, pinned: bool) -> list[Any]:
        """Steps that put a list in another order, add to it or take a page of it."""
        repeating = self.world.repeats and not self.scored  # the logged list has items twice: not for all of these
        steps: list[Any] = []
        for kind in rng.sample(ARRANGING, self.world.arranging):
            if kind == "rerank":
                on_items = [] if self.bare else RERANKS
                on_scores = (RERANKS_ON_SCORES[: 1 if self.bare else 2]) if self.scored else []
                on_known = RERANKS_ON_KNOWN_SCORES[: 2 if self.bare else 3] if self.scored and not pinned else []
                sql = rng.choice(
                    [*on_items, *on_scores, *on_known, "CASE WHEN request.keyword = 'k' THEN 1.0 ELSE 0.0 END"]
                )
                steps.append({"rerank": {"sql": sql}})
            elif kind == "page":
                steps.append({"page": {"size": rng.choice([2, 3, 5]), "number": "request.page"}})
            elif kind == "pin" and pinned and not repeating:
                steps.append({"pin": self.write_pins(self.pin_tables)})
                self.pin_tables += 1
            elif kind == "python" and not repeating:
                steps.append({"python": "foreign:" + rng.choice(FUNCTIONS + FUNCTIONS_ON_ITEMS * (not self.bare))})
        return steps

    def model(self, rng: Random) -> Row:
        """A python variant, named plainly or with what it reads."""
        name = rng.choice(MODELS + MODELS_ON_ITEMS * (not self.bare))
        if rng.random() < 0.6:
            return {"python": f"foreign:{name}"}
        columns = ["item.wage", "item.city", "request.city", "user.tenure"]
        narrow = {"columns": columns} if name in MODELS_ON_ITEMS else {}
        return {"python": {"function": f"foreign:{name}", "reads": ["model.txt"]} | narrow}

    def steps(self, rng: Random, count: int) -> list[Any]:
        """Some of the steps that these tables allow, in some order; only the last one may bear a name."""
        city, job = {"request.city": "item.city"}, {"request.job": "item.job"}
        steps: list[Any] = []
        for kind in rng.sample(STEPS, count):
            if kind == "not_seen":
                within = rng.choice([{}, {"within": "6h"}, {"within": "12h"}])
                steps.append({"not_seen": {"events": rng.choice([["apply"], ["click", "view"]])} | within})
            elif kind == "available":
                steps += [kind] if self.available else []
            elif kind == "score":
                steps += [{"where": "score > 0.25"}] if self.scored else []
            elif self.bare:
                continue
            elif kind == "cap":
                steps.append({"cap": {"by": rng.choice(["item.company", "item.city"]), "at_most": rng.randint(1, 2)}})
            elif kind == "where":
                steps.append({"where": rng.choice(WHERES)})
            else:
                steps.append({"match": {"job": job, "city": city, "match": city | job}[kind]})
        if self.world.arranging:
            for step in self.arranging(rng, pinned=rng.random() < 0.6):
                steps.insert(rng.randint(0, len(steps)), step)
        if steps and isinstance(steps[-1], dict) and rng.random() < 0.3:
            steps[-1] = steps[-1] | {"name": "the last one"}
        return steps

    def write(self) -> list[Path]:
        world = self.world
        tables = {"requests": self.write_requests()}
        names = ["production", *["rival", "新しい", "third"][: world.rivals]]
        files = {name: self.write_scores(name, skill) for name, skill in zip(names, (0.3, 0.9, 0.0, 0.5), strict=False)}
        if not self.bare:
            tables["items"] = self.write_items()
            rng = self.chance("users")
            rows = [{"user_id": user, "tenure": rng.choice(["new", "new", "old", None])} for user in self.users[1:]]
            tables["users"] = self.keep("users", rows, {"user_id": None, "tenure": pl.String})
        if self.available:
            tables["availability"] = self.write_availability()
        if world.candidates == "path":
            rng = self.chance("candidates")
            rows = [
                {"request_id": request, "item_id": item}
                for request in self.request_ids
                for item in rng.sample(self.items, rng.randint(0, len(self.items)))
            ]
            self.candidates = self.keep("candidates", rows, {"request_id": None, "item_id": None})
        rng = self.chance("service")
        attribute = "any_request" if world.attribute == "last_shown" and not self.logged else world.attribute
        steps = self.steps(rng, world.steps)
        service: Row = {
            "rankcast": 1,
            "service": "world",
            "timezone": world.zone,
            "tables": tables,
            "production": {"candidates": self.candidates, "steps": steps, "served": self.served},
            "labels": {"grades": self.grades, "horizon": world.horizon, "attribute": attribute},
            "targets": {"without_labels": world.without_labels},
        }
        service["labels"] |= {"negative_grades": True} if world.negative else {}
        service["labels"] |= {"late": world.late} if world.late != "exclude" else {}
        service["targets"] |= world_judgement.averaging(self.chance("averages"), world)
        if world.where:
            service["targets"]["where"] = world.where
        (self.folder / "model.txt").write_text("weights")
        _dump(self.folder / "service.yaml", service)
        if self.logged:
            draft = _dump(self.folder / "draft.yaml", self.draft(files["production"]))
            tables["impressions"] = self.write_shown(self.replayed(draft))
            draft.unlink()
        tables["events"] = self.write_events()
        _dump(self.folder / "service.yaml", service)
        return [self.write_study(number, files) for number in range(world.studies)]

    def draft(self, production: Row) -> Row:
        """Just enough of a study to replay production, while nothing is logged yet."""
        return {"service": "service.yaml", "variants": {"production": production}, "baseline": "production"}

    def write_study(self, number: int, files: dict[str, Row]) -> Path:
        world, rng = self.world, self.chance(f"study-{number}")
        variants = {name: dict(entry) for name, entry in files.items()}
        builtins: list[Row] = [{"builtin": "popular"} | rng.choice([{}, {"within": "2d"}, {"within": "6h"}])]
        builtins += [{"builtin": "logged"}] if self.logged else []
        builtins += [{"builtin": "recent"}] if self.available else []
        variants |= {entry["builtin"]: entry for entry in builtins[: world.builtins]}
        baseline = "production"
        variants |= {name: self.model(rng) for name in ("callable", "モデル")[: world.models]}
        if world.baseline == "python" and self.logged:
            baseline = "callable"
            name = rng.choice([name for name in MODELS + MODELS_ON_ITEMS * (not self.bare) if name not in LEAVE_OUT])
            variants |= {"callable": {"python": f"foreign:{name}"}}
        if world.baseline == "logged" and self.logged:
            baseline = "logged"
            variants |= {"logged": {"builtin": "logged"}}
            del variants["production"]
        if world.own:
            variants["rival"] |= {"steps": self.steps(rng, 2), "served": self.served + rng.randint(-1, 2) or 1}
        per_request = [METRICS, ON_HISTORY] + [ON_IMPRESSIONS] * self.logged + [ON_ITEMS] * (not self.bare)
        metrics = rng.sample(" ".join(per_request).split(), world.metrics)
        per_variant = PER_VARIANT + ([] if self.bare else PER_VARIANT_ON_ITEMS)
        also = [*metrics[3:], *rng.sample(per_variant, world.coverage)]
        columns = ["request.keyword", "request.surface"] + ([] if self.bare else ["user.tenure"])
        compare: Row = {"confidence": rng.choice([0.95, 0.95, 0.9, 0.83])}
        if world.smallest:
            compare |= {"smallest_effect": world.smallest}
        first = self.day.date()
        late = {"from": f"{first + timedelta(days=1)}T09:30:00", "to": f"{first + timedelta(days=4)}T06:00:00"}
        study: Row = {
            "rankcast": 1,
            "study": f"study-{number}",
            "service": "service.yaml",
            "treatment": ["scores", "steps", "served"] if world.own else ["scores"],
            "period": late if number else {"from": first + timedelta(days=1), "to": first + timedelta(days=5)},
            "variants": variants,
            "baseline": baseline,
            "metrics": {"primary": metrics[0], "guardrails": metrics[1:3], "also": also},
            "segments": rng.sample(columns, min(world.segments, len(columns))),
            "compare": compare,
        }
        self.judge(number, study)
        if world.at_least is not None:
            study["fidelity"] = {"at_least": world.at_least}
        return _dump(self.folder / f"study-{number}.yaml", study)

    def judge(self, number: int, study: Row) -> None:
        """What a study says beyond the plain of it."""
        rng, world = self.chance(f"judgement-{number}"), self.world
        study["segments"] = study["segments"] + world_judgement.segments(rng, world, self.bare, study["segments"])
        study["compare"] |= world_judgement.compare(rng, world, self.bare)
        study["metrics"]["guardrails"] = world_judgement.guardrails(rng, world, study["metrics"]["guardrails"])
