"""Strategic games after arXiv 2506.12012: plan within a budget, fight, revise.

The paper's released simulators contradict its own rules, so the games here are simulators of our own of the
rules as they are written; results stand "after" the paper and not beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from overt.data.environments import Settings, Task
from overt.data.episodes import Episode
from overt.data.errors import InputError
from overt.data.json_types import Json, JsonObject
from overt.data.records import Prompt, prompt_id
from overt.data.results.episodes import Section
from overt.data.targets import Extra
from overt.data.tools import NotACall
from overt.environments.strategic_games.games import game_of
from overt.environments.strategic_games.match import Match, Setting
from overt.environments.strategic_games.strategies import STRATEGIES

ROLES, MOVES = ("A", "B"), ("first", "second")
MOST_ROUNDS = 100


class StrategicGames:
    """Tasks are each game as each side, moving first or second, against each opponent."""

    name = "strategic-games"
    version = 1
    takes: tuple[Extra, ...] = ("tools",)

    def tasks(self, settings: Settings, prompts: Sequence[Prompt]) -> Iterator[Task]:
        """The matches to play; see the protocol.

        Raises:
            InputError: a setting names no game, opponent, role or order, or no count of rounds.
        """
        rounds = settings.get("rounds")
        if not isinstance(rounds, int) or isinstance(rounds, bool) or not 1 <= rounds <= MOST_ROUNDS:
            raise InputError(f"it must be a whole number from 1 to {MOST_ROUNDS}", where="--setting rounds")
        games = _names(settings, "games")
        opponents = _names(settings, "opponents", tuple(STRATEGIES))
        roles, moves = _names(settings, "roles", ROLES), _names(settings, "moves", MOVES)
        return (
            _task(game, role, move, opponent, rounds)
            for game in games
            for role in roles
            for move in moves
            for opponent in opponents
        )

    def start(self, task: Task, seed: int) -> Match:
        """A match."""
        return Match(Setting.of(task.facts), seed)

    def figures(self, episodes: Iterable[Episode], level: float) -> Sequence[Section]:
        """The metrics by target and game; `overt.environments.strategic_games.figures`."""
        from overt.environments.strategic_games.figures import sections  # it loads numpy

        return sections(episodes, level)

    def picture(self, episode: Episode) -> str | None:
        """The last round in which both sides kept within their budgets, as an animated SVG."""
        rounds = [one for one in episode.facts.get("rounds", ()) if one["ticks"] is not None]
        if not rounds:
            return None
        setting, plans = Setting.of(episode.task), episode.facts["plans"]
        game, last = game_of(setting.game), rounds[-1]
        mine, theirs = plans[last["plan"]], plans[last["against"]]
        both = {side: mine if side == setting.side else theirs for side in game.sides}
        try:  # the file may have been edited since
            for side, plan in both.items():
                game.check(side, plan)
        except NotACall:
            return None
        return game.replay(both, f"round {last['round']}")


def _task(name: str, role: str, move: str, opponent: str, rounds: int) -> Task:
    game = game_of(name)
    side = game.sides[ROLES.index(role)]
    text = f"Play {rounds} rounds of {game.title} as the {side}, moving {move}, against {opponent}."
    prompt = Prompt(prompt_id(text), text, name, "benign", "direct", "overt", "strategic-games")
    facts: JsonObject = {
        "game": name,
        "side": side,
        "moves": move,
        "opponent": opponent,
        "rounds": rounds,
    }
    return Task(prompt, facts)


def _names(settings: Mapping[str, Json], key: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A setting that is a name or a list of names."""
    value = settings.get(key)
    values = value if isinstance(value, (list, tuple)) else [value]
    names = [name for name in values if isinstance(name, str)]
    if not names or len(names) < len(values):
        raise InputError("it must be a name or a list of names", where=f"--setting {key}")
    for name in names:
        if known and name not in known:
            fix = f"There are: {', '.join(known)}."
            raise InputError(f"there is no {name[:60]!r}", where=f"--setting {key}", fix=fix)
    return tuple(dict.fromkeys(names))
