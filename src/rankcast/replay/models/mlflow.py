"""A variant that is a model in an MLflow registry. The only place that imports MLflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from rankcast.errors import PluginError, nearest
from rankcast.plugins import private
from rankcast.replay.builtin import Pool, Setting
from rankcast.replay.foreign import scores_of
from rankcast.replay.lists import Lists, ordered
from rankcast.replay.models.python import by_request
from rankcast.replay.rows import attributes, candidate_frame, request_frame
from rankcast.tables import columns as c
from rankcast.tables.logs import Ints, Logs


@dataclass(frozen=True)
class MlflowModel:
    """`models:/name/version`, loaded as a `pyfunc`; its signature says which columns it reads: `request.<name>`,
    `item.<name>`, `user.<name>`, or the bare name of a column that only one of the three tables has.
    """

    uri: str

    def lists(self, requests: Ints, pool: Callable[[], Pool], logs: Logs, setting: Setting) -> Lists:
        """The pool in the model's order; ties by item."""
        del setting
        position, item = by_request(pool())
        if not len(item):
            return Lists(requests, position, item, np.zeros(0))
        model = _model(self.uri)
        names = self._inputs(model, logs)
        full = sorted(set(names.values()) - {c.REQUEST_ID, c.USER_ID, c.ITEM_ID})
        asking = request_frame(requests, logs, full)[position]
        candidates = candidate_frame(requests, position, item, logs, full)
        values = {
            name: candidates[at] if at in candidates.columns else asking[at.removeprefix("request.")]
            for name, at in names.items()
        }
        with private(self.uri):
            answer = model.predict(pl.DataFrame(values).to_pandas())
        scored, value = scores_of(self.uri, answer, candidates)
        return ordered(requests, position[scored], item[scored], value)

    def identity(self) -> str:
        """What tells one model from another that bears its name: the identifier that MLflow gave it."""
        meta = _model(self.uri).metadata
        return f"{self.uri} {meta.model_uuid} {meta.run_id}"

    def _inputs(self, model: Any, logs: Logs) -> dict[str, str]:
        """For each input of the model, the column that it reads."""
        known = attributes(logs)
        keys = {c.REQUEST_ID, c.USER_ID, c.ITEM_ID}
        schema = model.metadata.get_input_schema()
        if schema is None or not schema.has_input_names():
            raise PluginError(f"`{self.uri}`: the model has no signature with names; log it with `infer_signature`")
        found = {}
        for name in schema.input_names():
            bare = [full for full in known if full.split(".", 1)[1] == name]
            matches = [name] if name in keys or name in known else bare
            if len(matches) != 1:
                hint = f"; could be {', '.join(bare)}" if bare else nearest(name, [*known, *keys])
                raise PluginError(f"`{self.uri}`: its input `{name}` is no column of the tables{hint}")
            found[name] = matches[0]
        return found


@cache
def _model(uri: str) -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise PluginError(f"`{uri}` needs MLflow; install it with `pip install 'rankcast[mlflow]'`") from error
    with private(uri, "cannot be loaded: "), _quiet():
        return mlflow.pyfunc.load_model(uri)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of downloads on our standard error."""
    name = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.__setitem__(name, before)
