"""The manifests: a Job and the ConfigMap with its two files, as plain values. Same inputs, same names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankcast.config.service.submit import FromGit, SecretKey, Submit

CONTAINER = "study"
STUDY, SCRATCH = "/study", "/scratch"
CONTENT = "rankcast/content"  # annotation: what the Job was made of
_USER = 10001
_MOST_NAME = 52  # characters, which leaves room for what Kubernetes adds to the names of pods
# The volume belongs to another user than the one who clones into it, which git refuses unless it is told.
_TRUSTED = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": STUDY}
_CLONE = """\
set -eu
git init -q /study
cd /study
git remote add origin "$REPOSITORY"
if [ -n "${GIT_TOKEN:-}" ]; then
  git config credential.helper '!f() { echo username=x-access-token; echo "password=$GIT_TOKEN"; }; f'
fi
git fetch -q --depth 1 origin "$COMMIT"
git checkout -q FETCH_HEAD
git config --unset credential.helper || true
"""


@dataclass(frozen=True)
class Files:
    """The two files: the study's path, and texts by path; both below what is mounted at /study. No texts: they come from git, at
    `commit`.
    """

    study: str
    texts: Mapping[str, str]
    commit: str | None = None


def manifests(name: str, files: Files, submit: Submit) -> list[dict[str, Any]]:
    """The ConfigMap (where there is one) and the Job of a study with this name."""
    content = _content(name, files, submit)
    about = {
        "name": f"rankcast-{_slug(name)}-{content[:8]}",
        "labels": {
            **submit.labels,
            "app.kubernetes.io/name": "rankcast",
            "app.kubernetes.io/instance": _slug(name),
            "app.kubernetes.io/managed-by": "rankcast",
        },
        "annotations": {**submit.annotations, CONTENT: content},
        **({"namespace": submit.namespace} if submit.namespace else {}),
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": _job(about, files, submit)}
    if not files.texts:
        return [job]
    data = {f"file-{number}": files.texts[path] for number, path in enumerate(sorted(files.texts))}
    return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data}, job]


def _content(name: str, files: Files, submit: Submit) -> str:
    told = {
        "name": name,
        "study": files.study,
        "texts": dict(files.texts),
        "commit": files.commit,
        "submit": submit.model_dump(mode="json"),
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def _slug(name: str) -> str:
    """A name as Kubernetes takes it.

    >>> _slug("Two Tower/v3"), _slug("求人")
    ('two-tower-v3', 'study')
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain[: _MOST_NAME - 18].strip("-") or "study"


def _job(about: Mapping[str, Any], files: Files, submit: Submit) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "backoffLimit": submit.retries,
        "ttlSecondsAfterFinished": submit.ttl.micros // 1_000_000,
        "podFailurePolicy": {
            "rules": [
                # What is wrong with the input, and a bug, would be no better the next time.
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [1, 2]},
                },
                # A pod that had to make room is no failure.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": {
            "metadata": {"labels": about["labels"], "annotations": submit.annotations},
            "spec": _pod(about["name"], files, submit),
        },
    }
    if submit.timeout is not None:
        spec["activeDeadlineSeconds"] = submit.timeout.micros // 1_000_000
    return spec


def _pod(name: str, files: Files, submit: Submit) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(files, submit)],
        "volumes": [_study_volume(name, files), {"name": "scratch", "emptyDir": {"sizeLimit": submit.resources.disk}}],
    }
    for at, volume in enumerate(submit.volumes):
        source = {"claimName": volume.claim, "readOnly": volume.read_only}
        pod["volumes"].append({"name": f"volume-{at}", "persistentVolumeClaim": source})
    if isinstance(submit.files, FromGit):
        pod["initContainers"] = [_clone(submit.files, files)]
    if submit.service_account is not None:
        pod["serviceAccountName"] = submit.service_account
    if submit.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": one} for one in submit.image_pull_secrets]
    if submit.node_selector:
        pod["nodeSelector"] = submit.node_selector
    if submit.tolerations:
        pod["tolerations"] = list(submit.tolerations)
    return pod


def _container(files: Files, submit: Submit) -> dict[str, Any]:
    asked = submit.resources
    own = {
        "RANKCAST_CACHE": f"{SCRATCH}/cache",
        "RANKCAST_EPITAPH": "/dev/termination-log",
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        **_TRUSTED,
    }
    resources = {"cpu": asked.cpu, "memory": asked.memory, "ephemeral-storage": asked.disk}
    mounts = [{"name": "study", "mountPath": STUDY, "readOnly": True}, {"name": "scratch", "mountPath": SCRATCH}]
    for at, volume in enumerate(submit.volumes):
        mounts.append({"name": f"volume-{at}", "mountPath": volume.mount, "readOnly": volume.read_only})
    memory = f"{max(100, int(0.6 * bytes_of(asked.memory) / 1e6))}MB"
    work = ["--memory", memory, "--processes", str(submit.processes), "--exit-zero"]
    return {
        "name": CONTAINER,
        "image": submit.image,
        "command": ["rankcast"],
        "args": ["run", _literal(f"{STUDY}/{files.study}"), "--out", _literal(submit.out), *work],
        "env": [
            *({"name": name, "value": _literal(value)} for name, value in {**submit.env, **own}.items()),
            *(_from_secret(name, one) for name, one in submit.secrets.items()),
        ],
        "resources": {
            "requests": resources,
            "limits": {"memory": asked.memory, "ephemeral-storage": asked.disk},
        },
        "securityContext": _confined(),
        "terminationMessagePath": "/dev/termination-log",
        "volumeMounts": mounts,
        "workingDir": SCRATCH,
    }


def _clone(git: FromGit, files: Files) -> dict[str, Any]:
    env: list[dict[str, Any]] = [
        {"name": "REPOSITORY", "value": _literal(git.repository)},
        {"name": "COMMIT", "value": files.commit},
        {"name": "HOME", "value": SCRATCH},
        *({"name": name, "value": value} for name, value in _TRUSTED.items()),
    ]
    if git.token is not None:
        env.append(_from_secret("GIT_TOKEN", git.token))
    return {
        "name": "clone",
        "image": git.image,
        "command": ["sh", "-c", _CLONE],
        "env": env,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": _confined(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "study", "mountPath": STUDY}, {"name": "scratch", "mountPath": SCRATCH}],
    }


def _study_volume(name: str, files: Files) -> dict[str, Any]:
    if not files.texts:
        return {"name": "study", "emptyDir": {}}
    items = [{"key": f"file-{number}", "path": path} for number, path in enumerate(sorted(files.texts))]
    return {"name": "study", "configMap": {"name": name, "items": items}}


def _from_secret(name: str, one: SecretKey) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": one.secret, "key": one.key}}}


def _confined() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _literal(text: str) -> str:
    """A text that means itself: Kubernetes puts variables in place of `$(NAME)`."""
    return text.replace("$", "$$")


_UNITS = {"": 1.0, "m": 1e-3}
_UNITS |= {unit: 1000.0 ** (at + 1) for at, unit in enumerate(("k", "M", "G", "T", "P", "E"))}
_UNITS |= {unit: 1024.0 ** (at + 1) for at, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))}


def bytes_of(quantity: str) -> float:
    """A quantity of Kubernetes as a number.

    >>> bytes_of("8Gi") == 8 * 2**30, bytes_of("1.5G")
    (True, 1500000000.0)
    """
    digits = quantity.rstrip("kKMGTPEim")
    return float(digits) * _UNITS[quantity[len(digits) :]]
