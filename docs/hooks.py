"""Reference pages, generated from the code when the site is built: what is registered has a page, and says the same."""

from __future__ import annotations

import inspect
from typing import Any

from rankcast import plugins
from rankcast.config.service import Service
from rankcast.config.study import Study

GROUPS = {
    "metrics": (
        plugins.METRICS,
        "Metrics",
        "A metric is a value: `name(parameter=...)@k`. Without `@k` the whole list counts.",
    ),
    "steps": (
        plugins.STEPS,
        "Steps",
        "Post-processing, in production's own order. Each step sees the list best first.",
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
    for entry in plugins.names(name):
        cls = plugins.load(name, entry)
        heading = f"{entry} {cls.name}" if group == "rules" else entry
        parts += [f"## {heading}", "", inspect.getdoc(cls) or "", ""]
        if group == "metrics":
            direction = "higher is better" if cls.higher_is_better else "lower is better"
            kind = "a value per request" if cls.per_request else "a value per variant"
            parts += [f"*{direction}; {kind}; definition version {cls.version}*", ""]
    return "\n".join(parts)


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
    rows = []
    for key, value in schema.get("properties", {}).items():
        needed = "yes" if key in schema.get("required", []) else ""
        default = "" if value.get("default") in (None, (), [], {}) else f"`{value['default']}`"
        inner = _inner(value, defs)
        meaning = value.get("description") or (inner or {}).get("description", "").split("\n")[0]
        rows.append(f"| `{prefix}{key}` | {needed} | {default} | {meaning.replace('|', chr(92) + '|')} |")
        if inner is not None:
            rows += _rows(inner, defs, f"{prefix}{key}.")
        elif isinstance(value.get("additionalProperties"), dict) and "$ref" in value["additionalProperties"]:
            rows += _rows(
                defs[value["additionalProperties"]["$ref"].rpartition("/")[2]], defs, f"{prefix}{key}.<name>."
            )
    return rows


def _inner(value: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any] | None:
    options = [value, *value.get("anyOf", []), *value.get("allOf", [])]
    return next((defs[one["$ref"].rpartition("/")[2]] for one in options if "$ref" in one), None)


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs: add the generated pages."""
    from mkdocs.structure.files import File

    for group in GROUPS:
        files.append(File.generated(config, f"reference/{group}.md", content=reference(group)))
    files.append(File.generated(config, "reference/keys.md", content=keys()))
    return files
