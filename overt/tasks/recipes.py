"""Recipes: named values of options, such as the steps of a paper.

The shipped ones are in recipes/*.yaml, whose README names the fields; a user's file is read the same way.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import ConfigDict
from pydantic import Field as Entry

from overt.data.errors import InputError
from overt.data.json_types import Json
from overt.data.run.folder import with_stored
from overt.data.run.stage_counts import STAGES
from overt.data.yaml.schema import Filled, Listed, Schema, read_yaml
from overt.tasks.config import Config, Field, Option, by_role

C = TypeVar("C", bound=Config)

FOLDER = Path(__file__).parent / "recipes"
RecipeName = Annotated[
    str | None,
    Option(
        "Options by name: overt-paper, or a YAML file of your own. Options that are given win.",
        metavar="NAME",
        completes="recipe",
    ),
]
# Options whose values are set role by role: "model=URL".
_BY_ROLE = ("base_url", "api_key_env")
# What a recipe cannot set: where a run lies, and what is printed.
_NOT_SET = frozenset({"recipe", "out", "resume", "apply_review", "reuse", "as_json", "quiet", "run"})


class Published(Schema):
    """Counts of the source at one stage, by category."""

    stage: Literal["seeds", "synthesize", "audit", "dedupe", "probe", "select", "pair"] = Entry(
        description=f"A stage of `overt generate`: {', '.join(STAGES)}."
    )
    title: Filled = Entry(description="What was counted.", examples=["benign prompts"])
    counts: dict[str, int] = Entry(description="How many, by category.")


class Recipe(Schema):
    """Named values of options."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[str, Entry(pattern=r"^[a-z][a-z0-9-]*$")] = Entry(
        description="Small letters, digits and -.", examples=["my-recipe"]
    )
    title: Filled = Entry(description="What it follows.", examples=["our yearly test"])
    source: str = Entry("", description="Where that is described.")
    generate: dict[str, object] = Entry({}, description="Options of overt generate.")
    score: dict[str, object] = Entry({}, description="Options of overt score.")
    ours: Annotated[tuple[str, ...], Listed] = Entry((), description="What the source does not tell.")
    published: Annotated[tuple[Published, ...], Listed] = Entry((), description="Counts of the source.")

    def options(self, kind: str) -> dict[str, object]:
        """The options of a command by field name, as plain data.

        Raises:
            InputError: a value that is no text, number, truth value or list of them.
        """
        raw: dict[str, object] = {"generate": self.generate, "score": self.score}.get(kind, {})
        try:
            found: dict[str, object] = json.loads(json.dumps(raw))
        except TypeError as error:
            raise InputError(
                f"{kind} of the recipe {self.name} has a value that no option takes: {error}",
                where=self.mark_of().file,
                fix="Write texts, numbers, true or false, or lists of texts.",
            ) from error
        return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}

    def record(self, kind: str) -> dict[str, Json]:
        """What `run.json` keeps of it: name, hash of what decides the outcome, and what is told of it."""
        data = self.model_dump(mode="json", exclude={"generate", "score"})
        blob = json.dumps({**data, kind: self.options(kind)}, sort_keys=True, ensure_ascii=True)
        return {**data, "hash": hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()}


def list_recipes() -> tuple[str, ...]:
    """The names of the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_recipe(name_or_file: str) -> Recipe:
    """Loads a shipped recipe by its name, or the recipe in a YAML file.

    Raises:
        InputError: there is none, or its file has problems, with line and field.
    """
    shipped = list_recipes()
    if name_or_file in shipped:
        return read_yaml(FOLDER / f"{name_or_file}.yaml", Recipe, what="recipe")
    path = Path(name_or_file).expanduser()
    if path.suffix.lower() in (".yaml", ".yml") or path.is_file():
        return read_yaml(path, Recipe, what="recipe")
    near = difflib.get_close_matches(name_or_file.casefold().replace("_", "-"), shipped, n=1)
    raise InputError(
        f"there is no recipe {name_or_file!r}",
        fix=f"Did you mean {near[0]}?" if near else f"There are {', '.join(shipped)}; or give a YAML file.",
    )


def applied(config: C, recipe: Recipe) -> tuple[C, str]:
    """The configuration with the recipe's options where none was given, and a note on those that were
    ("" if they are the same).

    An address or key of a role is not taken where the role's model is another than the recipe's.

    Raises:
        InputError: the recipe has an option that the command does not have or that none can set, or a value
            out of its bounds.
    """
    options = recipe.options(config.kind)
    where = recipe.mark_of().file
    fields = config.fields()
    for name in options:
        if name not in fields or name in _NOT_SET:
            near = difflib.get_close_matches(name, sorted(set(fields) - _NOT_SET), n=1)
            raise InputError(
                f"{config.kind} of the recipe {recipe.name} sets {name!r}, which is no option it can set",
                where=where,
                fix=f"Did you mean {near[0]}?" if near else f"overt {config.kind} --help shows the options.",
            )
    given = {name: getattr(config, name) for name in config.model_fields_set}
    others: list[str] = []
    for name, value in options.items():
        if name in _BY_ROLE:
            options[name] = _addresses(config, name, value, options)
        elif name in given and given[name] != value:
            field = fields[name]
            others.append(f"{field.flag} {_said(given[name], field)} (there {_said(value, field)})")
    rest = {name: value for name, value in given.items() if name not in _BY_ROLE or name not in options}
    try:
        made = config.made({**options, **rest})
    except InputError as error:
        raise InputError(error.what, where=where, fix=error.fix) from error
    return made, f"other than in the recipe {recipe.name}: {'; '.join(others)}" if others else ""


def _addresses(config: Config, name: str, value: object, options: Mapping[str, object]) -> tuple[str, ...]:
    """The recipe's addresses by role, those given before them."""
    roles = frozenset(getattr(config, "roles", ()))
    flag = config.fields()[name].flag
    values = tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)
    same = {
        role: at
        for role, at in by_role(values, flag, roles).items()
        if role not in config.model_fields_set or getattr(config, role) == options.get(role)
    }
    own = by_role(tuple(getattr(config, name) or ()), flag, roles)
    return tuple(f"{role}={at}" if role else at for role, at in with_stored(own, same).items())


def _said(value: object, field: Field) -> str:
    """A value without the folders of files in it, which may name people."""
    values = value if isinstance(value, tuple) else (value,)
    is_file = field.base is Path or field.option.is_source
    texts = [Path(str(v)).name if is_file and Path(str(v)).exists() else str(v) for v in values]
    return ", ".join(texts) or "none"
