"""Where past online tests are kept: `history:` of service.yaml, and what `rankcast history` is told of a table."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from rankcast.config.fields import Name, Names, Share, wrong
from rankcast.config.service.tables import Table


class Past(Table):
    """Past online tests: a folder of YAML files (`path`), or a table (`path` or `sql`) with a row a variant of a test."""

    pipeline: Name | None = None
    """version of what makes offline numbers now; raise it when candidates, labels or steps are made otherwise"""
    online: Names = ()
    """online metrics, the goal of studies that name none (`online.metric`) first; of a table: the columns that hold them, or a
    ratio of two such as clicks/shown
    """
    offline: Names = ()
    """of a table: the columns that hold offline metrics; a folder says them itself"""
    scale: Literal["relative", "absolute", "level"] = "relative"
    """what the numbers of a table are: relative changes, differences, or levels of variants without a control"""
    control: Name | None = None
    """of levels: the variant against which the others are held"""
    lower_is_better: Names = ()
    """metrics of which less is better"""
    smallest_effect: Share | None = None
    """the smallest online effect that matters, relative; forecasts say how likely it is exceeded"""
    group: Name | None = None
    """of a record with several groups of users: the one whose tests speak for studies"""

    @model_validator(mode="after")
    def _of_levels(self) -> Past:
        if self.control is not None and self.scale != "level":
            raise wrong("only levels are held against a control; expected `scale: level` beside it", "control")
        return self
