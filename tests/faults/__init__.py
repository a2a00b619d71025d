"""What is done to the clean study so that one rule fires, or cannot be checked: one `Fault` a rule."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location

from clean import Case

Change = Callable[[Case], None]


@dataclass(frozen=True)
class Fault:
    """`inject` does to the data what the rule's `bad` excerpt says in words; `settle` the same for `good`.

    `hide` takes the evidence away; None where it cannot be missing, and `always` says why. `awaits`: no run has the evidence yet,
    so nothing can be injected.
    """

    inject: Change | None = None
    settle: Change | None = None
    hide: Change | None = None
    always: str = ""
    awaits: bool = False


def module(name: str, text: str) -> Change:
    """Code of the team's own, imported from the case's folder: a run finds it as if it lay where the command runs."""

    def change(case: Case) -> None:
        path = case.folder / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])

    return change
