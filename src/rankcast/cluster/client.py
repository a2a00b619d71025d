"""The cluster as a submitter sees it: the one place that knows the Kubernetes client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rankcast.cluster.job import CONTAINER
from rankcast.errors import RunError, clip

Answer = TypeVar("Answer")
_PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between attempts after a failure that may pass
_DENIED = (401, 403)
_MAY_PASS = (429, 500, 502, 503, 504)
_SECONDS = 30  # to wait for an answer
_SILENCE = 120  # seconds without a line after which a log is asked for again


class ConflictError(Exception):
    """Something of that name is there already."""


@dataclass(frozen=True)
class Cluster:
    """A namespace of a cluster. Everything comes and goes as plain values, as YAML has them."""

    namespace: str
    batch: Any
    core: Any
    patience: tuple[float, ...] = _PATIENCE

    @classmethod
    def connect(cls, context: str | None, namespace: str | None) -> Cluster:
        """By the kubeconfig (KUBECONFIG, or ~/.kube/config), or as a pod of the cluster."""
        try:
            from kubernetes import client, config
        except ImportError as error:
            raise RunError(f"rankcast submit: needs an extra: pip install 'rankcast[kubernetes]' ({error})") from error
        try:
            config.load_kube_config(context=context)
            contexts, current = config.list_kube_config_contexts()
            chosen = next((one for one in contexts if one["name"] == context), current)
            own = chosen["context"].get("namespace")
        except Exception as error:  # noqa: BLE001 - a kubeconfig that is none fails in many ways
            try:
                config.load_incluster_config()
            except config.ConfigException:
                raise RunError(
                    f"no cluster: {clip(str(error), 300)}; set KUBECONFIG, or `submit.context`, or use --dry-run"
                ) from error
            own = None
        api = client.ApiClient()
        return cls(namespace or own or "default", client.BatchV1Api(api), client.CoreV1Api(api))

    def create_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """ConflictError where a Job of that name is there."""
        return self._ask("create the Job", self.batch.create_namespaced_job, self.namespace, job)

    def job(self, name: str) -> dict[str, Any] | None:
        """A Job; None where there is none."""
        return self._find("read the Job", self.batch.read_namespaced_job, name, self.namespace)

    def delete_job(self, name: str) -> None:
        """Delete a Job with its pods, and wait until it is gone."""
        delete = self.batch.delete_namespaced_job
        self._find("delete the Job", delete, name, self.namespace, propagation_policy="Background")
        for pause in (0.05, 0.2, 0.5, 1, 2, 4, 8, 8, 8):
            if self.job(name) is None:
                return
            time.sleep(pause)
        raise RunError(f"the Job {name} does not go; look at it with kubectl -n {self.namespace} describe job {name}")

    def keep_files(self, files: Mapping[str, Any]) -> None:
        """Create a ConfigMap, or replace the one of that name."""
        name, core = files["metadata"]["name"], self.core
        try:
            self._ask("create the ConfigMap", core.create_namespaced_config_map, self.namespace, files)
        except ConflictError:
            self._ask("replace the ConfigMap", core.replace_namespaced_config_map, name, self.namespace, files)

    def give_files_to(self, job: Mapping[str, Any]) -> None:
        """Let the ConfigMap of a Job go with it."""
        about = job["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": about["name"], "uid": about["uid"]}
        patch = {"metadata": {"ownerReferences": [owner]}}
        change = self.core.patch_namespaced_config_map
        self._ask("change the ConfigMap", change, about["name"], self.namespace, patch)

    def pods(self, job: str) -> list[dict[str, Any]]:
        """The pods of a Job, oldest first."""
        pods = self.core.list_namespaced_pod
        found = self._ask("list the pods", pods, self.namespace, label_selector=f"job-name={job}")
        return sorted(
            found["items"], key=lambda pod: (str(pod["metadata"]["creationTimestamp"]), pod["metadata"]["name"])
        )

    def events(self, name: str) -> list[str]:
        """What went wrong with a pod or a Job, as the cluster says it; nothing where it may not be asked."""
        events, which = self.core.list_namespaced_event, f"involvedObject.name={name}"
        try:
            found = self._ask("read events", events, self.namespace, field_selector=which)
        except RunError:
            return []
        return [
            f"{one.get('reason')}: {one.get('message')}"
            for one in found["items"]
            if one.get("type", "Warning") == "Warning"
        ]

    def log(self, pod: str, over: bool) -> Iterator[str]:
        """The lines of a pod's log from its beginning, as they come, until it ends or the connection does. `over`: the pod has
        ended, so that what is left without a line's end is a line. RunError where the log may not be read.
        """
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        rest, timeout = b"", (_SECONDS, _SILENCE)
        try:
            answer = self.core.read_namespaced_pod_log(
                pod, self.namespace, container=CONTAINER, follow=True, _preload_content=False, _request_timeout=timeout
            )
            try:
                for chunk in answer.stream():
                    *lines, rest = (rest + chunk).split(b"\n")
                    yield from (line.decode("utf-8", "replace") for line in lines)
            finally:
                answer.release_conn()
        except ApiException as error:
            if error.status in _DENIED:
                raise RunError(_refused("read the log", error, self.namespace)) from error
        except (HTTPError, OSError):
            return  # whoever follows looks at the pod, and asks again
        if rest and over:
            yield rest.decode("utf-8", "replace")

    def _find(self, what: str, method: Callable[..., Any], *given: Any, **named: Any) -> dict[str, Any] | None:
        try:
            return self._ask(what, method, *given, **named)
        except _NotThereError:
            return None

    def _ask(self, what: str, method: Callable[..., Any], *given: Any, **named: Any) -> dict[str, Any]:
        """An answer as plain values; what may pass is asked again."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        for pause in (*self.patience, None):
            try:
                return self._plain(method(*given, **named, _request_timeout=_SECONDS))
            except ApiException as error:
                if error.status == 404:
                    raise _NotThereError(_refused(what, error, self.namespace)) from error
                if error.status == 409:
                    raise ConflictError from error
                if error.status not in _MAY_PASS or pause is None:
                    raise RunError(_refused(what, error, self.namespace)) from error
            except (HTTPError, OSError) as error:
                if pause is None:
                    raise RunError(f"cannot {what}: the cluster does not answer ({clip(str(error), 300)})") from error
            time.sleep(pause)
        raise AssertionError

    def _plain(self, answer: Any) -> dict[str, Any]:
        plain = self.batch.api_client.sanitize_for_serialization(answer)
        return plain if isinstance(plain, dict) else {}


class _NotThereError(RunError):
    """There is no such thing."""


def _refused(what: str, error: Any, namespace: str) -> str:
    """What the cluster said, and what to do."""
    import json

    try:
        said = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = error.reason
    hints = {
        401: "log in to the cluster again",
        403: f"ask for the right to do so in the namespace {namespace} (Jobs, ConfigMaps, Pods and their logs)",
        404: f"look whether the namespace {namespace} is there",
        422: "look at the values of `submit` in service.yaml",
    }
    hint = f"; {hints[error.status]}" if error.status in hints else ""
    return f"cannot {what}: {clip(' '.join(str(said).split()), 400)} ({error.status}){hint}"
