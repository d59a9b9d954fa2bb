"""Reads prompts to run from a run of `overt generate`, a table, an OVERT csv, or a dataset on the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest
from pathlib import Path
from sys import intern

from overt.data.errors import InputError
from overt.data.records import Label, Prompt, clean_text, content_id, prompt_id
from overt.data.tables.attacks import DRESSED, NOTHING_SAID, AttackColumns, AttackNames, Dressed
from overt.data.tables.columns import TEXTS, Column, Role, Table
from overt.data.tables.extras import PICTURE, TURNS, extras_in, last_turn
from overt.data.tables.files import Row
from overt.data.tables.layouts import OVERT_CATEGORIES
from overt.data.tables.layouts import Side as Side
from overt.data.tables.sources import Source, parse_source

PROMPT = Role(
    "prompt",
    (
        *("text", "prompt", "image_prompt", "unsafe_image_prompt", "benign_image_prompt", "caption"),
        *DRESSED.names[:-1],
        *("vanilla", "vanilla_prompt", "forbidden_prompt", "jailbreak"),
    ),
    TEXTS,
    alone=True,
)
LABEL = Role("label", ("label", "prompt_label", "prompt_harm_label", "is_unsafe", "unsafe", "harmful"))
_LABELS: dict[str, Side] = {
    **dict.fromkeys(("benign", "safe", "harmless", "unharmful", "0", "false"), "benign"),
    **dict.fromkeys(("unsafe", "harmful", "toxic", "1", "true"), "unsafe"),
}
# Optional columns that go into a prompt unchanged.
_OTHERS = (
    *("seed_prompt", "benign_image_prompt", "category", "type", "strategy", "writer", "template"),
    *("trigger", "style", "language", "seed_id", "pair_id", "variant_of", "group"),
)


@dataclass(frozen=True, slots=True)
class LoadedPrompts:
    """The prompts of all sources, each once, and the numbers of repeated and empty rows. `sampled` has the
    large sources of which only a sample of rows was read. `pictures` has the encoded pictures that prompts
    carry, by `Prompt.image`."""

    prompts: tuple[Prompt, ...]
    repeated: int
    empty: int
    sampled: tuple[str, ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def _turn(prompt: Prompt) -> tuple[bool, str, str]:
    """A prompt's place among those of its category: by chance, versions of one prompt together at the end."""
    first = prompt.variant_of or prompt.id
    return prompt.variant_of is not None, content_id("limit", first), content_id("limit", prompt.id)


def spread(prompts: Sequence[Prompt], limit: int) -> tuple[Prompt, ...]:
    """At most `limit` prompts of each label, evenly over the categories, in their order.

    Files are often sorted by category, so the first rows would not be a sample. The choice within a category
    depends only on the ids: a larger limit keeps the same prompts and adds more. Versions of prompts
    (`variant_of`) come after all others.
    """
    by_side: dict[str, dict[str, list[Prompt]]] = {}
    for prompt in prompts:
        by_side.setdefault(prompt.label, {}).setdefault(prompt.category, []).append(prompt)
    chosen: set[str] = set()
    for categories in by_side.values():
        queues = [sorted(rows, key=_turn) for rows in categories.values()]
        turns = (p for turn in zip_longest(*queues) for p in turn if p is not None)
        chosen.update(p.id for p in islice(turns, limit))
    return tuple(p for p in prompts if p.id in chosen)


# A few prompts are drawn from a sample of the rows of a large file; so many need all of its rows.
_A_FEW = 200


def read_prompts(
    specs: Iterable[str],
    *,
    label: Side | None = None,
    limit: int | None = None,
    attacks: AttackNames = NOTHING_SAID,
) -> LoadedPrompts:
    """Reads the prompts of the sources in their order, each text once.

    Args:
        specs: each a run's or dataset's folder, `FILE[:COLUMN]`, or `ORG/NAME[@CONFIG/SPLIT][:COLUMN]`.
            OVERT's csv files are known: `OVERT.csv` and `OVERT_mini.csv` give benign prompts,
            `OVERT_unsafe.csv` its unsafe ones (its benign ones with `:benign_image_prompt`).
        label: the label of prompts whose source has no label column.
        limit: how many prompts of each label are wanted, for `spread`; of a large file then only a
            sample of rows is read, the same one for every limit up to 200. None: all rows are read.
        attacks: what the user says of adversarial prompts in the sources.

    Raises:
        InputError: a source does not exist or has no column of prompts, a row has no label, or one text has
            both labels.
    """
    loaded: dict[str, Prompt] = {}
    repeated = empty = 0
    specs = tuple(specs)
    few = limit is not None and limit <= _A_FEW
    sampled: list[str] = []
    pictures: dict[str, bytes] = {}
    for spec in specs:
        for prompt in _source(spec, label, sampled if few else None, pictures, attacks):
            if not prompt.text:
                empty += 1
                continue
            earlier = loaded.get(prompt.id)
            if earlier is None:
                loaded[prompt.id] = prompt
                continue
            if earlier.label != prompt.label:
                raise InputError(
                    f"one text is labelled {earlier.label} and {prompt.label}: {prompt.text[:60]!r}",
                    where=spec,
                    fix="Take it out of one of the two.",
                )
            repeated += 1
    if not loaded:
        raise _nothing(specs, empty)
    return LoadedPrompts(tuple(loaded.values()), repeated, empty, tuple(sampled), pictures)


def _nothing(specs: Sequence[str], empty: int) -> InputError:
    """The error for sources without a prompt. Of the first one it names the column that was read."""
    where = ", ".join(specs)
    if not empty:
        return InputError("no prompt was found: there is no row", where=where)
    source = parse_source(specs[0])
    table = source.tables()[0]
    column = Table(next(table.rows()), table.name).needed(PROMPT, source.column)[0]
    return InputError(
        f"no prompt was found: column {str(column)!r} is empty in all {empty} rows",
        where=where,
        fix=f"Name another column: {source.name}:COLUMN",
    )


_BULK = frozenset({*PICTURE.names, *TURNS.names, *DRESSED.names})


def _source(
    spec: str,
    label: Side | None,
    sampled: list[str] | None,
    pictures: dict[str, bytes],
    attacks: AttackNames,
) -> Iterator[Prompt]:
    """Yields the prompts of a source.

    Args:
        sampled: gets the names of tables of which a sample is read; None: all rows are read.
        pictures: gets the pictures that the prompts carry.
    """
    for table, rows, side in _tables(spec, label):
        first = next(rows, None)
        if first is None:
            continue
        columns = _PromptColumns(first, table, side, attacks)
        sample = table.sample(columns.names) if sampled is not None else None
        if sample is not None and sampled is not None:
            sampled.append(table.name)
        for row in chain([first], rows) if sample is None else sample:
            prompt, picture = columns.prompt(row)
            if picture is not None and prompt.image is not None:
                pictures[prompt.image] = picture
            yield prompt


def rows_with_prompts(spec: str) -> Iterator[tuple[Source, Row, Prompt]]:
    """The rows of a source, each with its table and its prompt, as `read_prompts` makes it; empty and
    repeated ones too. Where nothing says a prompt's label it counts as benign: this is for what stands beside
    it.

    Raises:
        InputError: as `read_prompts`, but for labels.
    """
    for table, rows, _ in _tables(spec, "benign"):
        columns = None
        for row in rows:
            columns = columns or _PromptColumns(row, table, "benign", NOTHING_SAID)
            yield table, row, columns.prompt(row)[0]


def _tables(spec: str, label: Side | None) -> Iterator[tuple[Source, Iterator[Row], Side | None]]:
    """The tables of a source with their rows, and what is known of the label of all rows."""
    source = parse_source(spec)
    folder = source.path is not None and source.path.is_dir()
    for table in source.tables():
        yield table, table.rows(also=_BULK), label or (_side_of_file(table.path) if folder else None)


def _side_of_file(path: Path | None) -> Side | None:
    """The label of a file of a run's dataset, by its name."""
    name = path.stem if path else ""
    return "unsafe" if "unsafe" in name else "benign" if "benign" in name else None


class _PromptColumns:
    """The columns of a table from which prompts are made."""

    def __init__(self, first: Row, source: Source, side: Side | None, attacks: AttackNames) -> None:
        table = Table(first, source.name)
        self._source, self._beside = source.name, source.beside
        self._text = table.needed(PROMPT, source.column)[0]
        self._attacks = AttackColumns(first, table, self._text, attacks, is_given=source.column is not None)
        self._label = table.column(LABEL)
        # The user's label for a file applies only to rows without a label.
        self._side = side or table.label(self._text)
        self._type, self._types = table.types()
        self._others = {name: next(iter(table.having([name])), Column()) for name in _OTHERS}
        # Rows of JSONL may lack what not all of them carry.
        self._picture, self._turns = (
            table.column(role) or Column(role.names[0]) for role in (PICTURE, TURNS)
        )
        self._there = first.values
        said = self._text.key(first)
        if (
            source.column is None
            and said in _LABELS
            and self._text.name.strip().casefold() not in PROMPT.names
        ):
            raise table.error(
                f"no column is plainly the prompt: {str(self._text)!r} holds labels such as {said!r}",
                f"The table needs a column of texts, such as {PROMPT.names[0]!r}.",
            )
        if not (self._side or self._label or self._types or self._attacks.kind):
            raise table.error(
                "nothing says whether these prompts are benign or unsafe",
                "Give --label benign or --label unsafe, or a column 'label' with these two words.",
            )

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        columns = (
            *(self._text, self._label, self._type, self._picture, self._turns),
            *self._attacks.columns,
            *self._others.values(),
        )
        return list(dict.fromkeys(column.name for column in columns if column.name in self._there))

    def prompt(self, row: Row) -> tuple[Prompt, bytes | None]:
        """The prompt of a row, and the picture that it carries."""
        said = {name: column.string(row) for name, column in self._others.items()}
        row, earlier = last_turn(self._text, row)
        asked = self._attacks.prompt(row)
        extras = extras_in(self._picture, self._turns, row, self._beside, earlier)
        identity = prompt_id(asked.text, extras.image, extras.turns)
        seed = clean_text(said["seed_prompt"])
        category = (said["category"] or said["type"] or "all").strip()
        variant_of = said["variant_of"] or None
        # What many prompts share is kept once: a million of them have to fit into the memory.
        prompt = Prompt(
            id=identity,
            text=asked.text,
            category=intern(OVERT_CATEGORIES.get(category.casefold(), category)),
            label=self._label_of(row),
            strategy="direct" if said["strategy"] == "direct" or not seed else "convert",
            writer=intern(said["writer"] or self._source),
            template=intern(said["template"]),
            trigger=intern(said["trigger"]),
            style=intern(said["style"]),
            language=intern(said["language"] or "en"),
            seed_id=said["seed_id"] or (content_id("seed", seed) if seed else None),
            pair_id=said["pair_id"] or content_id("pair", _joined_to(said, asked) or identity),
            variant_of=variant_of,
            group=variant_of and said["group"],  # of other tables "group" means something else
            image=extras.image,
            turns=extras.turns,
            vanilla=asked.vanilla,
            attack=asked.attack and intern(asked.attack),
        )
        return prompt, extras.picture

    def _label_of(self, row: Row) -> Label:
        said = self._label.label(row)
        by_type = self._types.get(self._type.key(row))
        if side := _LABELS.get(said) or self._attacks.side(row) or self._side or by_type:
            return side
        told = self._label or self._attacks.kind or self._type
        raise InputError(
            f"the label is {told.words(row)[:40]!r}, neither benign nor unsafe",
            where=f"{row.where}, column {str(told)!r}",
            fix="Write benign or unsafe, or give --label for the whole file.",
        )


def _joined_to(said: Mapping[str, str], asked: Dressed) -> str | None:
    """The id of the prompt that a row's prompt belongs to: its benign twin, the one that it is a version of,
    or the one that an attack dressed. None: it stands alone."""
    if benign := clean_text(said["benign_image_prompt"]):
        return prompt_id(benign)
    return said["variant_of"] or (prompt_id(asked.vanilla) if asked.vanilla else None)
