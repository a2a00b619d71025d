"""The action and the workflow that `rankcast init --github` writes into a repository."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path, PurePosixPath

from rankcast import __version__
from rankcast.errors import ConfigError, RunError
from rankcast.repository import Repository

ACTION, WORKFLOW = Path(".github/actions/rankcast/action.yml"), Path(".github/workflows/rankcast.yml")


def write_workflow(folder: Path) -> list[Path]:
    """Write both files at the root of the repository that holds a folder, or in the folder itself. None is overwritten."""
    try:
        root = Repository.around(folder.resolve()).root
    except RunError:
        root = folder
    files = {root / ACTION: _action(), root / WORKFLOW: _workflow(folder, root)}
    there = [str(path) for path in files if path.exists()]
    if there:
        raise ConfigError(f"{', '.join(there)} is there already and is not overwritten; remove it, or mend it by hand")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def _action() -> str:
    return _template("action.yml").replace("{version}", __version__)


def _workflow(folder: Path, root: Path) -> str:
    """With the paths of studies and services, relative to the root."""
    below = PurePosixPath(folder.resolve().relative_to(root.resolve()).as_posix())
    start = "" if str(below) == "." else f"{below}/"
    return _template("workflow.yml").replace(
        "{paths}", json.dumps([f"{start}**.yaml", f"{start}**.yml"], ensure_ascii=False)
    )


def _template(name: str) -> str:
    return (resources.files("rankcast.review") / "templates" / name).read_text(encoding="utf-8")
