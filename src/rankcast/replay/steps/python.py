"""Step `python`: production's own code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.replay.foreign import Generators, call, lists_of, word_of
from rankcast.replay.lists import Lists
from rankcast.replay.rows import list_frame
from rankcast.replay.step import Change, Context


@dataclass(frozen=True)
class Python:
    """Calls a function of the team's own, frame in, frame out: `function(frame)`, or `function(frame, generators)`.

    The frame is Polars, best first per request: request_id, user_id, timestamp, item_id, rank, score, and all other columns
    as `request.<name>`, `item.<name>`, `user.<name>`. What comes back (Polars, pandas or Arrow) are rows of it, fewer or in
    another order: the order of rows is the new order; a column `score` is the new score. It is called with the
    whole lists of many requests, and again to see what would be without another step, so what it does to a request may
    depend on that request alone. `generators[request_id]` is a NumPy
    generator with the same draws however the work is split. The text of its module belongs to the run's id.

    `python: myshop.serving:diversify`
    """

    function: str
    kind: ClassVar[str] = "python"
    alone: ClassVar[bool] = False
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = "rankcast.replay.drawing:first_and_last"

    @classmethod
    def parse(cls, argument: object) -> Python:
        return cls(word_of(argument, "myshop.serving:diversify"))

    def needs(self) -> frozenset[str]:
        return frozenset()

    def bind(self, context: Context) -> Change:
        def changed(lists: Lists) -> Lists:
            if not len(lists.item):
                return lists
            frame = list_frame(lists, context.logs)
            generators = Generators(context.seed, context.logs.ids.requests.gather(lists.requests))
            return lists_of(self.function, call(self.function, (frame,), generators), lists, frame)

        return changed
