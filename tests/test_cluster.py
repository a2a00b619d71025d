"""What `rankcast submit` sends: manifests that Kubernetes takes, the same for the same inputs, and nothing that is secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from rankcast.cluster.job import Files, bytes_of, manifests
from rankcast.config.service.submit import Submit
from rankcast.config.write import to_old_yaml
from rankcast.testing.past import TESTS, write_past
from tiny import GONE, Outcome, World, assert_refused
from tiny import rankcast as command

LEAST = {"image": "registry/rankcast:1", "out": "s3://bucket/runs"}
ALL: dict[str, Any] = {
    **LEAST,
    "out": "/runs/home",
    "namespace": "recsys",
    "context": "prod",
    "files": {"git": {"repository": "https://github.com/team/evaluation.git", "commit": "0" * 40, "token": "git/token",
                      "image": "registry/git:2"}},
    "resources": {"cpu": "500m", "memory": "1.5Gi", "disk": "5Gi"},
    "processes": 4,
    "service_account": "evaluator",
    "env": {"LOGS": "/logs", "MODE": "on"},
    "secrets": {"TOKEN": "warehouse/token", "PASSWORD": {"secret": "db", "key": "password"}},
    "volumes": [{"claim": "logs", "mount": "/logs"}, {"claim": "runs", "mount": "/runs", "read_only": False}],
    "ttl": "2d",
    "timeout": "6h",
    "retries": 0,
    "image_pull_secrets": ["registry"],
    "node_selector": {"pool": "batch"},
    "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule"}],
    "labels": {"team": "feed"},
    "annotations": {"example.com/why": "回答 on: yes"},
}  # fmt: skip
OTHERS: dict[str, Any] = {
    "image": "registry/rankcast:2", "out": "/runs/other", "namespace": "other", "context": "dev", "files": "configmap",
    "resources": {"cpu": "500m", "memory": "1.6Gi", "disk": "5Gi"}, "processes": 5, "service_account": "another",
    "env": {"LOGS": "/logs", "MODE": "off"}, "secrets": {"TOKEN": "warehouse/token", "PASSWORD": "db/other"},
    "volumes": [{"claim": "logs", "mount": "/logs"}, {"claim": "runs2", "mount": "/runs", "read_only": False}],
    "ttl": "3d", "timeout": "7h", "retries": 1, "image_pull_secrets": [], "node_selector": {"pool": "spot"},
    "tolerations": [], "labels": {"team": "ads"}, "annotations": {},
}  # fmt: skip


def cluster_world(folder: Path, **submit: Any) -> World:
    """The tiny service with its data on a volume, as a pod needs it."""
    world = World(folder)
    for document in (world.service_document, world.study_document):
        moved = json.loads(json.dumps(document).replace('"data/', '"/logs/'))
        document.clear()
        document.update(moved)
    world.service_document["submit"] = {**LEAST, **submit}
    return world


def submit(world: World, *more: str) -> Outcome:
    world.write(data=False)
    return command("submit", str(world.folder / "study.yaml"), *more)


def documents(world: World, *more: str) -> list[dict[str, Any]]:
    answer = submit(world, "--dry-run", *more)
    assert answer.code == 0, answer.text
    assert answer.err == ""
    return list(yaml.safe_load_all(answer.out))


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def validate(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


# --- Manifests that Kubernetes takes ---


def test_the_validator_is_strict(tmp_path: Path) -> None:
    _, job = documents(cluster_world(tmp_path))
    validate(job)
    for place in (job, job["spec"], pod_of(job), pod_of(job)["containers"][0]):
        place["unknown"] = 1
        with pytest.raises(kubernetes_validate.ValidationError):
            validate(job)
        del place["unknown"]
    job["spec"]["backoffLimit"] = "three"
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(job)


def test_every_key_reaches_the_manifest() -> None:
    assert set(ALL) == set(Submit.model_fields) == set(OTHERS)
    (job,) = manifests("first", Files("study.yaml", {}, "0" * 40), Submit.model_validate(ALL))
    validate(job)
    text = json.dumps(job, ensure_ascii=False)
    for word in ("recsys", "evaluation.git", "registry/git:2", "500m", "1.5Gi", "5Gi", "evaluator", "batch", "NoSchedule", "feed",
                 "回答 on: yes", "/runs/home", "registry/rankcast:1"):  # fmt: skip
        assert word in text, word
    pod = pod_of(job)
    (container,) = pod["containers"]
    env = {one["name"]: one for one in container["env"]}
    assert env["TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "warehouse", "key": "token"}
    assert env["PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "db", "key": "password"}
    assert env["MODE"]["value"] == "on"
    assert job["spec"]["ttlSecondsAfterFinished"] == 2 * 24 * 3600
    assert job["spec"]["activeDeadlineSeconds"] == 6 * 3600
    assert job["spec"]["backoffLimit"] == 0
    assert container["args"][container["args"].index("--processes") + 1] == "4"
    (memory,) = re.findall(r"^(\d+)MB$", container["args"][container["args"].index("--memory") + 1])
    assert 0.5 < int(memory) * 1e6 / bytes_of("1.5Gi") < 0.7
    mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
    assert mounts["/logs"]["readOnly"]
    assert not mounts["/runs"]["readOnly"]
    assert {one["name"] for one in container["volumeMounts"]} <= {one["name"] for one in pod["volumes"]}
    (clone,) = pod["initContainers"]
    assert {one["name"] for one in clone["env"]} >= {"REPOSITORY", "COMMIT", "GIT_TOKEN"}


_label = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
_dns = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
_variable = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: not name.startswith("RANKCAST_") and name not in {"HOME", "PATH", "TMPDIR"}
)
_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_span = st.builds("{}{}".format, st.integers(1, 500), st.sampled_from("mhdw"))
_quantity = st.one_of(
    st.integers(1, 500),
    st.builds(
        "{}{}".format, st.integers(1, 500), st.sampled_from(["m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", ""])
    ),
    st.builds("{:.2f}{}".format, st.floats(0.01, 99), st.sampled_from(["", "M", "G", "Mi", "Gi"])),
)
_volume = st.fixed_dictionaries({"claim": _dns, "mount": _label.map("/vol/{}".format), "read_only": st.booleans()})
_submit = st.fixed_dictionaries(
    {"image": st.text(min_size=1, max_size=30), "out": st.just("s3://bucket/runs")},
    optional={
        "namespace": _dns,
        "files": st.just("configmap")
        | st.fixed_dictionaries({"git": st.fixed_dictionaries({"repository": _words}, optional={"token": st.just("a/b")})}),
        "resources": st.fixed_dictionaries({}, optional={"cpu": _quantity, "memory": _quantity, "disk": _quantity}),
        "processes": st.integers(1, 256),
        "service_account": _dns,
        "env": st.dictionaries(_variable.map("E{}".format), _words, max_size=3),
        "secrets": st.dictionaries(_variable.map("S{}".format), st.builds("{}/{}".format, _dns, _label), max_size=3),
        "volumes": st.lists(_volume, max_size=3, unique_by=lambda one: one["mount"]),
        "ttl": _span,
        "timeout": _span,
        "retries": st.integers(0, 20),
        "image_pull_secrets": st.lists(_dns, max_size=2),
        "node_selector": st.dictionaries(_label, _label, max_size=2),
        "tolerations": st.lists(st.just({"key": "spot", "operator": "Exists"}), max_size=1),
        "labels": st.dictionaries(_label, _label, max_size=2),
        "annotations": st.dictionaries(_label, _words, max_size=2),
    },
)  # fmt: skip


@settings(max_examples=150)
@given(_submit, _words, st.dictionaries(st.sampled_from(["a/study.yaml", "service.yaml"]), _words, min_size=1))
def test_whatever_submit_says_is_valid(section: dict[str, Any], name: str, texts: dict[str, str]) -> None:
    submitted = Submit.model_validate(section)
    from_git = submitted.files != "configmap"
    files = Files("study.yaml", {}, "1" * 40) if from_git else Files(sorted(texts)[0], texts)
    made = manifests(name, files, submitted)
    assert [one["kind"] for one in made] == (["Job"] if from_git else ["ConfigMap", "Job"])
    for one in made:
        validate(one)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", one["metadata"]["name"])
        assert len(one["metadata"]["name"]) <= 52
        for label in one["metadata"]["labels"].values():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", label)
            assert len(label) <= 63
    names = [one["name"] for one in pod_of(made[-1])["containers"][0]["env"]]
    assert len(names) == len(set(names))
    text = "---\n".join(to_old_yaml(one) for one in made)
    assert list(yaml.safe_load_all(text)) == made
    assert list(YAML(typ="safe", pure=True).load_all(text)) == made


@pytest.mark.parametrize(
    "written",
    ["2", 2, "500m", "8Gi", "8388608Ki", "1.5G", "0.5Gi", "0.5", 0.5, "16Mi", "100k", "1T", "1Ti"],
)  # fmt: skip
def test_quantities(written: Any) -> None:
    asked = Submit.model_validate({**LEAST, "resources": {"memory": written}}).resources.memory
    assert asked == str(written)
    assert bytes_of(asked) > 0


@pytest.mark.parametrize(
    "written", ["8ki", "8K", "8GB", "-1", "", "Gi", "0", "0.0", "1e3", True, None, [], "8 Gi", "٣"]
)
def test_what_is_no_quantity(written: Any, tmp_path: Path) -> None:
    world = cluster_world(tmp_path, resources={"memory": written})
    assert_refused(submit(world, "--dry-run"), "submit.resources.memory")


# --- Names ---


@pytest.mark.parametrize(
    "name",
    [
        "Two Tower V3",
        "求人",
        "x" * 100,
        "-" + "é" * 50 + "-",
        "A.B_C",
        "9",
        "a" * 33 + "-" * 10 + "b",
        "𝟘",
        "İstanbul",
        "on",
    ],
)
def test_names_of_studies(name: str, tmp_path: Path) -> None:
    world = cluster_world(tmp_path).study("study", to=name)
    config, job = documents(world)
    assert config["metadata"] == job["metadata"]
    assert re.fullmatch(r"rankcast-[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{8}", job["metadata"]["name"])
    assert len(job["metadata"]["name"]) <= 52
    for one in (config, job):
        validate(one)
    assert documents(world) == [config, job]


def test_names_that_look_alike_are_told_apart(tmp_path: Path) -> None:
    names = {
        documents(cluster_world(tmp_path).study("study", to=name))[1]["metadata"]["name"]
        for name in ("two tower", "Two Tower", "two-tower", "求人", "求職", "x" * 99, "x" * 100)
    }
    assert len(names) == 7


def test_the_same_inputs_have_the_same_name(tmp_path: Path) -> None:
    first = documents(cluster_world(tmp_path / "a"))
    assert documents(cluster_world(tmp_path / "b")) == first
    assert documents(cluster_world(tmp_path / "a"), "--out", LEAST["out"]) == first


def test_any_change_makes_another_name() -> None:
    def name(changed: dict[str, Any], files: Files | None = None, study: str = "first") -> str:
        chosen = files or Files("study.yaml", {"study.yaml": "a", "service.yaml": "b"})
        return str(manifests(study, chosen, Submit.model_validate({**ALL, **changed}))[-1]["metadata"]["name"])

    base = name({})
    assert name({}) == base
    names = {key: name({key: value}) for key, value in OTHERS.items()}
    assert base not in names.values()
    assert len(set(names.values())) == len(names)
    for text in ("study.yaml", "service.yaml"):
        texts = {"study.yaml": "a", "service.yaml": "b", text: "c"}
        assert name({}, Files("study.yaml", texts)) != base
    assert name({}, study="First") != base
    assert name({}, Files("study.yaml", {}, "1" * 40)) != name({}, Files("study.yaml", {}, "2" * 40))


def test_out_on_the_command_line(tmp_path: Path) -> None:
    world = cluster_world(tmp_path, secrets={"A": "b/c"}, volumes=[{"claim": "c", "mount": "/v"}], ttl="1d")
    _, base = documents(world)
    _, job = documents(world, "--out", "s3://other/place")
    assert job["metadata"]["name"] != base["metadata"]["name"]
    expected = json.loads(
        json.dumps(base).replace("s3://bucket/runs", "s3://other/place")
        .replace(base["metadata"]["name"], job["metadata"]["name"])
        .replace(base["metadata"]["annotations"]["rankcast/content"], job["metadata"]["annotations"]["rankcast/content"])
    )  # fmt: skip
    assert job == expected
    for bad in ("gs://bucket/x", "runs", ""):
        assert_refused(submit(world, "--dry-run", "--out", bad), "expected s3://bucket/prefix")


# --- Files in a ConfigMap ---


@pytest.mark.parametrize("given", ["absolute", "relative"])
def test_files_in_folders(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster_world(tmp_path).study("service", to="../services/home/service.yaml").write(data=False)
    for name, place in (("service.yaml", "services/home"), ("study.yaml", "studies")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / name).rename(tmp_path / place / name)
    monkeypatch.chdir(tmp_path / "studies")
    path = "study.yaml" if given == "relative" else str(tmp_path / "studies" / "study.yaml")
    answer = command("submit", path, "--dry-run")
    assert answer.code == 0, answer.text
    config, job = yaml.safe_load_all(answer.out)
    (volume,) = [one for one in pod_of(job)["volumes"] if one["name"] == "study"]
    placed = {one["path"]: config["data"][one["key"]] for one in volume["configMap"]["items"]}
    assert placed == {
        "services/home/service.yaml": (tmp_path / "services/home/service.yaml").read_text(),
        "studies/study.yaml": (tmp_path / "studies/study.yaml").read_text(),
    }
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    assert pod_of(job)["containers"][0]["args"][1] == "/study/studies/study.yaml"


def test_the_record_of_past_tests_travels_too(tmp_path: Path) -> None:
    world = cluster_world(tmp_path).service("history", to={"path": "history"})
    assert_refused(submit(world, "--dry-run"), "service.yaml", "history", "make the folder")
    write_past(tmp_path / "history")
    (tmp_path / "history" / "notes.txt").write_text("no test")
    config, job = documents(world)
    validate(job)
    (volume,) = [one for one in pod_of(job)["volumes"] if one["name"] == "study"]
    placed = {one["path"]: config["data"][one["key"]] for one in volume["configMap"]["items"]}
    record = {f"history/{path.name}": path.read_text() for path in (tmp_path / "history").glob("*.yaml")}
    assert len(record) == len(TESTS)
    assert placed == {**record, **{name: (tmp_path / name).read_text() for name in ("service.yaml", "study.yaml")}}
    changed = tmp_path / "history" / "retrained.yaml"
    changed.write_text(changed.read_text().replace("-0.0062", "-0.0063"))
    assert documents(world)[1]["metadata"]["name"] != job["metadata"]["name"]


def test_a_record_beside_the_folder_of_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "services"
    folder.mkdir()
    world = cluster_world(folder).service("history", to={"path": "../history"})
    write_past(tmp_path / "history")
    config, job = documents(world)
    (volume,) = [one for one in pod_of(job)["volumes"] if one["name"] == "study"]
    placed = {one["path"] for one in volume["configMap"]["items"]}
    assert {"services/service.yaml", "services/study.yaml", "history/retrained.yaml"} <= placed
    assert len(placed) == len(config["data"]) == len(TESTS) + 2


def test_a_record_that_a_pod_cannot_see(tmp_path: Path) -> None:
    table = {"path": "past.csv", "online": ["sales"], "offline": ["dcg@10"]}
    world = cluster_world(tmp_path).service("history", to=table)
    (tmp_path / "past.csv").write_text("test,sales,dcg@10\na,0.1,0.2\n")
    assert_refused(submit(world, "--dry-run"), "past.csv is relative", "absolute path on a volume")
    on_volume = cluster_world(tmp_path).service("history", to={"path": "/logs/history"})
    assert [one["kind"] for one in documents(on_volume)] == ["ConfigMap", "Job"]


# --- YAML of two versions ---

HARD = ["on", "off", "yes", "y", "n", "no", "true", "null", "~", "", " ", "010", "0o17", "0x1F", "0b1", "1_000", "1e3", "1.5e3",
        "1.", ".5", "+1", "12:30", "12:30:45", "2023-10-01", "=", "<<", ".inf", "a\nb\n", "\n", "a\n\n b", "\ttab", "a: b",
        "- a", "# x", "a #b", "@", "`", "%", "!x", "&a", "*a", "{", "[", "'", '"', "\\", "\r\n", "\x85", "\u2028", "\ufeff",
        ".nan", "😀", "\u00a0", "回答", "\x07", "a" * 300, "---", "...", "? x", "null\n", "x\x85y", "x\u2029 y "]  # fmt: skip


def test_yaml_means_the_same_in_both_versions() -> None:
    section = {
        "annotations": dict(zip(HARD, HARD, strict=True)),
        "env": {f"E{at}": text for at, text in enumerate(HARD)},
    }
    made = manifests("first", Files("s", {"s": "\n".join(HARD)}), Submit.model_validate({**LEAST, **section}))
    for document in made:
        text = to_old_yaml(document)
        old, new = yaml.safe_load(text), YAML(typ="safe", pure=True).load(text)
        for at, value in enumerate(HARD):
            if document["kind"] == "Job":
                env = [
                    {one["name"]: one.get("value") for one in pod_of(read)["containers"][0]["env"]}
                    for read in (old, new)
                ]
                assert [one[f"E{at}"] for one in env] == [value, value], value
        assert old == new == document


def test_values_reach_the_pod_as_they_are_written(tmp_path: Path) -> None:
    """Kubernetes replaces $(NAME), and makes $ of $$."""
    world = cluster_world(tmp_path, env={"A": "$$x", "B": "$(A)", "C": "$(HOME)/$$(A)$"}, out="s3://bucket/$(A)/$$y")
    _, job = documents(world)
    (container,) = pod_of(job)["containers"]
    seen = {one["name"]: expanded(one["value"], {"A": "1", "HOME": "2"}) for one in container["env"]}
    assert (seen["A"], seen["B"], seen["C"]) == ("$$x", "$(A)", "$(HOME)/$$(A)$")
    assert "s3://bucket/$(A)/$$y" in [expanded(one, {"A": "1", "HOME": "2"}) for one in container["args"]]


def expanded(text: str, known: dict[str, str]) -> str:
    """As the kubelet does it."""
    return re.sub(r"\$\$|\$\(([^)]*)\)", lambda found: "$" if found[0] == "$$" else known.get(found[1], found[0]), text)


# --- Nothing secret ---


def test_values_of_variables_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGS", "TOKEN", "GIT_TOKEN"):
        monkeypatch.setenv(name, f"hunter22-of-{name}")
    world = cluster_world(tmp_path, env={"LOGS": "/logs"}, secrets={"TOKEN": "warehouse/token"})
    world.study("variants", "new", "scores", "path", to="${LOGS}/${TOKEN}/new.parquet")
    answer = submit(world, "--dry-run")
    assert answer.code == 0, answer.text
    assert "hunter22" not in answer.text
    assert "${LOGS}/${TOKEN}/new.parquet" in answer.out.replace("\\", "")
    world.service("submit", "env", to={})
    refused = submit(world, "--dry-run")
    assert_refused(refused, "the pod has no variable LOGS", "`submit.env` or `submit.secrets`")
    assert "TOKEN" not in refused.err
    assert "hunter22" not in refused.text


def test_a_variable_in_a_comment_is_none(tmp_path: Path) -> None:
    world = cluster_world(tmp_path).write(data=False)
    path = tmp_path / "study.yaml"
    path.write_text(path.read_text() + "\n# once it was ${OLD_PLACE}\n")
    answer = command("submit", str(path), "--dry-run")
    assert answer.code == 0, answer.text
    assert world.folder == tmp_path


# --- What is refused ---


def changed(*steps: tuple[tuple[str | int, ...], Any]) -> Callable[[World], World]:
    def change(world: World) -> World:
        for place, value in steps:
            world.service(*place, to=value)
        return world

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed((("submit",), GONE)), ["no `submit`", "image"]),
        (changed((("submit", "image"), GONE)), ["submit.image"]),
        (changed((("submit", "image"), "")), ["submit.image"]),
        (changed((("submit", "out"), "runs")), ["submit.out", "expected s3://bucket/prefix"]),
        (changed((("submit", "out"), "/runs")), ["submit.out", "on no volume that can be written"]),
        (changed((("submit", "out"), "/logs/runs"), (("submit", "volumes"), [{"claim": "c", "mount": "/logs"}])),
         ["on no volume that can be written", "read_only: false"]),
        (changed((("submit", "out"), "/runs2"), (("submit", "volumes"), [{"claim": "c", "mount": "/runs", "read_only": False}])),
         ["on no volume that can be written"]),
        (changed((("submit", "unknown"), 1)), ["submit.unknown"]),
        (changed((("submit", "namespace"), "Recsys")), ["submit.namespace"]),
        (changed((("submit", "secrets"), {"TOKEN": "warehouse"})), ["expected secret/key"]),
        (changed((("submit", "env"), {"RANKCAST_CACHE": "/x"})), ["Rankcast's own"]),
        (changed((("submit", "env"), {"TMPDIR": "/x"})), ["Rankcast's own"]),
        (changed((("submit", "env"), {"1X": "/x"})), ["name of a variable"]),
        (changed((("submit", "env"), {"A": "x"}), (("submit", "secrets"), {"A": "s/k"})), ["A"]),
        (changed((("submit", "volumes"), [{"claim": "c", "mount": "/study/"}])), ["/study"]),
        (changed((("submit", "volumes"), [{"claim": "c", "mount": "/study/data"}])), ["/study"]),
        (changed((("submit", "volumes"), [{"claim": "c", "mount": "/v"}, {"claim": "d", "mount": "/v/"}])), ["/v"]),
        (changed((("submit", "files"), "volume")), ["expected configmap or"]),
        (changed((("submit", "ttl"), "soon")), ["submit.ttl"]),
        (changed((("tables", "items", "path"), "data/items.parquet")), ["data/items.parquet is relative"]),
        (changed((("tables", "items", "path"), ["/logs/a.parquet", "b.parquet"])), ["b.parquet is relative"]),
        (changed((("tables", "items"), {"sql": "SELECT * FROM one", "files": {"one": "one.csv"}})), ["one.csv is relative"]),
    ],
)  # fmt: skip
def test_what_is_refused(change: Callable[[World], World], said: list[str], tmp_path: Path) -> None:
    assert_refused(submit(change(cluster_world(tmp_path)), "--dry-run"), *said)


@pytest.mark.parametrize("variable", ["HOMEPAGE_URL", "HOME_DIR", "PATHS", "PYTHONPATH"])
def test_variables_that_only_begin_like_our_own(variable: str, tmp_path: Path) -> None:
    _, job = documents(cluster_world(tmp_path, env={variable: "x"}))
    assert {"name": variable, "value": "x"} in pod_of(job)["containers"][0]["env"]


@pytest.mark.parametrize("name", ["path", "reads", "files"])
def test_a_variant_or_event_may_be_called_like_a_key(name: str, tmp_path: Path) -> None:
    world = cluster_world(tmp_path / "variant").study("variants", name, to={"scores": {"path": "/logs/new.parquet"}})
    documents(world)
    documents(cluster_world(tmp_path / "event").service("labels", "grades", name, to=2))


def test_files_that_are_too_large(tmp_path: Path) -> None:
    world = cluster_world(tmp_path).study("owner", to="team").write(data=False)
    path = tmp_path / "study.yaml"
    path.write_text(path.read_text() + "\n# " + "求" * 310_000 + "\n")
    assert_refused(command("submit", str(path), "--dry-run"), "more than a ConfigMap holds", "git")
    assert world.folder == tmp_path


def test_a_finding_that_is_an_error(tmp_path: Path) -> None:
    world = cluster_world(tmp_path).study("variants", "new", "trained_until", to="2023-12-01").write(data=False)
    checked = command("check", str(tmp_path / "study.yaml"), "--without-data")
    assert checked.code == 5, checked.text
    assert_refused(submit(world, "--dry-run"), "DT01")
