"""One duel, skill by skill. Whole numbers only: a product of percentages is rounded down once, at its end.

round: invaders act in listed order, then defenders -> what burns, poisons, was delayed, mends -> ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from overt.environments.strategic_games.duels.table import Ability, Deed, Quantity, Rules

INVADERS, DEFENDERS = 0, 1


@dataclass(frozen=True, slots=True)
class Seen:
    """A character as a frame shows it."""

    health: int
    shield: int
    burning: int
    tidal: int


@dataclass(frozen=True, slots=True)
class Frame:
    """All characters after a skill, or at the end of a round: then there is none, and both slots are -1."""

    round: int
    actor: int
    target: int
    skill: str
    characters: tuple[Seen, ...]


class Status:
    """What a skill left on a character. `shield` and `uses` run down; `step` has the other numbers."""

    __slots__ = ("is_buff", "is_lasting", "layers", "shield", "source", "step", "uses")

    def __init__(self, deed: Deed, source: Character, shield: int) -> None:
        self.step = deed.step
        self.source = source
        self.shield = shield
        self.uses = deed.step.uses
        self.layers = deed.step.layers
        self.is_buff = deed.is_to_self
        self.is_lasting = not deed.step.rounds and not deed.step.uses


class Character:
    """A character in a duel."""

    __slots__ = (
        "abilities", "dealt", "delayed", "element", "health", "most_health", "next_skill", "side", "slot",
        "statuses", "stored",
    )  # fmt: skip

    def __init__(self, element: str, abilities: Sequence[Ability], side: int, slot: int, health: int) -> None:
        self.element = element
        self.abilities = abilities
        self.side = side
        self.slot = slot
        self.health = self.most_health = health
        self.statuses: list[Status] = []
        self.delayed: list[tuple[int, int, Character]] = []
        self.next_skill = 0
        self.stored = 0
        self.dealt = 0

    def layers(self, kind: str) -> int:
        return sum(status.layers for status in self.statuses if status.step.kind == kind)


class Use:
    """One use of a skill: who, on whom, and what its steps so far came to."""

    __slots__ = ("actor", "hit", "paid", "surplus", "target")

    def __init__(self, actor: Character, target: Character) -> None:
        self.actor = actor
        self.target = target
        self.hit = self.paid = self.surplus = 0


class Fight:
    """A duel in progress.

    Args:
        sides: the characters of invaders and defenders: an element, and its skills in the order of their use.
        rules: the numbers that hold for all.
        is_shown: whether `frames` is filled.
    """

    def __init__(
        self,
        sides: tuple[Sequence[tuple[str, Sequence[Ability]]], Sequence[tuple[str, Sequence[Ability]]]],
        rules: Rules,
        *,
        is_shown: bool = False,
    ) -> None:
        self.rules = rules
        self.round = 0
        self.frames: list[Frame] = []
        self.all: list[Character] = []
        for side, characters in enumerate(sides):
            for element, abilities in characters:
                self.all.append(Character(element, abilities, side, len(self.all), rules.health))
        self._is_shown = is_shown
        self._time = 0  # turns so far, those of the dead counted
        self._ending: dict[int, list[tuple[Character, Status]]] = {}
        self._chart = _chart(rules)

    def living(self, side: int) -> list[Character]:
        return [one for one in self.all if one.side == side and one.health > 0]

    def run(self) -> int:
        """Fights to the end. Returns the side that won: the invaders where both are as healthy, or gone."""
        self._show(None, None, "")
        while self._goes_on() and self.round < self.rules.rounds:
            self.round += 1
            self._round()
        left = [sum(one.health for one in self.living(side)) for side in (INVADERS, DEFENDERS)]
        return DEFENDERS if left[DEFENDERS] > left[INVADERS] else INVADERS

    def _goes_on(self) -> bool:
        return bool(self.living(INVADERS) and self.living(DEFENDERS))

    def _round(self) -> None:
        for actor in self.all:
            self._time += 1
            if actor.health > 0:
                self._act(actor)
                if not self._goes_on():
                    return
            for character, status in self._ending.pop(self._time, ()):
                _remove(character, status)
        for character in self.all:
            if character.health > 0:
                self._end_of_round(character)
        self._show(None, None, "")

    def _act(self, actor: Character) -> None:
        target = self.living(1 - actor.side)[0]
        ability = actor.abilities[actor.next_skill % len(actor.abilities)]
        actor.next_skill += 1
        use = Use(actor, target)
        for deed in ability.deeds:
            _DO[deed.do](self, use, deed)
        self._show(actor, target, ability.name)

    def _end_of_round(self, character: Character) -> None:
        for status in tuple(character.statuses):
            if status.step.damage:
                damage = status.step.damage * max(1, status.layers)
                status.source.dealt += self._worn(character, damage)
        due = [part for part in character.delayed if part[0] <= self.round]
        character.delayed = [part for part in character.delayed if part[0] > self.round]
        for _, damage, source in due:
            source.dealt += self._worn(character, damage)
        if character.health > 0:
            for status in character.statuses:
                if status.step.mends:
                    self._mend(character, status.step.mends)

    # -- steps of skills -------------------------------------------------------------------------------------

    def _count(self, use: Use, of: str) -> int:
        if of == "burning":
            return use.target.layers("burning")
        if of == "tidal":
            return use.actor.layers("tidal")
        if of == "lost_tenths":
            return (use.actor.most_health - use.actor.health) * 10 // use.actor.most_health
        if of == "stored":
            return use.actor.stored
        return {"paid": use.paid, "hit": use.hit, "surplus": use.surplus}.get(of, 0)

    def _sum(self, use: Use, quantity: Quantity) -> int:
        if not quantity.of:
            return quantity.amount
        count = self._count(use, quantity.of)
        return quantity.amount + quantity.each * count + quantity.percent * count // 100

    def _do_hit(self, use: Use, deed: Deed) -> None:
        amount = self._sum(use, deed.quantity)
        if deed.step.below_half and use.target.health * 2 < use.target.most_health:
            amount += deed.step.below_half
        if amount <= 0 or use.actor.health <= 0 or use.target.health <= 0:
            return
        if deed.step.true:
            use.hit = self._lost(use.target, amount)
            use.target.stored += use.hit
        else:
            use.hit = self._hit(use.actor, use.target, amount)
        use.actor.dealt += use.hit

    def _do_heal(self, use: Use, deed: Deed) -> None:
        if use.actor.health > 0:
            use.surplus = self._mend(use.actor, self._sum(use, deed.quantity))

    def _do_pay(self, use: Use, deed: Deed) -> None:
        use.paid = use.actor.health * deed.quantity.percent // 100
        use.actor.health -= min(use.paid, use.actor.health - 1)

    def _do_give(self, use: Use, deed: Deed) -> None:
        holder = use.actor if deed.is_to_self else use.target
        shield = self._sum(use, deed.shield) if deed.shield else 0
        if holder.health <= 0 or (deed.shield and shield <= 0):
            return
        status = Status(deed, use.actor, shield)
        holder.statuses.append(status)
        if deed.step.rounds:
            end = self._time + deed.step.rounds * len(self.all)
            self._ending.setdefault(end, []).append((holder, status))

    def _do_spend(self, use: Use, deed: Deed) -> None:
        kind = deed.quantity.of
        if kind == "stored":
            use.actor.stored = 0
            return
        holder = use.target if kind == "burning" else use.actor
        holder.statuses = [status for status in holder.statuses if status.step.kind != kind]

    def _do_clear(self, use: Use, deed: Deed) -> None:
        holder = use.actor if deed.is_to_self else use.target
        is_buff = deed.quantity.of == "buffs"
        found = [one for one in holder.statuses if one.is_buff == is_buff and not one.is_lasting]
        for status in found[: deed.step.most or None]:
            _remove(holder, status)

    # -- damage ----------------------------------------------------------------------------------------------

    def _hit(self, actor: Character, target: Character, amount: int) -> int:
        """A skill's hit. Returns what it took from health and shields of the target."""
        on_target = tuple(target.statuses)
        amount = self._changed(actor, target, amount, on_target)
        link = next((status for status in on_target if status.step.redirects), None)
        if link is not None:
            self._used(target, link)
            target.dealt += self._worn(actor, amount)
            return 0
        held = min(amount, sum(amount * status.step.delays // 100 for status in on_target))
        if held:
            target.delayed.append((self.round + 1, held, actor))
        absorbed, lost, returned = self._taken(target, amount - held)
        target.stored += absorbed + lost
        for status in on_target:
            returned += status.step.back
            if status.step.heals and target.health > 0:
                self._mend(target, amount * status.step.heals // 100)
        for status in on_target:
            if status.uses and not status.step.dealt:
                self._used(target, status)
        if returned:
            target.dealt += self._worn(actor, returned)
        return absorbed + lost

    def _changed(self, actor: Character, target: Character, amount: int, on_target: Sequence[Status]) -> int:
        """A hit after the chart of elements and all percentages, rounded down; then less what is flat."""
        whole, parts, flat = amount * self._chart.get((actor.element, target.element), 100), 100, 0
        for status in tuple(actor.statuses):
            if status.step.dealt:
                whole, parts = whole * (100 + status.step.dealt), parts * 100
                self._used(actor, status)
        for status in on_target:
            if status.step.taken:
                whole, parts = whole * (100 + status.step.taken), parts * 100
            flat += status.step.taken_flat
        return max(0, whole // parts + flat)

    def _used(self, character: Character, status: Status) -> None:
        if status.uses:
            status.uses -= 1
            if not status.uses:
                _remove(character, status)

    def _taken(self, character: Character, amount: int) -> tuple[int, int, int]:
        """Shields absorb damage, the oldest first, and health takes the rest.

        Returns:
            What was absorbed, what health lost, and what of the absorbed goes back to the striker.
        """
        absorbed = returned = 0
        for status in tuple(character.statuses):
            if status.shield and amount:
                part = min(status.shield, amount)
                status.shield -= part
                amount -= part
                absorbed += part
                returned += part * status.step.returns // 100
                if not status.shield:
                    _remove(character, status)
        return absorbed, self._lost(character, amount), returned

    def _worn(self, character: Character, amount: int) -> int:
        """Damage that is no hit, so that nobody answers it. Returns what it took from shields and health."""
        absorbed, lost, _ = self._taken(character, amount)
        return absorbed + lost

    def _lost(self, character: Character, amount: int) -> int:
        lost = min(amount, character.health)
        character.health -= lost
        return lost

    def _mend(self, character: Character, amount: int) -> int:
        """Heals. Returns the healing for which there was no room."""
        percent = 100 + sum(status.step.healing for status in character.statuses)
        amount = amount * max(0, percent) // 100
        healed = min(amount, character.most_health - character.health)
        character.health += healed
        return amount - healed

    # -- what a replay shows ---------------------------------------------------------------------------------

    def _show(self, actor: Character | None, target: Character | None, skill: str) -> None:
        if self._is_shown:
            slots = (actor.slot if actor else -1, target.slot if target else -1)
            self.frames.append(Frame(self.round, *slots, skill, tuple(map(_seen, self.all))))


def _seen(one: Character) -> Seen:
    shield = sum(status.shield for status in one.statuses)
    return Seen(one.health, shield, one.layers("burning"), one.layers("tidal"))


def _remove(character: Character, status: Status) -> None:
    if status in character.statuses:
        character.statuses.remove(status)


def _chart(rules: Rules) -> dict[tuple[str, str], int]:
    """(striker, struck) -> percent of the damage; what is not in it is 100."""
    chart: dict[tuple[str, str], int] = {}
    for one, other in rules.beats.items():
        chart[str(one), str(other)] = rules.strong_percent
        chart[str(other), str(one)] = rules.weak_percent
    for one, other in rules.opposed.items():
        chart[str(one), str(other)] = chart[str(other), str(one)] = rules.opposed_percent
    return chart


_DO: Mapping[str, Callable[[Fight, Use, Deed], None]] = {
    "hit": Fight._do_hit,
    "heal": Fight._do_heal,
    "pay": Fight._do_pay,
    "give": Fight._do_give,
    "spend": Fight._do_spend,
    "clear": Fight._do_clear,
}
