"""A human and a demon in battle: what the simulator keeps of them, and what a hit does to a demon."""

from __future__ import annotations

from overt.environments.strategic_games.tower.units import HUNDREDTHS, Demon, Field, Human

NEVER = 1 << 60  # a tick that does not come


class Fighter:
    """A human in its cell. Times are ticks, places steps, health hundredths of a point.

    Attributes:
        ready: when it may shoot next; NEVER while it waits for a target, since targets only come by entering.
        fuse: when it explodes; NEVER until a demon touches it.
    """

    __slots__ = (
        "air", "at", "burn", "burn_for", "damage", "disables", "every", "fuse", "fuse_for", "health", "id",
        "kind", "ready", "slow", "slow_for", "unit", "x",
    )  # fmt: skip

    def __init__(self, unit: Human, field: Field, id: str, x: int, now: int) -> None:
        self.unit, self.id, self.x, self.at = unit, id, x, x * field.cell
        self.health = unit.health * HUNDREDTHS
        self.ready = self.fuse = NEVER
        self.fuse_for = field.ticks(unit.blast.fuse_ms) if unit.blast else 0
        self.burn = self.burn_for = self.slow_for = self.damage = self.every = 0
        self.slow, self.air, self.disables, self.kind = 100, False, False, "normal"
        attack = unit.attack
        if attack is None:
            return
        self.ready, self.every, self.kind = now, field.ticks(attack.every_ms), attack.kind
        self.damage, self.air, self.disables = attack.damage * HUNDREDTHS, attack.at == "air", attack.disables
        if attack.burn:
            self.burn, self.burn_for = (
                attack.burn.damage * HUNDREDTHS,
                field.ticks(1000 * attack.burn.seconds),
            )
        if attack.slow:
            self.slow, self.slow_for = attack.slow.percent, field.ticks(1000 * attack.slow.seconds)


class Walker:
    """A demon on its way. Times are ticks, places steps, paces steps a tick, health hundredths of a point.

    Attributes:
        pace: what it walks in a tick, now; `full` is that unslowed, `plain` that without its defence.
        second: the ticks of a second.
        foe: the human that it walks to or strikes; `stop` is where that one stands, or x = 0.
        strike, burn_next, summon: when it strikes, burns and summons next.
    """

    __slots__ = (
        "at", "burn", "burn_next", "burn_until", "defended", "flies", "foe", "full", "health", "id", "jumps",
        "pace", "plain", "second", "slow", "slow_until", "stop", "strike", "summon", "unit",
    )  # fmt: skip

    def __init__(self, unit: Demon, field: Field, id: str, at: int, now: int) -> None:
        self.unit, self.id, self.at, self.second = unit, id, at, field.second
        self.health = unit.health * HUNDREDTHS
        self.flies, self.jumps, self.defended = unit.flies, unit.jumps, unit.defence is not None
        self.plain = (unit.speed or field.rules.speed) * field.stride
        faster = unit.defence.speed if unit.defence else None
        self.full = self.pace = faster * field.stride if faster else self.plain
        self.slow, self.slow_until = 100, NEVER
        self.burn, self.burn_next, self.burn_until = 0, NEVER, 0
        self.foe: Fighter | None = None
        self.stop, self.strike = 0, now
        self.summon = now + field.ticks(unit.summons.every_ms) if unit.summons else NEVER

    def hurt(self, damage: int, kind: str) -> bool:
        """Takes damage; False where it is immune to the kind."""
        unit = self.unit
        if kind in unit.immune_to:
            return False
        if self.defended and unit.defence is not None and kind == unit.defence.against:
            damage = damage * (100 - unit.defence.percent) // 100
        self.health -= damage
        return True

    def shot(self, by: Fighter, now: int) -> None:
        """Takes a shot with what comes of it."""
        if not self.hurt(by.damage, by.kind):
            return
        if by.burn:
            self.burn, self.burn_until = by.burn, now + by.burn_for
            if self.burn_next == NEVER:
                self.burn_next = now + self.second
        if by.slow_for:
            self.slow, self.slow_until = by.slow, now + by.slow_for
            self.pace = self.full * self.slow // 100
        if by.disables and self.defended:
            self.defended = False
            self.full = self.plain
            self.pace = self.full * self.slow // 100

    def end_slow(self) -> None:
        self.slow, self.slow_until, self.pace = 100, NEVER, self.full

    def burns(self, now: int) -> None:
        """Burns for a second's worth."""
        self.hurt(self.burn, "fire")
        self.burn_next = now + self.second if now + self.second <= self.burn_until else NEVER

    def jumps_over(self, human: Fighter) -> bool:
        return self.jumps and human.unit.is_shield and not human.unit.stops_jumps
