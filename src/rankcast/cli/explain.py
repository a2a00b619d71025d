"""`rankcast explain`: the resolved plan of a study, or the page of a metric, step or rule."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import typer

from rankcast.cli.guard import guarded
from rankcast.cli.show import plain, print_json

NAME, NEEDS_ARGUMENTS = "explain", True


@guarded
def command(
    subject: Annotated[
        str,
        typer.Argument(
            help="study.yaml; or a metric (ndcg@10), a step (cap), a builtin (popular), a rule (RP02).",
            show_default=False,
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Print the whole resolved plan of a study, defaults included, or what a metric, step, builtin or rule means."""
    if Path(subject).suffix in {".yaml", ".yml"} or Path(subject).is_file():
        _explain_plan(Path(subject), json)
        return
    title, page = _page(subject)
    if json:
        print_json({"subject": title, "page": page})
    else:
        print(f"{title}\n\n{page}")


def _explain_plan(path: Path, as_json: bool) -> None:
    from rankcast.config.write import to_yaml
    from rankcast.study import plan

    document = plan(path, need_variables=False).document()
    if as_json:
        print_json(document)
    else:
        print(plain(to_yaml(document)), end="")


def _code(subject: str) -> str | None:
    """The code of a rule that is named by its code or its name."""
    from rankcast import plugins

    codes = plugins.names(plugins.RULES)
    if subject.upper() in codes:
        return subject.upper()
    if "-" not in subject:
        return None
    return next((code for code in codes if plugins.load(plugins.RULES, code).name == subject), None)


def _page(subject: str) -> tuple[str, str]:
    from rankcast import plugins
    from rankcast.errors import ConfigError, nearest
    from rankcast.evaluate.page import page_of
    from rankcast.replay.drawing import drawing
    from rankcast.rules.page import page as rule_page
    from rankcast.study import metric

    code = _code(subject)
    if code is not None:
        rule = rule_page(plugins.load(plugins.RULES, code))
        return f"{code} {rule.name}", rule.render().partition("\n\n")[2]
    for group in (plugins.STEPS, plugins.BUILTINS):
        if subject in plugins.names(group):
            page = inspect.getdoc(plugins.load(group, subject)) or ""
            picture = drawing(subject) if group == plugins.STEPS else None
            return subject, "\n\n".join(filter(None, (page, picture)))
    if subject in plugins.names(plugins.METRICS):
        return subject, page_of(plugins.load(plugins.METRICS, subject)()).render()
    try:
        value = metric(subject)
    except ConfigError as error:
        known = [
            *plugins.names(plugins.RULES),
            *(plugins.load(plugins.RULES, one).name for one in plugins.names(plugins.RULES)),
        ]
        hint = nearest(subject.upper() if len(subject) == 4 else subject, known)
        if hint.startswith("; did you mean"):
            raise ConfigError(f"nothing is known as `{subject}`{hint}, a rule? `rankcast rules` lists them") from error
        raise ConfigError(
            f"nothing is known as `{subject}`: no such file, rule, step or builtin, and as a metric: {error}"
        ) from error
    return str(value), page_of(value).render()
