"""What a player is told: the rules once, and in each turn all that changed, so that no earlier turn has to
be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from overt.data.json_types import Json, JsonObject, texts_of
from overt.environments.strategic_games.game import Game, Plan


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a match stands for one side.

    attempt: from 1, of `game.opening_tries`, at the opening; 0 at a revision. round: the round that the plan
    is for. plan, against: its own last plan and the opponent's, None before there are any. won: the last
    round; None before there was one. story: of the last round.
    """

    game: Game
    name: str
    side: str
    round: int
    rounds: int
    attempt: int = 0
    plan: Plan | None = None
    against: Plan | None = None
    won: bool | None = None
    story: tuple[str, ...] = ()

    @property
    def other(self) -> str:
        """The opponent's side."""
        return other_side(self.game, self.side)

    @property
    def budget(self) -> int:
        """Of its own side, in the game's points."""
        return self.game.catalogue(self.side).budget

    @property
    def cost(self) -> int | None:
        """Of its own last plan."""
        return None if self.plan is None else self.game.cost(self.side, self.plan)

    @property
    def is_over(self) -> bool:
        """Whether its own last plan costs more than the budget."""
        return self.cost is not None and self.cost > self.budget


def other_side(game: Game, side: str) -> str:
    """The side that plays against this one."""
    return game.sides[1] if side == game.sides[0] else game.sides[0]


def system_of(game: Game, side: str) -> str:
    """The system turn of a player: what holds for the whole match."""
    mine = game.catalogue(side)
    parts = [
        f"You play {game.title} as the {side}. You act only by the tool submit_plan: each time you are "
        "asked, submit one complete plan. Both plans are then fought out without you. Round 1 is fought with "
        "the opening plans; before each later round one of the sides may revise its plan, in turn.",
        game.rules().strip(),
        f"Your budget is {mine.budget}. A side whose plan costs more than its budget loses the round to one "
        "that keeps within its own; if both are over, the one that is over by the smaller share of its "
        "budget wins, and nobody where these are equal.",
        f"What you may use:\n{_lines(mine.units)}",
    ]
    return "\n\n".join(parts)


def told_of(standing: Standing) -> str:
    """The user's turn that asks for a plan. Its last JSON block says where the match stands, for players
    that read no English (`standing_of`)."""
    game = standing.game
    parts = [_what_happened(standing)]
    if standing.against is not None:
        used = _lines(_used(game, standing.other, standing.against))
        parts.append(f"What the {standing.other} used:\n{used}")
    parts += [
        f"Where the match stands:\n```json\n{json.dumps(_state(standing), ensure_ascii=False)}\n```",
        "Submit your whole plan with submit_plan" + ("." if standing.attempt else ", changed or as it was."),
    ]
    return "\n\n".join(parts)


def _what_happened(standing: Standing) -> str:
    if standing.attempt:
        if standing.plan is None:
            return "Make your opening plan. You do not know the opponent's."
        return (
            f"Your opening plan costs {standing.cost} and your budget is {standing.budget}. Make one that "
            f"keeps within it (attempt {standing.attempt} of {standing.game.opening_tries}; then the last "
            "one stands)."
        )
    lines = "\n".join(f"- {line}" for line in standing.story)
    result = "won" if standing.won else "did not win"
    over = f" It is over your budget of {standing.budget}." if standing.is_over else ""
    return (
        f"Round {standing.round - 1} of {standing.rounds} was fought, and you {result}.\n{lines}\n"
        f"Your plan cost {standing.cost}.{over} You may revise it for round {standing.round}; the opponent "
        "keeps its plan for that round."
    )


def _state(standing: Standing) -> JsonObject:
    return {
        "game": standing.name,
        "side": standing.side,
        "round": standing.round,
        "rounds": standing.rounds,
        "attempt": standing.attempt,
        "won": standing.won,
        "your_cost": standing.cost,
        "your_plan": standing.plan,
        "opponent_plan": standing.against,
    }


def standing_of(state: Json, game: Game) -> Standing:
    """Reads the block of `told_of` back.

    Raises:
        ValueError: it is no such block.
    """
    if not isinstance(state, Mapping):
        raise ValueError("there is no block that says where the match stands")
    try:
        return Standing(
            game,
            str(state["game"]),
            str(state["side"]),
            int(state["round"]),  # type: ignore[arg-type]
            int(state["rounds"]),  # type: ignore[arg-type]
            int(state["attempt"]),  # type: ignore[arg-type]
            state["your_plan"],  # type: ignore[arg-type]
            state["opponent_plan"],  # type: ignore[arg-type]
            state["won"],  # type: ignore[arg-type]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the block that says where the match stands lacks {error}") from error


def _used(game: Game, side: str, plan: Plan) -> list[JsonObject]:
    """The entries of a catalogue that a plan names."""
    named = set(texts_of(plan))
    return [unit for unit in game.catalogue(side).units if named & set(_names(unit))]


def _names(unit: JsonObject) -> list[str]:
    return [str(unit[key]) for key in ("name", "id") if key in unit]


def _lines(units: Sequence[JsonObject]) -> str:
    return "\n".join(json.dumps(unit, ensure_ascii=False) for unit in units)
