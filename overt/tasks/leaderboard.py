"""`overt leaderboard`: the results of several runs as one table, or several where they cannot be compared."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from overt.data.errors import InputError
from overt.data.progress import Progress, Silent
from overt.data.records import Prompt
from overt.data.results.board import Board, BoardCategory, BoardPrompts, BoardRow, Leaderboard
from overt.data.results.files import read_summary
from overt.data.results.summary import Rate, Rates, TargetSummary
from overt.data.run import brief
from overt.data.run.brief import told
from overt.data.run.files import dump_json, text_bytes, write_atomic
from overt.data.run.finished import open_run
from overt.data.run.shards import refuse_empty
from overt.data.typed_json import from_json, to_json
from overt.publish.tables import whole
from overt.report.leaderboard import render_html, render_markdown, space_head
from overt.scoring.summary.metrics import METRICS, rate_of

FILES = ("index.html", "leaderboard.json", "README.md")


def write_leaderboard(
    runs: Sequence[Path],
    out: Path,
    *,
    title: str = "Over-refusal leaderboard",
    progress: Progress | None = None,
) -> Path:
    """Writes `index.html`, `leaderboard.json` and `README.md` (whose head makes the folder a static Space)
    into `out`. Returns the path of the page.

    Raises:
        InputError: a folder is not a complete run of `overt run`, or the same one stands there twice.
        RunError: `out` cannot be written.
    """
    data = whole(to_json(build_leaderboard(runs, title=title, progress=progress)))
    board = from_json(Leaderboard, data)
    write_atomic(out / "leaderboard.json", dump_json(data))
    markdown = space_head(title) + render_markdown(board)
    write_atomic(out / "README.md", text_bytes(markdown))
    write_atomic(out / "index.html", text_bytes(render_html(board)))
    return out / "index.html"


def push_leaderboard(out: Path, repo: str, *, token: str | None = None, update: bool = False) -> str:
    """Uploads the files of `write_leaderboard` as a static Space. Returns the address of the commit.

    Raises:
        InputError, RunError: as `overt.publish.upload`.
    """
    from overt.data.hub import is_hub_id
    from overt.publish.upload import upload_space

    if not is_hub_id(repo):
        raise InputError(
            f"--push {repo!r} does not have the form ORG/NAME", fix="For instance: my-org/over-refusal"
        )
    files = [(name, (out / name).read_bytes()) for name in FILES]
    return upload_space(repo, files, token=token, update=update)


def build_leaderboard(runs: Sequence[Path], *, title: str, progress: Progress | None = None) -> Leaderboard:
    """Puts the runs on boards, the board with the most rows first.

    Rates are comparable only over the same prompts under the same policy, asked one by one or in the same
    suite of many turns, so runs that differ in any of these get separate boards. Rows are sorted by
    over-refusal, lowest first.

    Raises:
        InputError: a folder is not a complete run of `overt run`, or the same one stands there twice.
    """
    if len({run.resolve() for run in runs}) < len(runs):
        raise InputError("a run is named twice", fix="Give each RUN once.")
    boards: dict[tuple[str, str, str], Board] = {}
    levels = set()
    for folder in runs:
        run = open_run(folder, "run", played=True)
        refuse_empty(run.results.kinds, folder)
        summary = read_summary(folder)
        prompts = told(brief.prompts_of(folder), progress or Silent())
        policy, set_hash = run.record.policy.to_json(), prompts_hash(prompt for _, prompt in prompts)
        key = run.record.policy.hash, set_hash, run.played_suite
        levels.add(summary.level)
        counts = summary.prompts
        asked = BoardPrompts(counts.benign, counts.unsafe, counts.clusters, hash=set_hash)
        board = boards.setdefault(key, Board(policy=policy, prompts=asked, rows=(), suite=run.played_suite))
        below, version = run.results.below_coverage, run.results.versions.get("overt", "")
        rows = tuple(_row(t, folder, version, is_covered=t.name not in below) for t in summary.targets)
        boards[key] = dataclasses.replace(board, rows=board.rows + rows)
    in_order = [
        dataclasses.replace(board, rows=tuple(sorted(board.rows, key=_order))) for board in boards.values()
    ]
    in_order.sort(key=lambda board: -len(board.rows))
    return Leaderboard(title=title, level=max(levels), boards=tuple(in_order))


def prompts_hash(prompts: Iterable[Prompt | brief.Prompt]) -> str:
    """Hashes the ids and labels of prompts, in any order: 16 hex digits, equal for the same prompts."""
    blob = "\n".join(sorted(f"{prompt.id} {prompt.label}" for prompt in prompts))
    return hashlib.blake2b(blob.encode(), digest_size=8).hexdigest()


def _row(target: TargetSummary, run: Path, version: str, *, is_covered: bool) -> BoardRow:
    return BoardRow(
        target=target.name,
        run=run.resolve().name,
        kind=target.kind,
        rates=Rates(**_shown(target, target)),
        unsafe_refusal=target.unsafe_refusal,  # explains a missing rate
        coverage=target.coverage.share,
        is_covered=is_covered,
        categories=tuple(
            BoardCategory(category=row.category, title=row.title, **_shown(target, row))
            for row in target.categories
        ),
        overt=version,
    )


def _shown(target: TargetSummary, row: Rates) -> dict[str, Rate | None]:
    return {name: rate_of(target, row, name) for name in METRICS}


def _order(row: BoardRow) -> tuple[bool, float, str]:
    rate = row.rates.over_refusal
    return rate is None, rate.rate if rate else 0.0, row.target
