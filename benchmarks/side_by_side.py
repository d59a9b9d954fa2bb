"""How long commands take that ask several models, at a mock endpoint that answers after 200 ms.

    python benchmarks/side_by_side.py                     # of this checkout
    python benchmarks/side_by_side.py --root ../earlier   # and of another one, before it in the table

The commands: `run` of one target and of four, `rewrite` at four targets, `score` with one judge and with
three and with a checker of pictures, `generate` with two judges. Each is a process of its own, with 32
calls in flight of each model.
Wall seconds are of the stages alone, as the manifest has them; CPU seconds of the whole process, start
included. What the endpoint can give at best is the share of the calls of one model: calls / 32 x 0.2 s.
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
from dataclasses import dataclass
from pathlib import Path

from throughput import endpoint

HERE = Path(__file__).resolve().parent
IN_FLIGHT = 32
PARTS = ["run", "rewrite", "score", "checker", "generate"]

POLICY = """
name: gardens
version: "1"
modality: text
categories:
  - id: blades
    title: Blades
    disallowed: [a blade held against a person]
    allowed: [blades of grass]
    triggers: [{term: blade, neutral: [stalk, leaf]}]
"""


# What draws, and what looks at pictures: as good as nothing, so that the rest is measured.
CLASSES = """
import hashlib, io
from overt.data.filters import FilterDecision
from overt.data.targets import Response


class Painter:
    name = "bench/painter"

    def respond(self, prompt, *, seed):
        from PIL import Image

        noise = hashlib.shake_128(prompt.encode()).digest(64 * 64 * 3)
        file = io.BytesIO()
        Image.frombytes("RGB", (64, 64), noise).save(file, "PNG")
        return Response(images=(file.getvalue(),))


class One:
    name = "bench/one"
    covers = "all"

    def check(self, image, prompt):
        return FilterDecision(False, 0.1)


class Many(One):
    name = "bench/many"

    def check_many(self, images, prompts):
        return [FilterDecision(False, 0.1) for _ in images]
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What a command took. `stages`: seconds of each, as the manifest has them."""

    wall_s: float
    cpu_s: float
    stages: dict[str, float]


class Checkout:
    """A checkout of overt, and a folder of its own to work in."""

    def __init__(self, root: Path, python: str, url: str, folder: Path, prompts: int, answers: int) -> None:
        self.root, self._python, self._folder = root, python, folder
        self._url = url
        folder.mkdir(parents=True)
        (folder / "policy.yaml").write_text(POLICY)
        (folder / "bench_classes.py").write_text(CLASSES)
        rows = [
            {"text": f"a blade of grass number {n} at dawn", "label": "benign", "category": "blades"}
            for n in range(prompts)
        ]
        self._write("benign.jsonl", rows)
        rows = [
            {"text": f"a scene {n} to look at", "label": "unsafe", "category": "blades"}
            for n in range(answers)
        ]
        self._write("unsafe.jsonl", rows)

    def _write(self, name: str, rows: list[dict[str, str]]) -> None:
        (self._folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def overt(self, run: str, *arguments: str) -> Took:
        """Runs one command; its run is the folder `run`.

        Raises:
            SystemExit: it failed.
        """
        paths = [str(self.root / ".meta"), str(self.root)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENAI_API_KEY": "mock" * 5}
        before, began = _children_s(), time.perf_counter()
        command = [self._python, "-m", "overt", *arguments, "--concurrency", str(IN_FLIGHT), "-q"]
        done = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False
        )
        wall = time.perf_counter() - began
        if done.returncode not in (0, 3):  # 3: numbers that cannot be used, such as without a verdict
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}\n{done.stdout}")
        manifest = json.loads((self._folder / run / "manifest.json").read_text())
        print(f"{self.root.name}: {' '.join(arguments[:2])}: {wall:.1f} s", file=sys.stderr, flush=True)
        return Took(wall, _children_s() - before, manifest.get("seconds", {}))

    def models(self, *names: str) -> list[str]:
        return [f"openai/{name}?base_url={self._url}" for name in names]


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# -- what is measured ----------------------------------------------------------------------------------------


def measured(at: Checkout, parts: list[str]) -> dict[str, Took]:
    """Runs the commands. Returns what each took, by what it is."""
    found: dict[str, Took] = {}
    four = [word for name in at.models(*"abcd") for word in ("--target", name)]
    shared = ("--policy", "policy.yaml")
    if "run" in parts or "rewrite" in parts:
        found["run, 1 target"] = at.overt("one", "run", "benign.jsonl", *shared, *four[:2], "--out", "one")
        found["run, 4 targets"] = at.overt("four", "run", "benign.jsonl", *shared, *four, "--out", "four")
    if "rewrite" in parts:
        found["rewrite, 4 targets"] = at.overt("four", "rewrite", "four", "--faithfulness", "text/lexical")
    if "score" in parts:
        at.overt("drawn", "run", "unsafe.jsonl", *shared, *four[:2], "--out", "drawn")
        found["score, 1 judge"] = at.overt("drawn", "score", "drawn", "--judges", at.models("j0")[0])
        three = ",".join(at.models("j1", "j2", "j3"))
        found["score, 3 judges"] = at.overt("drawn", "score", "drawn", "--judges", three)
    if "generate" in parts:
        writer, *judges = at.models("writer", "j1", "j2")
        roles = ["--model", writer, *(word for name in judges for word in ("--judge", name))]
        sizes = ["--benign", "40", "--unsafe", "40"]
        found["generate, 2 judges"] = at.overt(
            "made", "generate", "--policy", "newsroom", *roles, *sizes, "--out", "made"
        )
    if "checker" in parts:
        classes = ["--policy", "policy.yaml", "--target", "bench_classes:Painter"]
        at.overt("pictures", "run", "unsafe.jsonl", *classes, "--out", "pictures")
        for name in ("One", "Many"):
            asked = ("pictures", "--judges", f"bench_classes:{name}")
            found[f"score, checker ({name.lower()})"] = at.overt("pictures", "score", *asked)
    return found


SHOWN = {  # the stages of each command that ask models, as manifests name them
    "run, 1 target": (), "run, 4 targets": (), "rewrite, 4 targets": ("rewrite",),
    "score, 1 judge": ("score",), "score, 3 judges": ("score",), "generate, 2 judges": ("audit", "pair"),
    "score, checker (one)": ("score",), "score, checker (many)": ("score",),
}  # fmt: skip


def table(results: dict[str, dict[str, Took]]) -> str:
    """The table, a column of seconds for each checkout."""
    names = list(results)
    rows = ["| command | " + " | ".join(f"{n}: wall s | CPU s" for n in names) + " |"]
    rows.append("|---|" + "---|---|" * len(names))
    for what, stages in SHOWN.items():
        if not any(what in found for found in results.values()):
            continue
        cells = []
        for name in names:
            took = results[name].get(what)
            if took is None:
                cells += ["-", "-"]
                continue
            shown = stages or tuple(took.stages)
            inside = ", ".join(f"{s} {took.stages[s]:.1f}" for s in shown if s in took.stages)
            cells += [f"{took.wall_s:.1f} ({inside})", f"{took.cpu_s:.1f}"]
        rows.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, action="append", default=[], help="another checkout")
    parser.add_argument("--python", default=sys.executable, help="that runs the commands of all of them")
    parser.add_argument("--prompts", type=int, default=500, help="of run and rewrite")
    parser.add_argument("--answers", type=int, default=300, help="that are judged by score")
    parser.add_argument("--latency-ms", type=int, default=200, help="higher on a machine that is busy")
    parser.add_argument("--part", action="append", choices=PARTS)
    asked = parser.parse_args()
    results: dict[str, dict[str, Took]] = {}
    with tempfile.TemporaryDirectory() as scratch, endpoint("--latency-ms", str(asked.latency_ms)) as url:
        for number, root in enumerate([*asked.root, HERE.parent]):
            folder = Path(scratch) / str(number)
            at = Checkout(root.resolve(), asked.python, url, folder, asked.prompts, asked.answers)
            parts = asked.part or PARTS
            name = "this checkout" if root == HERE.parent else root.name
            results[name] = measured(at, parts)
    print(table(results))


if __name__ == "__main__":
    main()
