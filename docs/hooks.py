"""Reference pages, generated from the code when the site is built: what is registered has a page, and says the same."""

from __future__ import annotations

import inspect
from typing import Any

from rankcast import plugins
from rankcast.config.service import Service
from rankcast.config.study import Study
from rankcast.evaluate.page import Page, all_pages
from rankcast.replay.drawing import drawing

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
        "Anti-patterns that fire. A rule without evidence says `cannot check`, never passed.",
    ),
}


def reference(group: str) -> str:
    """The page of everything that is registered in a group."""
    name, title, intro = GROUPS[group]
    parts = [f"# {title}", "", intro, ""]
    if group == "metrics":
        return "\n".join([*parts, *(line for page in all_pages() for line in _metric(page))])
    for entry in plugins.names(name):
        cls = plugins.load(name, entry)
        heading = f"{entry} {cls.name}" if group == "rules" else entry
        parts += [f"## {heading}", "", inspect.getdoc(cls) or "", ""]
        picture = drawing(entry) if group == "steps" else None
        parts += ["```text", picture, "```", ""] if picture else []
    return "\n".join(parts)


def _metric(page: Page) -> list[str]:
    facts = [f"| {name} | {fact.replace('|', chr(92) + '|')} |" for name, fact in page.facts]
    return [f"## {page.name}", "", page.definition, "", page.text, "", "| | |", "| --- | --- |", *facts, ""]


def keys() -> str:
    """Every key of the two files, with type, default and meaning."""
    parts = [
        "# Every key",
        "",
        "Generated from the models that check the files; `rankcast schema` prints them for editors.",
        "",
    ]
    for title, model in (("service.yaml", Service), ("study.yaml", Study)):
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
    if name == "Table" or "path" not in model.get("properties", {}):
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
    files.append(File.generated(config, "reference/keys.md", content=keys()))
    return files
