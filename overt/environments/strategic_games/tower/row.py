"""One row of the field, from event to event.

Nothing happens between two events but that demons walk straight on, so the row jumps from one to the next.
The order within a tick is ours: who arrives, then shots from the front to the back, then fires, then strikes
in the order of entering, and last who passes x = 0. A demon that is dead takes no shot and strikes nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overt.data.json_types import Json, JsonObject
from overt.environments.strategic_games.tower.fighters import NEVER, Fighter, Walker
from overt.environments.strategic_games.tower.units import HUNDREDTHS, Field


@dataclass(frozen=True, slots=True)
class Entry:
    """Who comes when, and where. `x` is a cell."""

    tick: int
    id: str
    name: str
    x: int
    is_demon: bool


@dataclass(slots=True)
class Shared:
    """What the rows of a battle have in common.

    left: the demons that are alive or yet to come. frames: None where no replay is asked for.
    """

    field: Field
    left: int
    summoned: int = 0
    frames: list[JsonObject] | None = None


class Row:
    """A row in battle. `due` is the tick of its next event, `passed` the demon that passed x = 0."""

    def __init__(self, number: int, entries: Sequence[Entry], shared: Shared) -> None:
        self.number, self.shared, self.field = number, shared, shared.field
        self.entries = sorted(entries, key=lambda entry: entry.tick)[::-1]  # the next one last
        self.strikes = self.field.ticks(self.field.rules.demon_strikes_every_ms)
        self.humans: list[Fighter] = []  # from right to left
        self.demons: list[Walker] = []  # in the order of entering
        self.fallen: list[tuple[int, Fighter]] = []
        self.spent: list[tuple[int, Fighter]] = []
        self.killed: list[tuple[int, Walker]] = []
        self.passed: Walker | None = None
        self.now = 0
        self.due = self.entries[-1].tick if self.entries else NEVER
        self._seen: dict[str, tuple[int, int]] = {}  # of each one, the pace and the health that frames show

    def play(self, now: int) -> None:
        """Plays the tick of its next event."""
        self.advance(now)
        self._arrive(now)
        demons = self.demons
        if demons:
            self._shoot(now)
            for demon in demons:
                if demon.burn_next <= now and demon.health > 0:
                    demon.burns(now)
            if any(demon.health <= 0 for demon in demons):
                self._bury(now)
            self._strike(now)
            self._pass()
        if self.shared.frames is not None:
            self._show(now, self.shared.frames)
        self.due = self._next(now)

    def advance(self, now: int) -> None:
        """Walks all demons on to a tick, which no event of the row may lie before."""
        passed = now - self.now
        if passed:
            self.now = now
            for demon in self.demons:
                if demon.at > demon.stop:
                    demon.at = max(demon.at - demon.pace * passed, demon.stop)
                if demon.slow_until <= now:
                    demon.end_slow()

    # -- arriving ------------------------------------------------------------------------------------------

    def _arrive(self, now: int) -> None:
        came = False
        while self.entries and self.entries[-1].tick <= now:
            entry, came = self.entries.pop(), True
            if entry.is_demon:
                at = entry.x * self.field.cell
                self.demons.append(Walker(self.field.demons[entry.name], self.field, entry.id, at, now))
            else:
                self.humans.append(Fighter(self.field.humans[entry.name], self.field, entry.id, entry.x, now))
        for demon in tuple(self.demons):
            if demon.summon <= now and demon.health > 0:
                came = self._summon(demon, now) or came
        if came:
            self.humans.sort(key=lambda human: -human.x)
            self._meet()
            for human in self.humans:
                if human.ready == NEVER and human.unit.attack is not None:
                    human.ready = now

    def _summon(self, by: Walker, now: int) -> bool:
        summons, shared = by.unit.summons, self.shared
        if summons is None or shared.summoned >= self.field.rules.most_summoned:
            by.summon = NEVER
            return False
        shared.summoned += 1
        shared.left += 1
        by.summon = now + self.field.ticks(summons.every_ms)
        id = f"s{shared.summoned}"
        self.demons.append(Walker(self.field.demons[summons.name], self.field, id, by.at, now))
        return True

    def _meet(self) -> None:
        """Finds the human that each demon walks to or strikes."""
        for demon in self.demons:
            demon.foe, demon.stop = None, 0
            for human in self.humans:
                if human.at <= demon.at and not demon.jumps_over(human):
                    demon.foe, demon.stop = human, human.at
                    break

    # -- fighting ------------------------------------------------------------------------------------------

    def _shoot(self, now: int) -> None:
        frames = self.shared.frames
        for human in self.humans:
            if human.ready > now:
                continue
            target = self._target(human)
            if target is None:
                human.ready = NEVER
                continue
            human.ready = now + human.every
            target.shot(human, now)
            if frames is not None:
                frames.append({"tick": now, "what": "shoots", "id": human.id, "at": target.id})

    def _target(self, human: Fighter) -> Walker | None:
        """The first demon in the row, to the right, that the human can hit."""
        found, at, air = None, NEVER, human.air
        for demon in self.demons:
            if demon.at < at and demon.health > 0 and demon.flies is air and demon.at >= human.at:
                if human.disables and not demon.defended:
                    continue
                found, at = demon, demon.at
        return found

    def blasted(self, damage: int, left: int, right: int) -> None:
        """Hits all demons on the ground from `left` up to, not including, `right` (steps)."""
        for demon in self.demons:
            if not demon.flies and left <= demon.at < right:
                demon.hurt(damage, "blast")

    def _bury(self, now: int) -> None:
        dead = [demon for demon in self.demons if demon.health <= 0]
        self.demons = [demon for demon in self.demons if demon.health > 0]
        self.shared.left -= len(dead)
        self.killed.extend((now, demon) for demon in dead)

    def _strike(self, now: int) -> None:
        fell = False
        for demon in self.demons:
            foe = demon.foe
            if foe is None or demon.at != demon.stop or demon.strike > now or foe.health <= 0:
                continue
            times = demon.unit.times_to_shields if foe.unit.is_shield else 1
            foe.health -= demon.unit.damage * times * HUNDREDTHS
            demon.strike = now + self.strikes
            if foe.unit.blast is not None and foe.fuse == NEVER:
                foe.fuse = now + foe.fuse_for
            fell = fell or foe.health <= 0
        if fell:
            self.fallen.extend((now, human) for human in self.humans if human.health <= 0)
            self.humans = [human for human in self.humans if human.health > 0]
            self._meet()

    def _pass(self) -> None:
        for demon in self.demons:
            if demon.foe is None and demon.at <= 0:
                self.passed = demon
                return

    def spend(self, human: Fighter, now: int) -> None:
        """Takes away a human that went off."""
        self.humans.remove(human)
        self.spent.append((now, human))
        self._meet()

    def _next(self, now: int) -> int:
        due = self.entries[-1].tick if self.entries else NEVER
        for human in self.humans:
            due = min(due, human.fuse, human.ready if self.demons else NEVER)
        for demon in self.demons:
            if demon.at > demon.stop:
                due = min(due, now - (demon.stop - demon.at) // demon.pace)
            elif demon.strike < due:
                due = max(demon.strike, now + 1)
            due = min(due, demon.burn_next, demon.slow_until, demon.summon)
        return due

    # -- for a replay --------------------------------------------------------------------------------------

    def _show(self, now: int, frames: list[JsonObject]) -> None:
        """Notes whoever came, went, was hurt, or walks at another pace than before."""
        there = {human.id for human in self.humans} | {demon.id for demon in self.demons}
        for id in [id for id in self._seen if id not in there]:
            del self._seen[id]
            at = next((demon.at for _, demon in self.killed if demon.id == id), None)
            gone: dict[str, Json] = {"tick": now, "what": "falls", "id": id}
            frames.append(gone if at is None else {**gone, "x": at / self.field.cell})
        for human in self.humans:
            self._note(now, frames, human, 0)
        for demon in self.demons:
            self._note(now, frames, demon, demon.pace if demon.at > demon.stop else 0)

    def show_end(self, now: int, frames: list[JsonObject]) -> None:
        """Notes where everybody is when the battle is over."""
        everybody: list[Fighter | Walker] = [*self.humans, *self.demons]
        for who in everybody:
            frames.append({"tick": now, "what": "stays", "id": who.id, "x": who.at / self.field.cell})

    def _note(self, now: int, frames: list[JsonObject], who: Fighter | Walker, pace: int) -> None:
        before = self._seen.get(who.id)
        if before == (pace, who.health):
            return
        self._seen[who.id] = (pace, who.health)
        share = round(max(who.health, 0) / (who.unit.health * HUNDREDTHS), 3)
        frame: dict[str, Json] = {"tick": now, "what": "is", "id": who.id, "x": who.at / self.field.cell}
        frame["health"] = share
        if before is None:
            frame |= {"what": "enters", "name": who.unit.name, "y": self.number}
        frames.append(frame)
