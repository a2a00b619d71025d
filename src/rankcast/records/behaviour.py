"""How far users look."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankcast.records.base import Record


class Examined(Record):
    """A rank: how often it is looked at, and how well the click model foretells its clicks."""

    rank: int
    shown: int
    held_out: int = Field(description="of these, of users that the model was not fitted to")
    clicks: int
    examination: float = Field(description="how likely it is looked at, relative to rank 1")
    depth: float | None = Field(description="share of the lists that reach it of which it was on the screen; if logged")
    observed: float | None = Field(description="clicks per impression, held out")
    predicted: float | None = Field(description="the same as the model foretells it")


class Behaviour(Record):
    """How far users look: a position-based model of clicks, P(click) = attraction of the item * examination of the rank."""

    source: Literal["clicks", "depth"] = Field(description="what `discount=examined` takes")
    clicks: tuple[str, ...] = Field(description="events that count as clicks")
    unit: str = Field(description="what attracts alike: the score that ordered the list (in tenths), or the item")
    requests: int = Field(description="requests whose lists it was estimated from")
    perplexity: float | None = Field(description="held out; 1 is perfect, 2 is a coin")
    perplexity_of_ranks: float | None = Field(description="of a model that knows the rank alone")
    ranks: tuple[Examined, ...]
