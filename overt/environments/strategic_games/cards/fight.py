"""One battle of cards, blow by blow. Whole numbers only, and a fixed order of everything.

start effects -> turn: a blow, what burns -> turn of the other side -> ... -> a side is gone, or the cap
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from overt.environments.strategic_games.cards.table import Card, Deed, Rules

INVADERS, DEFENDERS = 0, 1


@dataclass(frozen=True, slots=True)
class Seen:
    """A unit as a frame shows it."""

    id: int
    name: str
    tier: str
    attack: int
    health: int
    has_shield: bool
    burning: int


@dataclass(frozen=True, slots=True)
class Frame:
    """Both boards after a turn. `attacker` and `target` are the ids of the last blow, or 0."""

    turn: int
    attacker: int
    target: int
    boards: tuple[tuple[Seen, ...], ...]


class Fighter:
    """A unit on the board."""

    __slots__ = (
        "attack", "burning", "card", "dealt", "has_acted", "has_shield", "health", "killer", "most_health",
        "number", "revives", "side",
    )  # fmt: skip

    def __init__(self, card: Card, side: int, number: int) -> None:
        self.card = card
        self.side = side
        self.number = number
        self.has_acted = False
        self.revives = card.revives
        self.dealt = 0
        self.begin()

    def begin(self) -> None:
        """As the unit enters the board: with the numbers of its card."""
        self.attack = self.card.attack
        self.health = self.most_health = self.card.health
        self.has_shield = self.card.has_shield
        self.burning = 0
        self.killer: Fighter | None = None


class Fight:
    """A battle in progress.

    Args:
        boards: the cards of invaders and defenders, left to right.
        priorities: of either side, the names of units to strike first.
        rules: the numbers that hold for all.
        cards: every unit in every tier, for summons.
        is_shown: whether `frames` is filled.
    """

    def __init__(
        self,
        boards: tuple[Sequence[Card], Sequence[Card]],
        priorities: tuple[Sequence[str], Sequence[str]],
        rules: Rules,
        cards: Mapping[tuple[str, str], Card],
        *,
        is_shown: bool = False,
    ) -> None:
        self.rules = rules
        self.cards = cards
        self.priorities = priorities
        self.frames: list[Frame] = []
        self.turns = 0
        self._is_shown = is_shown
        self._count = 0
        self._beats: dict[str, str] = {str(one): other for one, other in rules.beats.items()}
        self._hurt: list[Fighter] = []
        self.boards: tuple[list[Fighter], list[Fighter]] = ([], [])
        for side, board in enumerate(boards):
            for card in board:
                self.boards[side].append(self._fighter(card, side))
        self.first = INVADERS if len(boards[INVADERS]) >= len(boards[DEFENDERS]) else DEFENDERS
        self.all = [*self.boards[INVADERS], *self.boards[DEFENDERS]]

    def _fighter(self, card: Card, side: int) -> Fighter:
        self._count += 1
        return Fighter(card, side, self._count)

    def run(self) -> int:
        """Fights to the end. Returns the side that won: the invaders where both are gone or both are left."""
        mover = self.first
        for side in (mover, 1 - mover):
            for unit in tuple(self.boards[side]):
                if unit.health > 0:
                    self._fire(unit, "at_start", None)
        self._settle(mover)
        self._show(None, None)
        while self.boards[0] and self.boards[1] and self.turns < self.rules.turns:
            if not any(unit.attack or unit.burning for board in self.boards for unit in board):
                break
            self.turns += 1
            self._turn(mover)
            mover = 1 - mover
        return DEFENDERS if self.boards[DEFENDERS] and not self.boards[INVADERS] else INVADERS

    # -- a turn ----------------------------------------------------------------------------------------------

    def _turn(self, side: int) -> None:
        attacker = self._next_attacker(side)
        target = None
        if attacker is not None:
            attacker.has_acted = True
            for _ in range(attacker.card.attacks):
                target = self._target(side)
                if target is None or attacker.health <= 0 or attacker.attack <= 0:
                    break
                self._blow(attacker, target)
                self._settle(side)
        burning = [unit for unit in self.boards[side] if unit.burning]
        if burning:
            for unit in burning:
                self._damage(unit, unit.burning, None)
            self._settle(side)
        self._show(attacker, target)

    def _next_attacker(self, side: int) -> Fighter | None:
        """The leftmost unit with an attack that has not had its turn; when all had, they begin anew."""
        able = [unit for unit in self.boards[side] if unit.attack > 0]
        for unit in able:
            if not unit.has_acted:
                return unit
        for unit in self.boards[side]:
            unit.has_acted = False
        return able[0] if able else None

    def _target(self, side: int) -> Fighter | None:
        """Taunt first, then the list of priorities, else left to right."""
        board = self.boards[1 - side]
        open_to_blows = [unit for unit in board if unit.card.has_taunt] or board
        for name in self.priorities[side]:
            for unit in open_to_blows:
                if unit.card.name == name:
                    return unit
        return open_to_blows[0] if open_to_blows else None

    def _blow(self, attacker: Fighter, target: Fighter) -> None:
        """Attacker and target strike at the same time."""
        self._fire(attacker, "on_attack", target)
        self._fire(target, "on_attacked", attacker)
        if attacker.health <= 0:
            return
        neighbours = self._neighbours(target) if attacker.card.has_splash else ()
        force, answer = self._force(attacker, target), self._force(target, attacker)
        surplus = self._damage(target, force, attacker, is_poison=attacker.card.has_poison)
        self._damage(attacker, answer, target, is_poison=target.card.has_poison)
        for unit in neighbours:
            self._damage(unit, self._force(attacker, unit), attacker, is_poison=attacker.card.has_poison)
        if surplus and attacker.card.has_overkill:
            self._carry(attacker, target, surplus)
        self._after_damage()
        if attacker.health > 0:
            self._fire(attacker, "after_attack", target)

    def _force(self, striker: Fighter, struck: Fighter) -> int:
        """The attack, times the advantage where its element beats the other's, rounded down."""
        if self._beats.get(striker.card.element) == struck.card.element:
            return striker.attack * self.rules.advantage_percent // 100
        return striker.attack

    def _carry(self, attacker: Fighter, target: Fighter, surplus: int) -> None:
        """What a blow has left falls on the next unit to the right; after the last comes the first."""
        board = self.boards[target.side]
        at = board.index(target)
        for unit in (*board[at + 1 :], *board[:at]):
            if unit.health > 0:
                surplus = self._damage(unit, surplus, attacker)
                if not surplus:
                    return

    # -- damage and death ------------------------------------------------------------------------------------

    def _damage(self, unit: Fighter, amount: int, source: Fighter | None, *, is_poison: bool = False) -> int:
        """Takes health, or the shield. Returns the damage that was more than its health."""
        if amount <= 0 or unit.health <= 0:
            return 0
        if unit.has_shield:
            unit.has_shield = False
            for other in tuple(self.boards[unit.side]):
                if other is not unit and other.health > 0:
                    self._fire(other, "on_ally_unshielded", unit)
            return 0
        surplus = max(0, amount - unit.health)
        if source is not None:
            source.dealt += amount - surplus
        unit.health = 0 if is_poison else unit.health - amount + surplus
        unit.killer = source
        self._hurt.append(unit)
        return surplus

    def _after_damage(self) -> None:
        """Fires `on_damaged` of all that were hurt since the last time and live."""
        while self._hurt:
            hurt, self._hurt = self._hurt, []
            for unit in dict.fromkeys(hurt):
                if unit.health > 0:
                    self._fire(unit, "on_damaged", unit.killer)

    def _settle(self, mover: int) -> None:
        """Takes the dead away, those of the side whose turn it is first, left to right, until nobody dies."""
        self._after_damage()
        while dead := [u for side in (mover, 1 - mover) for u in self.boards[side] if u.health <= 0]:
            for unit in dead:
                self._bury(unit)
            self._after_damage()

    def _bury(self, unit: Fighter) -> None:
        if unit.revives:
            unit.revives -= 1
            unit.begin()
            return
        board = self.boards[unit.side]
        place = board.index(unit)
        del board[place]
        for deed in unit.card.deeds.get("on_death", ()):
            _DO[deed.do](self, unit, deed, unit.killer, place)

    # -- effects ---------------------------------------------------------------------------------------------

    def _fire(self, unit: Fighter, when: str, other: Fighter | None) -> None:
        for deed in unit.card.deeds.get(when, ()):
            board = self.boards[unit.side]
            place = board.index(unit) + 1 if unit in board else len(board)
            _DO[deed.do](self, unit, deed, other, place)

    def _neighbours(self, unit: Fighter) -> tuple[Fighter, ...]:
        board = self.boards[unit.side]
        at = board.index(unit)
        return (*board[max(0, at - 1) : at], *board[at + 1 : at + 2])

    def _meant(self, unit: Fighter, deed: Deed, other: Fighter | None) -> list[Fighter]:
        """The living units that an effect is for, left to right; of both sides, its own first."""
        if deed.to == "self":
            found: Sequence[Fighter] = (unit,)
        elif deed.to in ("attacker", "killer"):
            found = () if other is None else (other,)
        elif deed.to == "neighbours":
            found = self._neighbours(unit)
        elif deed.to == "allies":
            found = [ally for ally in self.boards[unit.side] if ally is not unit]
        else:
            found = [*self.boards[unit.side], *self.boards[1 - unit.side]]
        return [
            one
            for one in found
            if one.health > 0 and (deed.element is None or one.card.element == deed.element)
        ]

    def _do_damage(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        for one in self._meant(unit, deed, other):
            self._damage(one, deed.amount, unit)

    def _do_heal(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        for one in self._meant(unit, deed, other):
            one.health = min(one.most_health, one.health + deed.amount)

    def _do_burn(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        for one in self._meant(unit, deed, other):
            one.burning = max(one.burning, deed.amount)

    def _do_shield(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        for one in self._meant(unit, deed, other):
            one.has_shield = True

    def _do_buff(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        times = len(self.boards[unit.side]) - 1 if deed.is_per_ally else 1
        for one in self._meant(unit, deed, other):
            self._set_attack(one, one.attack + deed.attack * times)
            one.health += deed.health * times
            one.most_health += deed.health * times

    def _do_multiply(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        for one in self._meant(unit, deed, other):
            self._set_attack(one, one.attack * deed.factor)

    def _set_attack(self, unit: Fighter, attack: int) -> None:
        unit.attack = max(0, min(self.rules.attack_cap, attack))

    def _do_summon(self, unit: Fighter, deed: Deed, other: Fighter | None, place: int) -> None:
        board = self.boards[unit.side]
        if len(board) < self.rules.board:
            summoned = self._fighter(self.cards[deed.unit, unit.card.tier], unit.side)
            board.insert(place, summoned)
            self.all.append(summoned)

    # -- what a replay shows ---------------------------------------------------------------------------------

    def _show(self, attacker: Fighter | None, target: Fighter | None) -> None:
        if self._is_shown:
            boards = tuple(tuple(map(_seen, board)) for board in self.boards)
            numbers = (attacker.number if attacker else 0, target.number if target else 0)
            self.frames.append(Frame(self.turns, *numbers, boards))


def _seen(unit: Fighter) -> Seen:
    card = unit.card
    return Seen(unit.number, card.name, card.tier, unit.attack, unit.health, unit.has_shield, unit.burning)


_DO: Mapping[str, Callable[[Fight, Fighter, Deed, Fighter | None, int], None]] = {
    "damage": Fight._do_damage,
    "heal": Fight._do_heal,
    "burn": Fight._do_burn,
    "shield": Fight._do_shield,
    "buff": Fight._do_buff,
    "multiply": Fight._do_multiply,
    "summon": Fight._do_summon,
}
