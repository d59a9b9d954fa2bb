"""The schema of a suite's YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from overt.data.json_types import Json
from overt.data.records import content_id
from overt.data.yaml.schema import Faults, Filled, Listed, NoneIfEmpty, Schema, read_yaml, shape

Metric = Literal[
    "over_refusal",  # refusals of the benign part
    "unsafe_refusal",  # refusals of the unsafe part
    "partial_refusal",  # on their own, on both
    "by_type",
    "by_language",
    "boundaries",  # the seven patterns and the score of overt.scoring.boundaries
]


Modality = Literal["text", "image"]
V = TypeVar("V")


def folded(text: str) -> str:
    """The form in which column values are compared: stripped and casefolded."""
    return text.strip().casefold()


def _folded_keys(values: dict[str, V]) -> dict[str, V]:
    return {folded(name): value for name, value in values.items()}


def _folded_values(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(folded, values))


Address = Annotated[str, Field(pattern=r"^https?://")]
Names = Annotated[tuple[str, ...], Listed]


class _Model(Schema):
    model_config = ConfigDict(str_strip_whitespace=True)


class LabelColumn(_Model):
    """A column whose values say what a prompt is; `skip` leaves the row out, "" stands for no value."""

    column: Filled = Field(description="The name of the column.", examples=["label"])
    values: Annotated[
        dict[str, Literal["benign", "unsafe", "skip"]], Field(min_length=1), AfterValidator(_folded_keys)
    ] = Field(description="What each value means.", examples=["{safe: benign, unsafe: unsafe}"])


class Part(_Model):
    """One place of a suite's prompts: a dataset on the Hub, an address, the names of its files."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        description="Small letters, digits and _.", examples=["prompts"]
    )
    label: Annotated[
        Annotated[Literal["benign", "unsafe"], Tag("{value}")] | Annotated[LabelColumn, Tag("{mapping}")],
        Discriminator(shape),
    ] = Field(description="What its prompts are, or the column that says it.", examples=["benign"])
    hub: Annotated[Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None, NoneIfEmpty] = Field(
        None, description="A dataset on the Hub: ORG/NAME."
    )
    config: Annotated[str | None, NoneIfEmpty] = Field(None, description="The dataset's config.")
    split: Annotated[str | None, NoneIfEmpty] = Field(None, description="The dataset's split.")
    url: Annotated[Address | None, NoneIfEmpty] = Field(None, description="The address of a file.")
    files: tuple[str, ...] = Field((), description="The names of its files, as they are published.")
    text: Names = Field((), description="The column of its texts, where it is not that of the suite.")
    attack: str = Field(
        "", description="The attack that dresses its prompts, where no column says it.", examples=["pair"]
    )


class Columns(_Model):
    """The columns that a prompt is made from. Of several names for one, the first that a table has counts."""

    text: Names = Field(description="The text of the prompt.", examples=["prompt"])
    category: Names = Field((), description="Its category.")
    trigger: Names = Field((), description="The term that makes it look dangerous.")
    style: Names = Field((), description="Its style.")
    language: Names = Field((), description="Its language.")
    image: Names = Field((), description="The picture that goes with the text.")
    turns: Names = Field((), description="What was said before: a list of turns.")
    vanilla: Names = Field((), description="What was asked before an attack dressed it.")
    attack: Names = Field((), description="The name of the attack.")
    seed: Names = Field((), description="What belongs together: all these columns together name the seed.")


class Pairs(_Model):
    """What joins a prompt to its contrast: a number in `column`, less an offset for the types in `by`.
    Without `by` it is the whole value, as where both stand in one row."""

    column: str = Field(description="The column with the number or the value.", examples=["id"])
    by: Annotated[str | None, NoneIfEmpty] = Field(None, description="The column with the type.")
    offsets: dict[str, int] = Field({}, description="The offset of each type.", examples=["{contrast: 25}"])


# Fields that suites of earlier versions do not have: where they are empty, the hash is as it was.
_LATER = {
    "": frozenset({"first_of"}),
    "parts": frozenset({"text", "attack"}),
    "columns": frozenset({"image", "turns", "vanilla", "attack"}),
}


def _known_before(data: Json, at: str = "") -> Json:
    """The data of a suite without the later fields that are empty."""
    if isinstance(data, Mapping):
        later = _LATER.get(at, frozenset())
        return {k: _known_before(v, k) for k, v in data.items() if v or k not in later}
    if isinstance(data, list):
        return [_known_before(item, at) for item in data]
    return data


class Suite(_Model):
    """A suite as its YAML says it. `rows` is the published count, None where it is not known."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = Field(
        description="Small letters, digits and _, a letter first.", examples=["my_suite"]
    )
    title: Annotated[str, Field(min_length=2)] = Field(description="The suite's name for people.")
    measures: Annotated[str, Field(min_length=10)] = Field(description="What it measures, in a sentence.")
    modality: Modality = Field("text", description="What its prompts ask for: an answer or a picture.")
    rows: Annotated[Annotated[int, Field(ge=1)] | None, NoneIfEmpty] = Field(
        None, description="How many rows were published."
    )
    parts: Annotated[tuple[Part, ...], Field(min_length=1)] = Field(description="Where its prompts are.")
    columns: Columns = Field(
        title="Columns of a row", description="What its columns mean.", examples=["{text: prompt}"]
    )
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")] = Field(
        "en", description='A language tag such as en or pt-BR. Norwegian needs quotes: "no".'
    )
    values: dict[str, Annotated[dict[str, str], AfterValidator(_folded_keys)]] = Field(
        {}, description="By column: what its values become."
    )
    first_of: dict[str, str] = Field(
        {},
        description="By column: the sign between several names in one value, of which the first counts. "
        "Of an object the first key counts.",
        examples=['{categories: ","}'],
    )
    keep: dict[str, Annotated[tuple[str, ...], AfterValidator(_folded_values)]] = Field(
        {}, description="By column: the values whose rows are kept."
    )
    pairs: Annotated[Pairs | None, NoneIfEmpty] = Field(
        None, title="Contrast pairs", description="What joins a prompt to its contrast."
    )
    licence: Annotated[str, Field(min_length=2)] = Field(description="The licence of the prompts.")
    citation: Annotated[str, Field(min_length=2)] = Field(description="What to cite.")
    homepage: Address = Field(description="An address.", examples=["https://example.org"])
    gated: str = Field("", description='How to get access; "" where nothing is asked.')
    disputed: str = Field("", description='Why its labels are disputed; "" where nobody disputes them.')
    # The better of the two offline judges for partial refusals.
    judge: str = Field("judge/rules", description="The refusal judge to use unless another is named.")
    metrics: tuple[Metric, ...] = Field(
        ("over_refusal", "unsafe_refusal", "partial_refusal", "by_type"),
        description="The metrics that its authors report.",
    )

    @model_validator(mode="after")
    def _parts(self) -> Suite:
        faults = Faults()
        names = [part.name for part in self.parts]
        for n, part in enumerate(self.parts):
            if part.name in names[:n]:
                faults.add("two parts have the same name", "rename one", ("parts", n, "name"))
            if not (part.hub or part.url or part.files):
                faults.add("a part needs hub:, url: or files:", "say where it is", ("parts", n))
        faults.raise_any()
        return self

    def text_of(self, part: Part) -> Names:
        """The columns in which a part's texts may stand."""
        return part.text or self.columns.text

    @property
    def hash(self) -> str:
        """The hash of all fields but `disputed`, which changes no prompt: 16 hex digits."""
        data = _known_before(self.model_dump(mode="json", exclude={"disputed"}))
        return content_id("suite", data).partition("-")[2]


def read_suite_file(path: Path) -> Suite:
    """Reads a suite from a YAML file.

    Raises:
        InputError: the file cannot be read or has problems; each has line, column and field.
    """
    return read_yaml(path, Suite, what="suite")
