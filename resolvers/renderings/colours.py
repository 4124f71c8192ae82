"""The colours of stages in all pictures."""

from collections.abc import Mapping
from typing import NamedTuple

from storage.vocabulary import Stage


class Look(NamedTuple):
    fill: str
    stroke: str
    width: int = 1
    text: str | None = None


STAGES: Mapping[str, Look] = {
    Stage.DEVELOPMENT: Look("#e8eef7", "#5b7db1"),
    Stage.STAGING: Look("#fff4d6", "#c79a1b"),
    Stage.PRODUCTION: Look("#dff3e3", "#2e8b57", width=3),
    Stage.ARCHIVED: Look("#eeeeee", "#999999", text="#666666"),
}
