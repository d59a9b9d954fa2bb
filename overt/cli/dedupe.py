"""`overt dedupe`."""

from __future__ import annotations

from overt.cli.options import command
from overt.cli.tables import print_json
from overt.data.progress import make_progress
from overt.data.text import plain
from overt.tasks.dedupe import DedupeConfig
from overt.tasks.dedupe import dedupe as task


@command(DedupeConfig)
def dedupe(config: DedupeConfig) -> None:
    """Rows whose words and letters are nearly those of an earlier row go; the others stay as they are:

        overt dedupe prompts.csv --out unique.jsonl --drops repeats.jsonl

    Several files at once, the column named, by meaning:

        overt dedupe a.parquet:caption b.jsonl --out unique.jsonl --encoder minilm --threshold 0.9

    More than a memory holds, from files of bounded size, here or on a Ray cluster:

        overt dedupe parts/*.parquet --out unique.jsonl --engine local
        overt dedupe parts/*.parquet --out unique.jsonl --engine ray --scratch /shared/scratch

    Exact repeats differ by case, punctuation and blanks alone.
    """
    done = task(config, make_progress(config.quiet))
    if config.as_json:
        print_json(done.to_json())
        return
    print(f"kept      {done.kept:,} of {done.rows:,} rows")
    print(
        f"gone      {done.exact:,} exact repeats, {done.near:,} near repeats, {done.empty:,} without a text"
    )
    print(f"compared  {plain(done.index)}; threshold {config.limit:g}")
    print(f"wrote     {plain(str(done.out))}")
