"""The action and the workflow that `rankcast init --github` writes into a repository."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path, PurePosixPath

from rankcast import __version__
from rankcast.errors import ConfigError, RunError
from rankcast.repository import Repository

ACTION, WORKFLOW = Path(".github/actions/rankcast/action.yml"), Path(".github/workflows/rankcast.yml")


def write_workflow(folder: Path) -> list[Path]:
    """Write both files at the root of the repository that holds a folder, or in the folder itself. None is overwritten."""
    check_free(folder)
    root = _root(folder)
    files = {root / ACTION: _action(), root / WORKFLOW: _workflow(folder, root)}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


def check_free(folder: Path) -> None:
    """ConfigError where a file is there already."""
    files = [_root(folder) / ACTION, _root(folder) / WORKFLOW]
    there = [str(path) for path in files if path.exists()]
    if there:
        raise ConfigError(f"{', '.join(there)} is there already and is not overwritten; remove it, or mend it by hand")


def _root(folder: Path) -> Path:
    """The root of the repository that a folder lies in; of none, the folder itself."""
    try:
        return Repository.around(folder.resolve()).root
    except RunError:
        return folder


def _action() -> str:
    return _template("action.yml").replace("{version}", __version__)


def _workflow(folder: Path, root: Path) -> str:
    """With the paths of studies and services, relative to the root."""
    below = PurePosixPath(folder.resolve().relative_to(root.resolve()).as_posix())
    start = "" if str(below) == "." else re.sub(r"([\[\]?+*!\\])", r"\\\1", f"{below}/")  # special in filters
    paths = [f"{start}service.yaml", f"{start}studies/**"]
    return _template("workflow.yml").replace("{paths}", json.dumps(paths, ensure_ascii=False))


def _template(name: str) -> str:
    return (resources.files("rankcast.review") / "templates" / name).read_text(encoding="utf-8")
