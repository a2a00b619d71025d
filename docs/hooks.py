"""Reference pages, generated from the code when the site is built: what is registered has a page, and says the same."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import click
from pydantic import BaseModel
from typer.main import get_command

from rankcast import plugins
from rankcast.cli.app import app
from rankcast.cli.guard import EXIT_CODES
from rankcast.config.online_test import OnlineTestFile
from rankcast.config.service import Service
from rankcast.config.study import Study
from rankcast.evaluate.page import Page, all_pages
from rankcast.records import Result
from rankcast.replay.drawing import drawing
from rankcast.rules.page import RulePage
from rankcast.rules.page import all_pages as rule_pages
from rankcast.tables.schema import CANDIDATES, FEATURES, LABELS, PLACEMENTS, SCHEMAS, SCORES, SLATES

GROUPS = {
    "metrics": (
        plugins.METRICS,
        "Metrics",
        (
            "A metric is a value: `name(parameter=...)@k`. Its string parses to it and prints back. Without `@k` the whole list "
            "counts; what it gives for an empty list, or without a relevant label, stands in each table."
        ),
    ),
    "steps": (
        plugins.STEPS,
        "Steps",
        (
            "Post-processing, in production's own order. Each step sees the list best first. The pictures are the steps "
            "themselves, at work on six jobs; ✕ is what a step removes. A step of your own is a class behind an entry point "
            "in the group `rankcast.steps`, or a function behind the step `python`."
        ),
    ),
    "builtins": (plugins.BUILTINS, "Builtin variants", "References: compared, never decided."),
    "rules": (
        plugins.RULES,
        "Rules",
        (
            "Anti-patterns that fire. A rule says one of four things: **passed**, with what it was held against; **fired**, a "
            "warning or an error; **cannot check**, with what is missing and how to provide it; **waived**, where the study's "
            "`allow` gives a reason and an end. An error makes the decision `invalid`. A warning becomes an error where the "
            "difference without the problem surely has the other sign. A share of fewer than 100 requests makes no error: it "
            "may be chance. Codes begin with what they are about: DT data and time, TG targets, CA candidates, RP replay, LB "
            "labels and behaviour, MT metrics, CM comparison, ST statistics, CF counterfactual estimates, RE reporting, ON "
            "the link to online tests, WV waivers. The good and the bad study of each page are the rule's tests, merged into "
            "a clean study; [the matrix](../guide/rules-matrix.md) is what came of it."
        ),
    ),
}


def reference(group: str) -> str:
    """The page of everything that is registered in a group."""
    name, title, intro = GROUPS[group]
    parts = [f"# {title}", "", intro, ""]
    if group == "metrics":
        return "\n".join([*parts, *(line for page in all_pages() for line in _metric(page))])
    if group == "rules":
        return "\n".join([*parts, *_rules()])
    for entry in plugins.names(name):
        parts += [f"## {entry}", "", inspect.getdoc(plugins.load(name, entry)) or "", ""]
        picture = drawing(entry) if group == "steps" else None
        parts += ["```text", picture, "```", ""] if picture else []
    return "\n".join(parts)


def _rules() -> list[str]:
    """An overview, then a section for every rule."""
    pages = rule_pages()
    lines = ["| rule | what goes wrong | looks at | at worst |", "| --- | --- | --- | --- |"]
    lines += [_overview(one) for one in pages]
    return [*lines, "", *(one.markdown() for one in pages)]


def _overview(one: RulePage) -> str:
    link = f"[{one.code} {one.name}](#{one.code.lower()}-{one.name})"
    return f"| {link} | {one.wrong} | {one.moment} | {one.severity} |"


def commands() -> str:
    """Every command with its arguments and options, and every exit code."""
    root = get_command(app)
    parts = ["# Every command", "", "Generated from the commands. Progress goes to stderr, the result to stdout.", ""]
    with click.Context(root, info_name="rankcast") as context:
        for name, command in _leaves(root.commands):
            parts += [f"## rankcast {name}", "", " ".join((command.help or "").split()), ""]
            rows = [_parameter(one, context) for one in command.params if one.name != "help"]
            parts += ["| | default | meaning |", "| --- | --- | --- |", *rows, ""] if rows else []
    parts += ["## Exit codes", "", "| exit code | meaning |", "| --- | --- |"]
    parts += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join([*parts, ""])


def _leaves(commands: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name."""
    for name, command in commands.items():
        below = getattr(command, "commands", None)
        if below is None:
            yield name, command
        else:
            yield from ((f"{name} {inner}", one) for inner, one in _leaves(below))


def _parameter(one: Any, context: Any) -> str:
    names = (
        f"`{(one.name or '').upper()}`"
        if one.param_type_name == "argument"
        else ", ".join(f"`{name}`" for name in one.opts)
    )
    default = one.get_default(context)
    shown = "" if default in (None, False, (), []) else f"`{default}`"
    return f"| {names} | {shown} | {' '.join((one.help or '').split()).replace('|', chr(92) + '|')} |"


COLUMNS = {
    "request_id": "one list that was asked for",
    "user_id": "who asked, or acted; null is refused: `coalesce(user_id, session_id)` in `sql`",
    "item_id": "what is shown, or acted on",
    "timestamp": "when; without a zone, in the service's `timezone`",
    "open_at": "from when the item can be shown",
    "close_at": "from when it cannot any more; null: still open",
    "rank": "place in the list, from 1",
    "event": "the kind of event, as `labels.grades` names it",
    "score": "how good the model takes the item to be: higher is better; NaN and null are refused",
    "computed_at": "when the batch of scores was computed: the newest one at the request's time is used",
    "as_of": "when the row of features was known; rule DT03 holds it against its request",
    "grade": "how good the item is for the request",
}


def tables() -> str:
    """Every column of every table that comes in."""
    intro = (
        "Generated from the schemas by which tables are checked when they come in. Other names are mapped with "
        "`columns: {ours: theirs}`. Further columns of requests, items and users are kept, for filters, segments and metrics."
    )
    parts = ["# Every table and column", "", intro, ""]
    for schema in (*SCHEMAS.values(), SCORES, CANDIDATES, PLACEMENTS, FEATURES, SLATES, LABELS):
        parts += [f"## {schema.table}", "", "| column | holds | needed | meaning |", "| --- | --- | --- | --- |"]
        either = {column: pair for pair in schema.either for column in pair}
        for column, kind in schema.kinds.items():
            needed = "yes" if column in schema.required else ""
            if column in either:
                needed = "one of " + " and ".join(f"`{one}`" for one in either[column])
            null = "; may be null" if column in schema.nullable else ""
            parts.append(f"| `{column}` | {kind.value}{null} | {needed} | {COLUMNS[column]} |")
        if schema.unique:
            parts += ["", f"Each {', '.join(f'`{one}`' for one in schema.unique)} once."]
        parts.append("")
    return "\n".join(parts)


WORDS = {  # keys that mean the same everywhere
    "variant": "name of the variant",
    "baseline": "name of the baseline",
    "metric": "canonical string of the metric",
    "segment": "the part of the targets; null: all of them",
    "low": "lower end of the interval",
    "high": "upper end of the interval",
    "p": "two-sided p of no difference",
    "p_adjusted": "the same, adjusted within its family",
    "difference": "variant minus baseline",
    "value": "the weighted mean",
    "n_requests": "requests that take part",
    "n_users": "users that take part",
    "requests": "number of requests",
    "verdict": "better, worse, equivalent or undecided",
    "rule": "code of the rule",
    "evidence": "what was found",
    "remedy": "what to do next",
    "status": "passed, fired, cannot check or waived",
    "severity": "of a finding that fired; else the most that it can be",
    "step": "name of the step",
    "reason": "why",
    "in": "what came in",
    "out": "what is left",
    "lost": "what was lost",
    "rankcast": "format of the file",
    "study": "name of the study",
    "run": "id of the run",
    "decision": "go, no-go, undecided or invalid, by variant",
    "because": "why",
    "results": "all numbers",
    "findings": "what rules say",
    "logged": "of the lists that were really shown",
    "replayed": "of the replayed baseline",
    "relative": "difference over the baseline's value",
    "relative_low": "lower end of its interval",
    "relative_high": "upper end of its interval",
    "baseline_value": "the baseline's value",
    "average": "what counts alike",
    "decides": "whether this average decides",
    "count": "how many",
    "of": "of how many",
    "table": "which table",
    "what": "what was counted",
    "path": "the file",
    "overlap": "mean overlap with the log",
    "exact": "share of lists that are the log's, order included",
    "item_id": "the item",
    "request_id": "the request",
    "rank": "place in the list, from 1",
    "id": "whose",
    "column": "of which column",
    "event": "kind of event",
    "wins": "requests in which the variant is better",
    "ties": "requests without a difference",
    "losses": "requests in which it is worse",
    "family": "within which p is adjusted",
    "method": "how the interval was made",
}


def results() -> str:
    """Every key of result.json, findings among them."""
    schema = Result.model_json_schema(by_alias=True)
    parts = [
        "# Every key of result.json",
        "",
        "Generated from the records; `rankcast schema result` prints their JSON Schema.",
        "",
    ]
    for name, model in {"result.json": schema, **schema["$defs"]}.items():
        parts += [
            f"## {name}",
            "",
            " ".join(model.get("description", "").split()),
            "",
            "| key | kind | meaning |",
            "| --- | --- | --- |",
        ]
        for key, value in model.get("properties", {}).items():
            meaning = " ".join(value.get("description", WORDS.get(key, "")).split()).replace("|", "\\|")
            parts.append(f"| `{key}` | {_kind(value)} | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def _kind(value: dict[str, Any]) -> str:
    """What a key holds, in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_kind(one) for one in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    inner = {"array": value.get("items"), "object": value.get("additionalProperties")}.get(value.get("type", ""))
    word = {"array": "list", "object": "mapping"}.get(value.get("type", ""), str(value.get("type", "value")))
    return f"{word} of {_kind(inner)}" if isinstance(inner, dict) and inner else word


def _metric(page: Page) -> list[str]:
    facts = [f"| {name} | {fact.replace('|', chr(92) + '|')} |" for name, fact in page.facts]
    return [f"## {page.name}", "", page.definition, "", page.text, "", "| | |", "| --- | --- |", *facts, ""]


def keys() -> str:
    """Every key of the files that people write, with type, default and meaning."""
    parts = [
        "# Every key",
        "",
        "Generated from the models that check the files; `rankcast schema` prints them for editors.",
        "",
    ]
    models: dict[str, type[BaseModel]] = {
        "service.yaml": Service, "study.yaml": Study, "history/*.yaml": OnlineTestFile,
    }  # fmt: skip
    for title, model in models.items():
        schema = model.model_json_schema(by_alias=True)
        parts += [f"## {title}", "", "| key | required | default | meaning |", "| --- | --- | --- | --- |"]
        parts += _rows(schema, schema.get("$defs", {}), "")
        parts.append("")
    return "\n".join(parts)


def _rows(schema: dict[str, Any], defs: dict[str, Any], prefix: str) -> list[str]:
    """A row per key; the keys of a table are listed once, under `tables.requests`."""
    rows = []
    for key, value in schema.get("properties", {}).items():
        needed = "yes" if key in schema.get("required", []) else ""
        default = "" if value.get("default") in (None, (), [], {}) else f"`{value['default']}`"
        meaning = " ".join(value.get("description", "").replace("|", "\\|").split())
        rows.append(f"| `{prefix}{key}` | {needed} | {default} | {meaning} |")
        below = f"{prefix}{key}{'.<name>' if key == 'variants' else ''}."
        for name in _models(value):
            if name != "Table" or key == "requests":
                rows += _rows(_beyond_a_table(defs[name], name, defs), defs, below)
    return rows


def _beyond_a_table(model: dict[str, Any], name: str, defs: dict[str, Any]) -> dict[str, Any]:
    """Of a kind of table, only the keys that a table does not have."""
    if name == "Table" or "Table" not in defs or "path" not in model.get("properties", {}):
        return model
    own = {key: value for key, value in model["properties"].items() if key not in defs["Table"]["properties"]}
    return {**model, "properties": own}


def _models(value: dict[str, Any]) -> list[str]:
    options = [value, *value.get("anyOf", []), *value.get("allOf", [])]
    options += [inner for one in options[1:] for inner in one.get("anyOf", [])]
    if isinstance(value.get("additionalProperties"), dict):
        options.append(value["additionalProperties"])
    return [one["$ref"].rpartition("/")[2] for one in options if "$ref" in one]


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs: add the generated pages."""
    from mkdocs.structure.files import File

    for group in GROUPS:
        files.append(File.generated(config, f"reference/{group}.md", content=reference(group)))
    for name, content in {"keys": keys, "commands": commands, "tables": tables, "results": results}.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content()))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Called by mkdocs: pages in Japanese say so; what commands print is wrapped."""
    del config
    if page.file.src_uri.startswith("ja/"):
        output = output.replace('<html lang="en"', '<html lang="ja"', 1)
    return re.sub(
        r"(<pre><span></span><code)(?=>[^<])", r'\1 class="wrapped"', output
    )  # coloured blocks begin with a tag
