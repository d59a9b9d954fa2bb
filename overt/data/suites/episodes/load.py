"""Suites that are played: the YAML of one names its environment, its settings and its caps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, JsonValue

from overt.data.records import content_id
from overt.data.suites.schema import Address, Modality
from overt.data.yaml.schema import Filled, Schema, read_yaml
from overt.data.yaml.values import Empty

FOLDER = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")


def _plain(value: object) -> object:
    """A value of the YAML reader as JSON data: its lists are tuples, and nothing has a class of its own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, Empty) else value


Setting = Annotated[JsonValue, BeforeValidator(_plain)]


class EpisodeSuite(Schema):
    """A suite of many turns as its YAML says it."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = Field(
        description="Small letters, digits, - and _, a letter first.", examples=["my-suite"]
    )
    title: Annotated[str, Field(min_length=2)] = Field(description="The suite's name for people.")
    measures: Annotated[str, Field(min_length=10)] = Field(description="What it measures, in a sentence.")
    environment: Filled = Field(
        description="The environment: one of overt's, or module:Class of your own.", examples=["agent-matrix"]
    )
    modality: Modality = Field("text", description="What its targets give: an answer or a picture.")
    turns: Annotated[int, Field(ge=1, le=1000)] = Field(30, description="The most turns of an episode.")
    trials: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="How often each task is played, each time with a seed of its own."
    )
    settings: dict[str, Setting] = Field({}, description="What the environment lets be set.")
    warnings: tuple[str, ...] = Field((), description="What a reader must know before the first figure.")
    judge: str = Field("judge/rules", description="The refusal judge to use unless another is named.")
    licence: Annotated[str, Field(min_length=2)] = Field("", description="The licence of its texts.")
    citation: str = Field("", description="What to cite.")
    homepage: Annotated[Address | None, Field()] = Field(None, description="An address.")

    @property
    def hash(self) -> str:
        """The hash of all fields: 16 hex digits."""
        return content_id("suite", self.model_dump(mode="json")).partition("-")[2]


def list_episode_suites() -> tuple[str, ...]:
    """The names of the shipped suites of many turns, sorted, with hyphens."""
    return tuple(sorted(path.stem.replace("_", "-") for path in FOLDER.glob("*.yaml")))


def episode_suite_name(name: str) -> str | None:
    """The name of a shipped suite of many turns as it is listed; None for any other. Hyphens and underscores
    are alike."""
    plain = name.strip().casefold().replace("_", "-")
    return plain if plain in list_episode_suites() else None


def find_episode_suite(name_or_file: str) -> EpisodeSuite | None:
    """The suite of many turns of this name, or in this YAML file; None where it is none of those. Hyphens and
    underscores are alike.

    Raises:
        InputError: its file has problems, with line and field.
    """
    if (name := episode_suite_name(name_or_file)) is not None:
        return _shipped(name.replace("-", "_"))
    path = Path(name_or_file).expanduser()
    if path.suffix.lower() in _SUFFIXES and path.is_file() and _names_environment(path):
        return read_yaml(path, EpisodeSuite, what="suite")
    return None


def _names_environment(path: Path) -> bool:
    try:
        data = yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError, RecursionError):
        return False  # whoever reads it as a suite of prompts says what is wrong
    return isinstance(data, dict) and "environment" in data


@lru_cache(maxsize=16)
def _shipped(name: str) -> EpisodeSuite:
    return read_yaml(FOLDER / f"{name}.yaml", EpisodeSuite, what="suite")
