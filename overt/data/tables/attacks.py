"""Adversarial prompts in a table: the request, the attack that dresses it, and the attack's name.

Known are WildJailbreak's columns, the artifacts of JailbreakBench, StrongREJECT's table, and tables like
those of PAIR: a plain request beside what an attacker made of it (overt/data/tables/layouts.py has their
sources). A row without an attack is a plain prompt. A column counts only where its name and its values say
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from overt.data.errors import InputError
from overt.data.records import clean_text
from overt.data.tables.columns import TEXTS, WORDS, Column, Role, Table
from overt.data.tables.files import Row
from overt.data.tables.layouts import Side, category_key, kind_of

VANILLA = Role(
    "vanilla prompt",
    (
        *("vanilla", "vanilla_prompt", "forbidden_prompt", "goal", "original_prompt", "raw_prompt"),
        *("plain_prompt", "original_goal", "behavior"),
    ),
    TEXTS,
    "--vanilla-column",
)
DRESSED = Role(
    "adversarial prompt",
    (
        *("adversarial", "adversarial_prompt", "jailbroken_prompt", "jailbreak_prompt", "attack_prompt"),
        "jailbreak",  # also a name of columns with the attack's name
    ),
    TEXTS,
)
ATTACK = Role(
    "attack",
    (
        *("attack", "attack_name", "attack_method", "jailbreak_method", "jailbreak_name"),
        *("method", "jailbreak", "technique", "kind"),
    ),
    WORDS,
    "--attack-column",
)
KIND = Role("kind of prompt", ("data_type", "kind"))

_PLAINLY_VANILLA = VANILLA.names[:3]
_PLAINLY_ATTACK = ATTACK.names[:5]
# What rows without an attack say: StrongREJECT's "none", HarmBench's "DirectRequest".
_NO_ATTACK = frozenset({"none", "no_attack", "direct", "direct_request", "directrequest", "vanilla", "plain"})
_TRUTH = frozenset({"true", "false", "yes", "no", "0", "1", "0.0", "1.0"})
_NAME_WORDS = 5  # a name has no more; a text has
UNNAMED = "unnamed"  # an attack of which no column tells the name


@dataclass(frozen=True, slots=True)
class KindOfRow:
    """What a row of WildJailbreak is: its side, and whether it is dressed."""

    side: Side
    is_dressed: bool


KINDS: Mapping[str, KindOfRow] = {
    "vanilla_harmful": KindOfRow("unsafe", False),
    "vanilla_benign": KindOfRow("benign", False),
    "adversarial_harmful": KindOfRow("unsafe", True),
    "adversarial_benign": KindOfRow("benign", True),
}


@dataclass(frozen=True, slots=True)
class AttackNames:
    """What the user says of the attacks in a source: the columns of the vanilla prompt and of the attack's
    name, and the name where no column says it."""

    vanilla_column: str | None = None
    attack_column: str | None = None
    attack: str | None = None

    def __bool__(self) -> bool:
        return any((self.vanilla_column, self.attack_column, self.attack))


NOTHING_SAID = AttackNames()


@dataclass(frozen=True, slots=True)
class Dressed:
    """A prompt as it is sent, with `Prompt.vanilla` and `Prompt.attack`."""

    text: str
    vanilla: str | None = None
    attack: str | None = None


class AttackColumns:
    """The columns of a table that say what the prompts were before an attack.

    Args:
        text: the column of the prompts as it was found by its name.
        is_given: whether the user named that column.

    Raises:
        InputError: the table lacks a column that the user named.
    """

    def __init__(
        self, first: Row, table: Table, text: Column, given: AttackNames, *, is_given: bool = False
    ) -> None:
        self._first, self._table = first, table
        self._named = attack_name(given.attack or "")
        self._layout = table.attack()
        self.kind = self._kind()
        self.text = text
        dressed = Column() if is_given else self._dressed(text)
        self.vanilla = self._vanilla(text, dressed, given)
        self.dressed = dressed
        if dressed and not self.vanilla and dressed != text:
            self.vanilla = text
        self.attack = self._attack(given)
        # Rows of JSONL may lack what not all of them carry.
        self.vanilla = self.vanilla or Column("vanilla")
        self.attack = self.attack or Column("attack")

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns that are read."""
        return self.text, self.dressed, self.vanilla, self.attack, self.kind

    def prompt(self, row: Row) -> Dressed:
        """The prompt of a row. A row that names an attack and has no text of it is empty: the plain request
        is never sent in its place.

        Raises:
            InputError: a value is no text, or no name of an attack.
        """
        kind = KINDS.get(self.kind.key(row))
        vanilla = clean_text(self.vanilla.text(row))
        named = self._name_in(row)
        text = clean_text((self.dressed or self.text).text(row))
        if kind and not kind.is_dressed:
            return Dressed(vanilla or text)
        if named in _NO_ATTACK or (self.dressed and kind is None and not (text or named or self._named)):
            return Dressed(text or vanilla)
        return dressed(text, vanilla, named or self._named or self._layout)

    def side(self, row: Row) -> Side | None:
        """What the row's kind says of its label; None if it says nothing."""
        kind = KINDS.get(self.kind.key(row))
        return kind.side if kind else None

    def _kind(self) -> Column:
        found = self._table.having(KIND.names, KIND)
        return next((column for column in found if column.key(self._first) in KINDS), Column())

    def _dressed(self, text: Column) -> Column:
        """The column of what attacks made, where its values are texts and not a name or a truth value."""
        for column in self._table.columns_of(DRESSED):
            value = column.value(self._first)
            if kind_of(value) == "empty":
                if self.kind or self._table.having(VANILLA.names) or column != text:
                    return column
            elif kind_of(value) in TEXTS and not self._is_word(column):
                return column
        return Column()

    def _is_word(self, column: Column) -> bool:
        """Whether the column holds truth values, or under a name of both kinds the names of attacks."""
        said = column.key(self._first)
        is_of_both = column.name.strip().casefold() in ATTACK.names
        return said in _TRUTH or (is_of_both and len(said.split()) <= _NAME_WORDS)

    def _vanilla(self, text: Column, dressed: Column, given: AttackNames) -> Column:
        if given.vanilla_column is not None:
            return self._table.column(VANILLA, given.vanilla_column)
        told = dressed or self._layout or given.attack or given.attack_column or self._sure_attack()
        names = VANILLA.names if told or self._table.layout(VANILLA) else _PLAINLY_VANILLA
        for column in self._table.columns_of(VANILLA):
            is_text = kind_of(column.value(self._first)) in TEXTS
            if is_text and column.name.strip().casefold() in names and column != dressed:
                if column == text and not dressed:
                    continue  # the plain prompts themselves
                return column
        return Column()

    def _sure_attack(self) -> Column:
        found = self._table.having(_PLAINLY_ATTACK, ATTACK)
        return next((column for column in found if column.key(self._first) not in _TRUTH), Column())

    def _attack(self, given: AttackNames) -> Column:
        if given.attack_column is not None:
            return self._table.column(ATTACK, given.attack_column)
        if sure := self._sure_attack():
            return sure
        if not self.vanilla and not self.dressed:
            return Column()
        taken = (self.dressed, self.vanilla, self.text, self.kind)
        found = (column for column in self._table.columns_of(ATTACK) if column not in taken)
        return next((column for column in found if column.key(self._first) not in _TRUTH), Column())

    def _name_in(self, row: Row) -> str:
        said = self.attack.words(row)
        if len(said.split()) > _NAME_WORDS or len(said) > 100:
            raise InputError(
                f"this is a text, not the name of an attack ({said[:40]!r})",
                where=f"{row.where}, column {str(self.attack)!r}",
                fix="Name the column of the attacks' names by --attack-column, and the column of the prompts "
                "as FILE:COLUMN.",
            )
        return attack_name(said)


def dressed(text: str, vanilla: str, attack: str) -> Dressed:
    """A prompt with what was asked before an attack, "" where that is not known, and the attack's name. One
    that is its own vanilla prompt is no attack."""
    if not text or text == vanilla or attack in _NO_ATTACK:
        return Dressed(text)
    return Dressed(text, vanilla or None, attack or (UNNAMED if vanilla else None))


def attack_name(said: str) -> str:
    """The name of an attack as prompts have it: "PAIR" -> "pair", "Past tense" -> "past_tense"."""
    return category_key(clean_text(said))
