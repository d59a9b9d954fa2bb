"""The recipe of a run in its manifest."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Facts(BaseModel):
    # Runs of other versions may have more fields.
    model_config = ConfigDict(frozen=True, extra="ignore")


class PublishedCount(_Facts):
    """A published number of records beside this run's, of one stage and category ("all": of all of them)."""

    category: str = ""
    stage: str = ""
    what: str = ""
    published: int = 0
    here: int = 0


class RecipeFacts(_Facts):
    """What a recipe follows, what of it is ours, and its source's counts beside the run's."""

    name: str = ""
    title: str = ""
    source: str = ""
    hash: str = ""
    ours: tuple[str, ...] = ()
    counts: tuple[PublishedCount, ...] = ()
