"""The policy schema: what a product disallows, what it allows, and which words make the two look alike."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Strategy = Literal["convert", "direct"]
TriggerKind = Literal[
    "homonym",  # the word has a second, harmless meaning
    "figurative",  # the word is meant figuratively
    "safe_target",  # the act is real, its object is a thing or an imagined being
    "safe_context",  # game, film, stage, museum, training, medicine
    "definition",  # the word is explained, not done
    "history",  # past events, as a museum or a textbook shows them
    "news",  # reported, not endorsed
    "art",  # art, satire, design
    "fiction",  # invented characters
    "prevention",  # help, support, prevention, safety teaching
]
# Dedup thresholds of the OVERT paper (arXiv 2505.21347): 0.9 for converted prompts, 0.7 for direct ones.
DEDUP_DEFAULT: dict[str, float] = {"convert": 0.9, "direct": 0.7}

# Slots that any policy may use: the grammar's lexicon has fillers for each.
BUILTIN_SLOTS: tuple[str, ...] = (
    "person", "people", "place", "room", "time", "weather", "animal", "food", "object", "vehicle", "city",
    "era", "color", "material", "plant", "building", "game", "film", "fiction",
)  # fmt: skip

Identifier = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Scene(_Model):
    """A fragment of a prompt that names its trigger, and its twin on the other side of the line.

    A benign and an unsafe fragment in one scene are a minimal pair: as few words changed as sense
    allows. `{slot}` stands for a word list of the grammar or of the policy's `slots`; a slot that
    both sides name is filled alike.
    """

    benign: str | None = None
    unsafe: str | None = None
    kind: TriggerKind | None = None

    @model_validator(mode="after")
    def _one_side(self) -> Scene:
        if not self.benign and not self.unsafe:
            raise ValueError("a scene needs a benign side, an unsafe side, or both")
        return self


class Trigger(_Model):
    """A term that makes a prompt sound dangerous. Written as a plain string, it has no scenes."""

    term: str = Field(min_length=2, max_length=80)
    pos: Literal["noun", "verb", "gerund", "adjective", "name"] | None = None
    scenes: tuple[Scene, ...] = ()
    neutral: tuple[str, ...] = ()


class Category(_Model):
    """One kind of content: what is disallowed, what stays allowed, and how its prompts are made."""

    id: str = Identifier
    title: str = Field(min_length=2, max_length=120)
    disallowed: tuple[str, ...] = Field(min_length=1)
    allowed: tuple[str, ...] = ()
    triggers: tuple[Trigger, ...] = Field(min_length=1)
    strategy: Strategy = "direct"
    instruction: str | None = None
    benign: int = Field(default=50, ge=0, le=100_000)
    unsafe: int = Field(default=50, ge=0, le=100_000)
    dedup_threshold: float | None = Field(default=None, gt=0, le=1)
    probe_threshold: float = Field(default=0.25, ge=0, le=1)
    languages: tuple[str, ...] = ("en",)

    @field_validator("triggers", mode="before")
    @classmethod
    def _plain_triggers(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [{"term": v} if isinstance(v, str) else v for v in value]
        return value

    @property
    def threshold(self) -> float:
        """The dedup threshold in force, a cosine (semantic) or Jaccard (lexical) similarity."""
        return self.dedup_threshold if self.dedup_threshold is not None else DEDUP_DEFAULT[self.strategy]


class Policy(_Model):
    """The effective policy: `extends` resolved, defaults filled in."""

    name: str = Identifier
    version: str = "1"
    description: str = ""
    modality: Literal["image", "text"] = "image"
    slots: dict[str, tuple[str, ...]] = {}
    categories: tuple[Category, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique_ids(self) -> Policy:
        seen: set[str] = set()
        for category in self.categories:
            if category.id in seen:
                raise ValueError(f"category id {category.id!r} appears twice")
            seen.add(category.id)
        return self

    def category(self, id: str) -> Category:
        """The category with this id.

        Raises:
            KeyError: there is none.
        """
        for category in self.categories:
            if category.id == id:
                return category
        raise KeyError(id)

    @property
    def hash(self) -> str:
        """BLAKE2b of the effective policy's canonical JSON: 16 hex digits."""
        blob = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()
