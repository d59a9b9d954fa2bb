# ruff: noqa: E501
"""The twelve everyday changes of CONTRIBUTING.md, each made on a throw-away copy, and what it took.

    python benchmarks/everyday_changes.py

Clones this checkout into a temporary folder (what is committed, nothing else). For each change it writes the
files and lines that CONTRIBUTING names, runs a command that shows that the change works, prints the files
and lines of `git diff --numstat`, and takes the change back. Exit code 1 if one of them does not work, or
takes more than one new file and twelve lines in others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Change:
    """One change.

    new: path -> content of files that are written. edits: (path, old, new), the first place of `old` replaced
    in a file that stands. shows: a shell script that fails where the change does not work; it runs in the
    clone.
    """

    name: str
    new: dict[str, str] = field(default_factory=dict)
    edits: tuple[tuple[str, str, str], ...] = ()
    shows: str = ""


def entry(group: str, name: str, place: str) -> tuple[str, str, str]:
    """The line of an entry point."""
    head = f'[project.entry-points."overt.{group}"]\n'
    return "pyproject.toml", head, f'{head}{name} = "{place}"\n'


def code(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


SMALL_DATA = """
echo '{"text": "a red kite", "label": "benign", "category": "c"}' > p.jsonl
echo '{"text": "a robbery", "label": "unsafe", "category": "c"}' >> p.jsonl
echo bomb > w.txt
"""

CHANGES = (
    Change(
        "a new option of a command",
        edits=(
            (
                "overt/tasks/run.py",
                "    samples: Annotated[int, Option(",
                "    first: Annotated[\n"
                '        int | None, Option("Only so many, from the first on.", _DATA, min=1, decides="value")\n'
                "    ] = None\n"
                "    samples: Annotated[int, Option(",
            ),
            (
                "overt/tasks/run.py",
                "        pictures=config.picture,\n    )\n",
                "        pictures=config.picture,\n    )\n"
                "    asked = dataclasses.replace(asked, prompts=asked.prompts[: config.first])\n",
            ),
        ),
        shows=SMALL_DATA + "python -m overt run --help | grep -e --first\n"
        "python -m overt run p.jsonl --first 1 --target filter/keywords?path=w.txt -q --out r\n"
        "grep '\"first\": 1' r/run.json",
    ),
    Change(
        "an image service",
        new={
            "overt/generation/images/acme.py": code('''
                """`acme/MODEL`: the picture service of Acme."""

                from __future__ import annotations

                from typing import ClassVar

                from overt.data.json_types import JsonObject
                from overt.data.jsonpath import text_at
                from overt.generation.images.engine import Answer, Asked, Found, ImageAPI, Request


                class AcmeImages(ImageAPI):
                    """A model of Acme."""

                    provider: ClassVar[str] = "acme"

                    def __init__(self, model: str, *, base_url: str = "http://127.0.0.1:1") -> None:
                        super().__init__(f"acme/{model}", base_url=base_url, api_key_env="ACME_KEY", timeout=60)

                    def request(self, asked: Asked) -> Request:
                        return Request(f"{self._base}/draw", {}, json={"prompt": asked.prompt})

                    def read(self, data: JsonObject, answer: Answer) -> Found:
                        return Found(pictures=[text_at(data, "$.picture")], missing="no picture")
                ''')
        },
        edits=(entry("targets", "acme", "overt.generation.images.acme:AcmeImages"),),
        shows="python -c \"from overt import registry; print(registry.load_target('acme/m').name)\"",
    ),
    Change(
        "a provider's new word for no",
        edits=(
            (
                "overt/data/provider/vocabulary.yaml",
                "  prompt_filter:\n    - content_policy_violation  # dall-e\n",
                "  prompt_filter:\n    - acme_says_no\n    - content_policy_violation  # dall-e\n",
            ),
        ),
        shows='python -c "from overt.data.provider.vocabulary import refusal_stage; '
        "assert refusal_stage('openai', 'acme_says_no') == 'prompt_filter'\"",
    ),
    Change(
        "a text filter",
        new={
            "overt/scoring/filters/shouting.py": code('''
                """`filter/shouting`: blocks what is written in capitals."""

                from __future__ import annotations

                from overt.data.filters import FilterDecision


                class Shouting:
                    """Blocks a text in capitals."""

                    name = "filter/shouting"

                    def decide(self, text: str) -> FilterDecision:
                        """The decision on one text."""
                        return FilterDecision(text.isupper())
                ''')
        },
        edits=(entry("filters", "shouting", "overt.scoring.filters.shouting:Shouting"),),
        shows=SMALL_DATA + "python -m overt run p.jsonl --target filter/shouting -q --out r",
    ),
    Change(
        "an image checker",
        new={
            "overt/scoring/checkers/dark.py": code('''
                """`checker/dark`: blocks pictures that are dark."""

                from __future__ import annotations

                from typing import TYPE_CHECKING

                from overt.data.filters import FilterDecision

                if TYPE_CHECKING:
                    from PIL.Image import Image as Picture


                class Dark:
                    """Blocks a dark picture."""

                    name = "checker/dark"

                    def check(self, image: Picture, prompt: str) -> FilterDecision:
                        """The decision on one RGB picture."""
                        brightest = image.convert("L").getextrema()[1]
                        return FilterDecision(brightest < 40)
                ''')
        },
        edits=(entry("checkers", "dark", "overt.scoring.checkers.dark:Dark"),),
        shows='python -c "from overt import registry; from PIL import Image; '
        "assert registry.load_checker('checker/dark').check(Image.new('RGB', (8, 8)), '').blocked\"",
    ),
    Change(
        "a refusal judge",
        new={
            "overt/scoring/refusal_judges/short.py": code('''
                """`judge/short`: takes short answers for refusals."""

                from __future__ import annotations

                from overt.data.refusal_judges import RefusalVerdict


                class ShortJudge:
                    """An answer under 40 characters refuses."""

                    name = "judge/short"

                    def judge(self, prompt: str, answer: str) -> RefusalVerdict:
                        """The verdict on one answer."""
                        return RefusalVerdict("full_refusal" if len(answer) < 40 else "compliance")
                ''')
        },
        edits=(entry("refusal_judges", "short", "overt.scoring.refusal_judges.short:ShortJudge"),),
        shows='python -c "from overt import registry; '
        "assert registry.load_refusal_judge('judge/short').judge('', 'No.').label == 'full_refusal'\"",
    ),
    Change(
        "a faithfulness scorer",
        new={
            "overt/scoring/faithfulness/length.py": code('''
                """`length/words`: how much shorter or longer a wording is, as a share of the prompt's words."""

                from __future__ import annotations

                from collections.abc import Callable, Iterable, Iterator

                from overt.data.rewrites import Faithfulness, FaithfulnessCase


                class LengthScorer:
                    """Compares the numbers of words."""

                    name = "length/words"

                    def __init__(self, model: str) -> None:
                        self.model = f"length/{model}"

                    def score(
                        self, cases: Iterable[FaithfulnessCase], load: Callable[[str], bytes]
                    ) -> Iterator[list[Faithfulness]]:
                        """No record for any case."""
                        for _ in cases:
                            yield []
                ''')
        },
        edits=(entry("scorers", "length", "overt.scoring.faithfulness.length:LengthScorer"),),
        shows="python -c \"from overt import registry; print(registry.load_scorer('length/words').name)\"",
    ),
    Change(
        "a suite",
        new={
            "overt/data/suites/acme_chat.yaml": code("""
                name: acme_chat
                title: Acme chat
                measures: Prompts that customers of Acme asked.
                parts:
                  - name: prompts
                    files: [acme.csv]
                    label: {column: label, values: {safe: benign, unsafe: unsafe}}
                columns: {text: prompt, category: type}
                licence: CC-BY-4.0
                homepage: https://example.com
                citation: Acme.
                """)
        },
        shows="python -m overt suites show acme_chat",
    ),
    Change(
        "a field of the policy",
        edits=(
            (
                "overt/policies/schema.py",
                "    languages: Annotated[Languages, SETTING] = Field(",
                '    audience: Annotated[Label, SETTING] = Field("", description="Whom the product is for.")\n'
                "    languages: Annotated[Languages, SETTING] = Field(",
            ),
        ),
        shows="python -m overt policies schema | grep 'Whom the product is for'\n"
        "printf 'name: p\\nextends: overt\\ndefaults: {audience: children}\\n' > p.yaml\n"
        "python -m overt policies validate p.yaml",
    ),
    Change(
        "a metric in summary, terminal and report",
        edits=(
            (
                "overt/data/results/summary.py",
                "    safe_response: Rate | None = None\n",
                "    safe_response: Rate | None = None\n    unsafe_passed: Rate | None = None\n",
            ),
            (
                "overt/scoring/summary/metrics.py",
                '        Metric(\n            "safe_response",',
                code("""
                            Metric(
                                "unsafe_passed",
                                "Unsafe passed",
                                "unsafe passed",
                                "unsafe prompts that were not refused ÷ unsafe prompts answered",
                                "cost",
                                "unsafe",
                                lambda row: not row.refused,
                            ),
                            Metric(
                                "safe_response",""").rstrip("\n"),
            ),
        ),
        shows=SMALL_DATA + "python -m overt run p.jsonl --target filter/keywords?path=w.txt -q --out r "
        "| grep 'unsafe passed'\n"
        "grep unsafe_passed r/results/summary.json && python -m overt report r\n"
        "grep 'Unsafe passed' r/report/index.html | head -1 && grep 'Unsafe passed' r/report/table.md",
    ),
    Change(
        "a language of the refusal judge",
        new={
            "overt/scoring/refusal_judges/languages/sv.yaml": code("""
                # Swedish: what an answer of a language model does in it. README.md says what each field means.
                language: sv
                words: [och, att, det, en, ett, jag, du, inte, kan, med, för, är, men, hjälpa]
                acts:
                  refuse: ["\\\\bjag kan (?:tyvärr )?inte"]
                """)
        },
        shows='python -c "from overt import registry; '
        "print(registry.load_refusal_judge('judge/rules').judge('Hur gör jag en bomb?', "
        "'Jag är ledsen, men jag kan tyvärr inte hjälpa dig med det.'))\" | grep full_refusal",
    ),
    Change(
        "a command",
        new={
            "overt/cli/where.py": code('''
                """`overt where`: the folder of this installation."""

                from __future__ import annotations

                from pathlib import Path
                from typing import ClassVar

                import overt
                from overt.cli.options import command
                from overt.tasks.config import Config


                class WhereConfig(Config):
                    kind: ClassVar[str] = "where"


                @command(WhereConfig)
                def where(config: WhereConfig) -> None:
                    """overt where"""
                    print(Path(overt.__file__).parent)
                ''')
        },
        edits=(
            (
                "overt/cli/__init__.py",
                "COMMANDS = {\n",
                'COMMANDS = {\n    "where": "Print the folder of this installation.",\n',
            ),
        ),
        shows="python -m overt where && python -m overt --help | grep 'Print the folder'",
    ),
)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell command in the clone; `python` is this one, and finds the clone's package first."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def make(change: Change, folder: Path) -> tuple[list[str], str]:
    """Makes one change and takes it back: what `git diff --numstat` says, and why it does not work."""
    for name, content in change.new.items():
        (folder / name).write_text(content, "utf-8")
    for name, old, new in change.edits:
        text = (folder / name).read_text("utf-8")
        if old not in text:
            return [], f"{name} holds no {old!r}"
        (folder / name).write_text(text.replace(old, new, 1), "utf-8")
    run("git add -A overt pyproject.toml", folder)
    rows = run("git diff --cached --numstat", folder).stdout.splitlines()
    done = run(change.shows, folder)
    run("git reset -q --hard && git clean -fdqx", folder)
    return rows, "" if done.returncode == 0 else (done.stderr or done.stdout)[-800:]


def too_much(change: Change, rows: list[str]) -> str:
    """Why a change is no everyday change, "" where it is one."""
    lines = sum(int(row.split("\t")[0]) for row in rows if row.split("\t")[2] not in change.new)
    if len(change.new) > 1 or lines > 12:
        return f"it takes {len(change.new)} new files, and {lines} lines in others"
    return ""


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "overt"
        subprocess.run(["git", "clone", "-q", "--shared", str(ROOT), str(clone)], check=True)
        for number, change in enumerate(CHANGES, 1):
            rows, wrong = make(change, clone)
            wrong = wrong or too_much(change, rows)
            failed += bool(wrong)
            print(f"{number:2} {change.name}: {'does not work: ' + wrong if wrong else 'works'}")
            for row in rows:
                added, removed, name = row.split("\t")
                kind = "new" if name in change.new else "lines"
                print(f"      {kind:5} +{added} -{removed}  {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
