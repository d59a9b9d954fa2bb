"""`overt leaderboard`: the results of several runs as one table, or several where they cannot be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overt.data.errors import InputError
from overt.data.records import Prompt
from overt.data.store import dump_json, read_json, write_atomic
from overt.evaluate import RESULTS, read_run
from overt.publish.tables import whole
from overt.report.leaderboard import render_html, render_markdown, space_head
from overt.report.metrics import METRICS, rate_of

FILES = ("index.html", "leaderboard.json", "README.md")


def write_leaderboard(runs: Sequence[Path], out: Path, *, title: str = "Over-refusal leaderboard") -> Path:
    """Writes `index.html`, `leaderboard.json` and `README.md` (whose head makes the folder a static Space)
    into `out`; the path of the page.

    Raises:
        InputError: a folder that is no complete run of `overt run`, or the same one twice.
        RunError: `out` cannot be written.
    """
    board = whole(build_leaderboard(runs, title=title))
    write_atomic(out / "leaderboard.json", dump_json(board))
    markdown = space_head(title) + render_markdown(board)
    write_atomic(out / "README.md", markdown.encode("utf-8", "replace"))
    write_atomic(out / "index.html", render_html(board).encode("utf-8", "replace"))
    return out / "index.html"


def push_leaderboard(out: Path, repo: str, *, token: str | None = None, update: bool = False) -> str:
    """Serves what `write_leaderboard` wrote as a static Space; the address of the commit.

    Raises:
        InputError, RunError: as `overt.publish.upload`.
    """
    from overt.data.hub import is_hub_id
    from overt.publish.upload import upload_space

    if not is_hub_id(repo):
        raise InputError(f"--push {repo!r} is no ORG/NAME", fix="For instance: my-org/over-refusal")
    files = [(name, (out / name).read_bytes()) for name in FILES]
    return upload_space(repo, files, token=token, update=update)


def build_leaderboard(runs: Sequence[Path], *, title: str) -> dict[str, Any]:
    """Plain JSON data: {"title", "level", "boards": [{"policy", "prompts", "rows": [...]}]}.

    Rates are comparable over the same prompts under the same policy alone, so runs that differ in either
    stand on boards of their own, the fullest first. Rows stand by over-refusal, the least first.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise InputError("a run is named twice", fix="Give each RUN once.")
    boards: dict[tuple[str, str], dict[str, Any]] = {}
    levels = set()
    for run in runs:
        manifest, prompts, *_ = read_run(run)
        summary = read_json(run / RESULTS / "summary.json")
        policy = manifest["identity"]["policy"]
        levels.add(summary["level"])
        board = boards.setdefault(
            (policy["hash"], prompts_hash(prompts)),
            {
                "policy": policy,
                "prompts": {**summary["prompts"], "hash": prompts_hash(prompts)},
                "rows": [],
            },
        )
        board["rows"] += [
            _row(target, run, manifest["below_coverage"], manifest["versions"]["overt"])
            for target in summary["targets"]
        ]
    for board in boards.values():
        board["rows"].sort(key=_order)
    ordered = sorted(boards.values(), key=lambda board: -len(board["rows"]))
    return {"title": title, "level": max(levels), "boards": ordered}


def prompts_hash(prompts: Sequence[Prompt]) -> str:
    """Says whether two runs asked the same: 16 hex digits over ids and labels, in any order."""
    blob = "\n".join(sorted(f"{prompt.id} {prompt.label}" for prompt in prompts))
    return hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()


def _row(target: dict[str, Any], run: Path, below: Sequence[str], version: str) -> dict[str, Any]:
    return {
        "target": target["name"],
        "run": run.resolve().name,
        "kind": target["kind"],
        "rates": {name: rate_of(target, target, name) for name in METRICS},
        "unsafe_refusal": target["unsafe_refusal"],  # says why another rate is missing
        "coverage": target["coverage"]["share"],
        "is_covered": target["name"] not in below,
        "categories": [
            {
                "category": row["category"],
                "title": row["title"],
                **{name: rate_of(target, row, name) for name in METRICS},
            }
            for row in target["categories"]
        ],
        "overt": version,
    }


def _order(row: dict[str, Any]) -> tuple[bool, float, str]:
    rate = row["rates"]["over_refusal"]
    return rate is None, rate["rate"] if rate else 0.0, row["target"]
