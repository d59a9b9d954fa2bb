"""How long the twelve scripted players of `strategic-games` take, and how well the searching one plays.

    python benchmarks/strategic_games.py              # 4,320 rounds, then the matches of searching and greedy
    python benchmarks/strategic_games.py --seeds 8    # more matches

4,320 rounds are 12 players x 3 games x 4 settings x 3 opponents x 10 rounds, played by `overt run` itself:
each plan is a request that is journalled, each match an episode. The limit is 120 s on two cores. A match of
the searching player is won by whoever wins most of the rounds after its revisions.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from overt.data.episodes import Episode
from overt.data.run.episodes import episodes_of
from overt.environments.strategic_games.players import PLAYERS
from overt.scoring.stats import wilson

LIMIT_S = 120


def played(players: Sequence[str], out: Path, *options: str) -> tuple[float, list[Episode]]:
    """Runs the suite; the wall seconds of the whole command, and its episodes."""
    targets = [part for name in players for part in ("--target", f"scripted/strategic-games/{name}")]
    command = [sys.executable, "-m", "overt", "run", "--suite", "strategic-games", *targets, *options]
    began = time.perf_counter()
    subprocess.run([*command, "--out", str(out)], check=True, capture_output=True)
    return time.perf_counter() - began, list(episodes_of(out))


def time_of_all(folder: Path) -> bool:
    """Prints what all rounds of all players take, and whether that is within the limit."""
    seconds, episodes = played(list(PLAYERS), folder / "all")
    rounds = sum(len(one.facts["rounds"]) for one in episodes)
    plans = sum(len(one.steps) for one in episodes)
    states = dict(Counter(one.state for one in episodes))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{rounds:,} rounds of {len(episodes)} matches ({states}), {plans:,} plans asked: {seconds:.1f} s, "
        f"{used.ru_utime + used.ru_stime:.1f} s of CPU"
    )
    return seconds < LIMIT_S and rounds == 4320


def duel(folder: Path, seeds: int) -> bool:
    """Prints how often searching beats greedy, and whether it is in 80% of matches."""
    _, episodes = played(
        ["searching"], folder / "duel", "--setting", "opponents=greedy", "--samples", str(seeds)
    )
    games = sorted({one.task["game"] for one in episodes})
    for game in games:
        _tell(game, [one for one in episodes if one.task["game"] == game])
    return _tell("all games", episodes) >= 0.8


def _tell(name: str, episodes: Iterable[Episode]) -> float:
    won = [_is_won(one) for one in episodes]
    found = wilson(sum(won), len(won))
    print(f"  searching beats greedy, {name}: {found.k} of {found.n} matches, {found.rate:.1%} "
          f"[{found.low:.1%}, {found.high:.1%}]")  # fmt: skip
    return found.rate


def _is_won(episode: Episode) -> bool:
    rows = [one for one in episode.facts["rounds"] if one["own"] and one["round"] > 1]
    return 2 * sum(one["win"] for one in rows) > len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4, help="matches of each setting in the duel")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = time_of_all(Path(folder))
        good = duel(Path(folder), options.seeds) and good
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
