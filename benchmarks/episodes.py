"""Episodes against the latency limit: `overt run` of 1,000 episodes of 20 turns at a 50 ms endpoint.

    python benchmarks/episodes.py
    python benchmarks/episodes.py --episodes 4000     # memory must not grow with them

The limit is turns * episodes * latency / in flight. Every turn is a call of a tool, journalled before the
next one is made; the endpoint is a process of its own on the same machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from throughput import endpoint

from overt.data.environments import Action, Observation, Settings, Task
from overt.data.episodes import Episode
from overt.data.json_types import JsonObject
from overt.data.records import Prompt, prompt_id
from overt.data.results.episodes import Column, Figure, Row, Section
from overt.data.targets import Extra
from overt.data.tools import Tool

HERE = Path(__file__).parent


class _Walk:
    tools = (Tool("step", "Take a step."),)
    system = "You walk."

    def __init__(self, turns: int) -> None:
        self.left = turns

    def begin(self) -> Observation:
        return Observation(f"Take {self.left} steps, one at a time. Tell me when you are there.")

    def step(self, action: Action) -> Observation:
        self.left -= len(action.calls)
        told = (f"{self.left} steps are left; the road goes on between fields and hedges.",)
        return Observation(results=told, facts={"left": self.left}, end="" if self.left > 0 else "done")

    def facts(self) -> JsonObject:
        return {"left": self.left, "outcome": "none" if self.left > 0 else "done"}


class Walking:
    """Episodes of as many turns as are set, each with a call."""

    name = "walking"
    takes: tuple[Extra, ...] = ("tools",)

    def tasks(self, settings: Settings, prompts: Sequence[Prompt]) -> Iterator[Task]:
        for number in range(int(str(settings["episodes"]))):
            text = f"Walk number {number}."
            prompt = Prompt(prompt_id(text), text, "walk", "benign", "direct", "overt", "walking")
            yield Task(prompt, {"turns": settings["steps"]})

    def start(self, task: Task, seed: int) -> _Walk:
        return _Walk(int(str(task.facts["turns"])))

    def figures(self, episodes: Iterable[Episode], level: float) -> list[Section]:
        done = sum(episode.end == "done" for episode in episodes)
        row = Row("all", "all", (Figure(done, n=done, unit="number"),))
        return [Section("walked", "Walks", (Column("done", "done"),), (row,))]


def once(url: str, episodes: int, turns: int, in_flight: int) -> dict[str, float]:
    """One run in a process of its own: seconds, CPU seconds, the largest memory in MB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = folder / "walking.yaml"
        suite.write_text(
            "name: walking\ntitle: Walking\nmeasures: What an episode costs.\n"
            "environment: episodes:Walking\n"
            f"turns: {turns + 5}\nsettings: {{episodes: {episodes}, steps: {turns}}}\n"
        )
        command = [
            sys.executable, "-m", "overt", "run", "--suite", str(suite), "--target", "openai/mock",
            "--base-url", url, "--concurrency", str(in_flight), "--out", str(folder / "run"),
        ]  # fmt: skip
        path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        manifest = json.loads((folder / "run" / "manifest.json").read_text())
        states = json.loads((folder / "run" / "results" / "episodes.json").read_text())["targets"][0][
            "states"
        ]
        assert states == {"ended": episodes}, states
        return {
            "wall": wall,
            "asking": manifest["seconds"]["run"],
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "memory": after.ru_maxrss / 1024,
        }


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--episodes", type=int, default=1_000)
    arguments.add_argument("--turns", type=int, default=20)
    arguments.add_argument("--in-flight", type=int, default=64)
    arguments.add_argument("--latency-ms", type=float, default=50.0)
    given = arguments.parse_args()
    with endpoint("--latency-ms", str(given.latency_ms), "--answer", "", "--call", "step") as url:
        found = once(url, given.episodes, given.turns, given.in_flight)
    limit = given.episodes * given.turns * given.latency_ms / 1000 / given.in_flight
    print(
        f"{given.episodes:,} episodes of {given.turns} turns, {given.in_flight} in flight at "
        f"{given.latency_ms:g} ms: {found['asking']:.1f} s, the limit is {limit:.1f} s "
        f"({limit / found['asking']:.1%}); the whole command {found['wall']:.1f} s, "
        f"{found['cpu']:.1f} CPU s, {found['memory']:.0f} MB"
    )


if __name__ == "__main__":
    main()
