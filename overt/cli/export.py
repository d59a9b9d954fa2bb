"""`overt export`."""

from __future__ import annotations

from overt.cli.options import command
from overt.cli.tables import print_json
from overt.data.text import plain
from overt.tasks.export import FORMATS, ExportConfig
from overt.tasks.export import export as write


@command(ExportConfig)
def export(config: ExportConfig) -> None:
    """A task folder for lm-evaluation-harness, and how it is run there:

        overt export runs/chat --format lm-eval --out lm-eval

        lm_eval --model local-chat-completions --model_args model=M,base_url=URL
        --tasks overt_chat --include_path lm-eval --apply_chat_template

    A configuration with tests and an assertion for promptfoo:

        overt export --suite xstest --format promptfoo --out promptfoo

    Over-refusal and unsafe refusal are measured apart. Answers are judged by overt, which has to be installed
    where the harness runs; the README of the folder says how. What an earlier export wrote to the folder is
    replaced.
    """
    done = write(config)
    if config.as_json:
        print_json(done.to_json())
        return
    for note in done.notes:
        print(f"note      {plain(note)}")
    counts = ", ".join(f"{count:,} {label}" for label, count in done.counts.items())
    print(f"exported  {done.name} for {FORMATS[done.format].harness}: {counts} prompts")
    for name in done.files:
        print(f"wrote     {plain(str(done.folder / name))}")
    print(f"next      {plain(str(done.folder / 'README.md'))} says how it is run")
