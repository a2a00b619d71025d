"""The action and the workflow that `rankcast init --github` writes: valid, and no text of a stranger becomes a script."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from repositories import Repo, repo
from tiny import assert_refused, rankcast

__all__ = ["repo"]  # a fixture
ACTION, WORKFLOW = ".github/actions/rankcast/action.yml", ".github/workflows/rankcast.yml"


@pytest.fixture
def written(repo: Repo) -> Repo:
    done = rankcast("init", ".", "--github")
    assert done.code == 0, done.text
    return repo


def read(file: Path) -> Any:
    return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))


def files_of(repo: Repo) -> list[Any]:
    return [read(repo.root / ACTION), read(repo.root / WORKFLOW)]


def inside(value: Any, key: str) -> list[Any]:
    """Every value of a key, at any depth."""
    if isinstance(value, dict):
        return [inner for name, inner in value.items() if name == key] + [
            found for inner in value.values() for found in inside(inner, key)
        ]
    return [found for inner in value for found in inside(inner, key)] if isinstance(value, list) else []


@pytest.mark.slow
@pytest.mark.parametrize(("path", "schema"), [(ACTION, "github-actions"), (WORKFLOW, "github-workflows")])
def test_valid_by_the_schemas_of_github(written: Repo, path: str, schema: str) -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        str(written.root / path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_text_of_a_stranger_becomes_a_script(written: Repo) -> None:
    for document in files_of(written):
        for script in inside(document, "run"):
            if isinstance(script, str):
                assert "${{" not in script
    text = (written.root / WORKFLOW).read_text()
    for field in ("title", "body", "head.ref", "head_ref", "label", "user.login", "message"):
        assert not re.search(rf"\$\{{\{{[^}}]*{field}", text), field
    action = (written.root / ACTION).read_text()
    assert {*re.findall(r"\$\{\{\s*(.*?)\s*\}\}", action)} == {
        *(f"inputs.{name}" for name in ("package", "base", "mode", "out", "link", "token"))
    }


def test_permissions_and_forks(written: Repo) -> None:
    document = read(written.root / WORKFLOW)
    on = document.get("on", document.get(True))
    assert [*on] == ["pull_request"]
    assert document["permissions"] == {"contents": "read"}
    check, run = document["jobs"]["check"], document["jobs"]["run"]
    assert check["permissions"] == {"contents": "read", "pull-requests": "write", "security-events": "write"}
    assert run["permissions"] == {"contents": "read", "pull-requests": "write", "id-token": "write"}
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    assert same in run["if"]
    assert "vars.RANKCAST_MODE != ''" in run["if"]
    assert "||" not in run["if"]
    assert run["environment"] == "rankcast"
    assert run["needs"] == "check"
    assert "environment" not in check
    assert "secrets." not in re.sub(r"(?m)^\s*#.*$", "", (written.root / WORKFLOW).read_text())
    (token,) = inside(check, "token")
    assert token.startswith("${{ " + same + " && github.token || ''")
    assert not {"mode", "out"} & {key for one in inside(check, "with") for key in one}
    for job in (check, run):
        (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout")]
        assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
        assert job["timeout-minutes"]
    for text in ("secrets.", "github.token", "GITHUB_TOKEN"):  # nothing hands more to the installation than it needs
        assert text not in str(read(written.root / ACTION)["runs"]["steps"][1])


# ---- the script, for real

FAKE = """\
#!{python}
import json, os, sys
with open(os.environ["SAID"], "a") as file:
    print(json.dumps(sys.argv[1:]), file=file)
sys.exit(int(os.environ.get("CODE", "0")))
"""


def arrive(repo: Repo, folder: Path, code: int = 0, **inputs: str) -> tuple[list[str], int]:
    """The arguments that arrive at `rankcast`, and the exit code of the script, run as the runner of GitHub does."""
    step = next(one for one in read(repo.root / ACTION)["runs"]["steps"] if one.get("name") == "Rankcast")
    values = {"mode": "check", "base": "", "out": "", "link": "", "token": "", **inputs}
    env = {
        name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: values[found[1]], text)
        for name, text in step["env"].items()
    }
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "rankcast").write_text(FAKE.format(python=sys.executable))
    (programs / "rankcast").chmod(0o755)
    script, said = folder / "script.sh", folder / "said"
    script.write_text(step["run"])
    said.unlink(missing_ok=True)
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run(
        [bash, "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "SAID": str(said), "CODE": str(code), **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    (arguments,) = [json.loads(line) for line in said.read_text().splitlines()]
    return arguments, done.returncode


LAST = ["--comment", "rankcast-comment.md", "--sarif", "rankcast.sarif"]


@pytest.mark.parametrize(
    ("mode", "more"), [("check", []), ("run", ["--run"]), ("submit", ["--submit"]), ("", []), ("x -o y", [])]
)
def test_modes(written: Repo, tmp_path: Path, mode: str, more: list[str]) -> None:
    assert arrive(written, tmp_path, mode=mode) == (["ci", *more, *LAST], 0)
    assert arrive(written, tmp_path, mode=mode, token="t")[0] == ["ci", *more, "--post", *LAST]
    assert arrive(written, tmp_path, mode=mode, code=5)[1] == 5


HOSTILE = [
    "plain",
    "two words",
    "  spaces  ",
    "a'b",
    'a"b',
    "$(touch struck)",
    "`touch struck`",
    "; touch struck #",
    "&& touch struck",
    "$HOME ${PATH}",
    "*",
    "~",
    "a\nb\n\nc",
    "\\",
    "\\n\\",
    "--run",
    "-",
    "求人",
    "${{ github.token }}",
    "a\tb",
    "{study}/{run}",
    "!x",
    "\r",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_inputs_arrive_as_they_are(written: Repo, tmp_path: Path, text: str) -> None:
    arguments, code = arrive(written, tmp_path, base=text, out=text, link=text, mode="run", token=text)
    assert arguments == ["ci", "--base", text, "--out", text, "--link", text, "--run", "--post", *LAST]
    assert code == 0
    assert not (tmp_path / "struck").exists()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_mode_does_nothing(written: Repo, tmp_path: Path, text: str) -> None:
    assert arrive(written, tmp_path, mode=text)[0] == ["ci", *LAST]
    assert not (tmp_path / "struck").exists()


def test_the_package_is_one_argument(written: Repo) -> None:
    step = next(one for one in read(written.root / ACTION)["runs"]["steps"] if one.get("name") == "Install")
    assert '"$PACKAGE"' in step["run"]
    assert step["env"] == {"PACKAGE": "${{ inputs.package }}"}


def test_the_options_are_there(written: Repo) -> None:
    """What the action calls, this version understands; and the version that it installs is this one."""
    from rankcast import __version__

    text = (written.root / ACTION).read_text()
    helped = rankcast("ci", "--help").out
    for option in {*re.findall(r"--[a-z]+", text)} - {"--github", "--quiet"}:
        assert option in helped, option
    assert f"=={__version__}" in text
    assert "{version}" not in text


# ---- where the files are written


def test_nothing_is_overwritten(written: Repo) -> None:
    for path in (ACTION, WORKFLOW):
        (written.root / path).write_text("mine\n")
        assert_refused(rankcast("init", ".", "--github"), "not overwritten")
        assert (written.root / path).read_text() == "mine\n"
    (written.root / ACTION).unlink()
    assert_refused(rankcast("init", ".", "--github"), "not overwritten")
    assert not (written.root / ACTION).exists()


def test_nothing_is_half_written(repo: Repo, tmp_path: Path) -> None:
    """A refused `init --github` of new data leaves no service behind."""
    repo.write(WORKFLOW, "mine\n")
    data = repo.root / "eval"
    data.mkdir()
    (data / "requests.csv").write_text("request_id,user_id,timestamp\nr1,u1,2023-10-01T00:00:00Z\n")
    (data / "impressions.csv").write_text("request_id,item_id,rank\nr1,i1,1\n")
    assert_refused(rankcast("init", "eval", "--github"), "not overwritten")
    assert sorted(one.name for one in data.iterdir()) == ["impressions.csv", "requests.csv"]


def matches(pattern: str, path: str) -> bool:
    """As GitHub filters paths: `**` any characters, `*` any but a slash; `?`, `+`, `[]` and `!` are special, `\\` escapes."""
    assert not pattern.startswith("!")
    made = ""
    for token in re.findall(r"\\.|\*\*|[\s\S]", pattern):
        if token.startswith("\\"):
            made += re.escape(token[1])
        else:
            made += {"**": ".*", "*": "[^/]*", "?": "?", "+": "+", "[": "[", "]": "]"}.get(token, re.escape(token))
    return re.fullmatch(made, path) is not None


@pytest.mark.parametrize(
    "folder", [".", "evaluation", "deep/er", "my studies", "求人", "a[1]", "c++", "what?", "!odd", "a*b", 'q"q']
)
def test_the_paths_of_a_subfolder(repo: Repo, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.write(f"{folder}/service.yaml", (repo.root / "service.yaml").read_text())
    monkeypatch.chdir(repo.root / folder)
    assert rankcast("init", ".", "--github").code == 0
    assert (repo.root / ACTION).is_file()
    document = read(repo.root / WORKFLOW)
    patterns = document.get("on", document.get(True))["pull_request"]["paths"]
    start = "" if folder == "." else f"{folder}/"
    for path in ("service.yaml", "studies/a.yaml", "studies/deep/b.yml"):
        assert any(matches(one, start + path) for one in patterns), (patterns, start + path)
    for path in ("README.md", "src/a.py", *([] if folder == "." else ["other/service.yaml", "compose.yaml"])):
        assert not any(matches(one, path) for one in patterns), (patterns, path)


def test_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "service.yaml").write_text("rankcast: 1\n")
    done = rankcast("init", str(tmp_path), "--github")
    assert done.code == 0
    assert (tmp_path / ACTION).is_file()


def test_as_json(repo: Repo) -> None:
    done = rankcast("init", ".", "--github", "--json")
    assert {Path(one).name for one in json.loads(done.out)["written"]} == {"action.yml", "rankcast.yml"}


@pytest.mark.slow
def test_the_templates_are_in_the_wheel(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (root / name).exists():
            shutil.copy(root / name, copy)
    shutil.copytree(root / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=copy, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    for pattern in (
        "rankcast/review/templates/action.yml",
        "rankcast/review/templates/workflow.yml",
        "rankcast/report/templates/report.md.j2",
    ):
        assert fnmatch.filter(held, pattern), pattern
    on_disk = {str(one.relative_to(copy / "src")) for one in (copy / "src").rglob("*") if one.is_file()}
    assert on_disk <= set(held)
