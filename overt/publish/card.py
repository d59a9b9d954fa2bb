"""README.md of a repository: the Hub's metadata, and what people need to know before they use it.

Every text of unknown origin is escaped on its way in: it can be neither Markdown nor HTML nor YAML.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from overt.data.export import NO_LICENCE, escape_markdown, render_gold
from overt.data.json_types import JsonObject
from overt.data.purposes import purpose_of
from overt.data.text import encodable
from overt.publish.tables import Repo

CITATION = """\
@article{cheng2025overt,
  title   = {OVERT: A Benchmark for Over-Refusal Evaluation on Text-to-Image Models},
  author  = {Cheng, Ziheng and Huang, Yixiao and Xu, Hui and Sojoudi, Somayeh and Zhao, Xuandong and
             Song, Dawn and Mei, Song},
  journal = {arXiv preprint arXiv:2505.21347},
  year    = {2025}
}"""
RUN_KEY = "overt_run"  # in the card's metadata: which run a repository holds
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_GATE = (
    "These prompts, and any pictures made from them, are what a safety policy disallows. Access is for "
    "testing and improving safety filters and models. By asking for it you agree to use them for nothing "
    "else, not to pass them on, and not to train with them a model that answers such requests."
)
_GATE_FIELDS = {
    "Affiliation": "text",
    "What you want to test": "text",
    "I will use this for testing and improving safety only": "checkbox",
}
USE = (
    "Measuring over-refusal: how often a model or a filter turns away benign prompts, and, on unsafe ones, "
    "what that caution buys. Report both figures together, by category, with the policy's hash: what is "
    "benign under this policy can be unsafe under another.",
    "Not for training. A model or a filter that has seen these prompts can no longer be measured with them.",
)
_RISKS = (
    "Labels are those of the judges named here under one policy. They carry those judges' mistakes and the "
    "norms of whoever wrote the policy.",
    "Prompts that one model wrote, audited or was probed with favour that model; rates measured on it are no "
    "fair comparison with others.",
)
_RISKS_UNSAFE = (
    "The unsafe prompts ask for what the policy disallows. They are short requests without instructions, and "
    "are there to test filters; do not feed them to systems without one.",
)
_RISKS_PICTURES = (
    "The pictures are machine-made and may resemble real people or protected works. Encoding them anew took "
    "away the content credentials that some services sign their pictures with: do not pass them on as "
    "photographs.",
)


@dataclass(frozen=True)
class Facts:
    """What the card says beside the data itself. Texts may be of any origin; they are escaped here.

    Args:
        run: id of the run, by which a later upload knows its own repository.
        title, summary: in words.
        policy: name, version, hash, modality.
        made: name and value of everything known of the making.
        counts: per category, a header and rows.
        stages: a header and rows; empty for none.
        samples: category and one benign prompt each.
        results: Markdown that is escaped already; "" for none.
        auditors: who gave the labels; `nobody` is said where there are none. `agreement`: how far they agree,
            in words. `reviewed`: what people say of the labels. `gold`: how the judges did on gold items, by
            the keys of `overt.data.export`.
        mentions: what share of the benign prompts only quotes a word, in a sentence; "" if that is not asked.
        measuring: how to measure with it, as Markdown that is escaped already; "" for results.
        notes: warnings for the reader.
        license: identifier as the Hub knows it, "" for none chosen.
        prompts_from: whose prompts they are, where somebody else published them, with licence and citation.
        command: what makes it again, ready for a shell.
        checks: what the scan found and what was done with the pictures.
        published: date, YYYY-MM-DD.
    """

    run: str
    title: str
    summary: str
    policy: Mapping[str, str]
    made: Sequence[tuple[str, str]] = ()
    counts: Sequence[Sequence[object]] = ()
    stages: Sequence[Sequence[object]] = ()
    samples: Sequence[tuple[str, str]] = ()
    results: str = ""
    auditors: Sequence[str] = ()
    nobody: str = "No model and no person has checked the labels."
    agreement: str = ""
    reviewed: str = ""
    gold: JsonObject = field(default_factory=dict)
    mentions: str = ""
    measuring: str = ""
    notes: Sequence[str] = ()
    languages: Sequence[str] = ()
    license: str = ""
    prompts_from: str = ""
    command: str = ""
    checks: Sequence[str] = ()
    published: str = ""


def render_card(repo: Repo, facts: Facts) -> str:
    """The card as Markdown with its metadata block, built and read back by `huggingface_hub`."""
    from huggingface_hub import CardData, DatasetCard, DatasetCardData

    source = resources.files("overt.publish").joinpath("card.md.j2").read_text(encoding="utf-8")
    maker: Any = DatasetCard  # untyped
    card_data: Callable[..., CardData] = DatasetCardData  # its types leave out what the Hub takes
    head = card_data(**_metadata(repo, facts))
    text = str(maker.from_template(head, template_str=source, **_sections(repo, facts)))
    if maker(text).data.to_dict().get(RUN_KEY) != facts.run:  # the head did not end where it should
        raise ValueError("the card's metadata cannot be read back")
    return text.rstrip("\n") + "\n"


def _metadata(repo: Repo, facts: Facts) -> dict[str, object]:
    rows = sum(len(table.rows) for table in repo.tables)
    unsafe = ["not-for-all-audiences"] if repo.holds_unsafe else []
    gate = {"extra_gated_prompt": _GATE, "extra_gated_fields": _GATE_FIELDS} if repo.is_gated else {}
    return {
        "pretty_name": one_line(facts.title),
        "language": sorted({one_line(language) for language in facts.languages}) or ["en"],
        "license": one_line(facts.license) or "unknown",
        "task_categories": [purpose_of(facts.policy.get("modality")).task],
        "tags": ["over-refusal", "safety", "benchmark", "synthetic", *unsafe],
        "size_categories": [next((name for bound, name in _SIZES if rows < bound), "n>1M")],
        "configs": [
            {
                "config_name": table.config,
                "data_files": [
                    {"split": table.split, "path": f"data/{table.config}/{table.split}-*.parquet"}
                ],
            }
            for table in repo.tables
        ],
        **gate,
        RUN_KEY: facts.run,
    }


def _sections(repo: Repo, facts: Facts) -> dict[str, str]:
    return {
        "title": escape_markdown(facts.title),
        "summary": escape_markdown(facts.summary),
        "notes": "\n>\n".join(f"> **Note.** {escape_markdown(note)}" for note in facts.notes),
        "loading": "\n".join(
            f'{_identifier(t.config)} = load_dataset("{repo.id}", "{t.config}", split="{t.split}")'
            for t in repo.tables
        ),
        "access": _access(repo),
        "contents": _contents(repo, facts),
        "samples": _list(
            f"{escape_markdown(category)}: {escape_markdown(text)}" for category, text in facts.samples
        ),
        "measuring": facts.measuring.strip(),
        "results": facts.results.strip(),
        "made": _table(["What", "Which"], facts.made),
        "stages": _table(facts.stages[0], facts.stages[1:]) if len(facts.stages) > 1 else "",
        "command": fenced(facts.command) if facts.command else "",
        "audit": _audit(facts),
        "columns": _columns(repo),
        "use": "\n\n".join(USE),
        "risks": _list(risks(repo)),
        "checks": _list(map(escape_markdown, facts.checks)) or "- Nothing was.",
        "licence": _licence(facts),
        "citation": _citation(repo, facts),
    }


def _licence(facts: Facts) -> str:
    own = escape_markdown(facts.license) or NO_LICENCE
    return "\n\n".join(filter(None, (own, escape_markdown(facts.prompts_from))))


def _contents(repo: Repo, facts: Facts) -> str:
    configs = [[f"`{t.config}`", f"`{t.split}`", f"{len(t.rows):,}"] for t in repo.tables]
    contents = _table(["Config", "Split", "Rows"], configs, escaped=True)
    counts = _table(facts.counts[0], facts.counts[1:]) if facts.counts else ""
    return "\n\n".join(filter(None, (contents, counts, escape_markdown(facts.mentions))))


def _columns(repo: Repo) -> str:
    columns = {column.name: column.meaning for table in repo.tables for column in table.columns}
    rows = [[f"`{name}`", meaning] for name, meaning in columns.items()]
    return _table(["Column", "Meaning"], rows, escaped=True)


def risks(repo: Repo) -> Iterator[str]:
    """What can go wrong with this data, in sentences of ours."""
    if repo.holds_unsafe:
        yield from _RISKS_UNSAFE
    yield from _RISKS
    if any(table.columns_of("image") for table in repo.tables):
        yield from _RISKS_PICTURES


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _access(repo: Repo) -> str:
    sibling = f"[{repo.sibling}](https://huggingface.co/datasets/{repo.sibling})"
    if repo.is_gated:
        text = "Access is by request, and each request is answered by a person."
        return f"{text} What is benign stands openly in {sibling}." if repo.sibling else text
    if repo.sibling:
        return f"Unsafe prompts, and what models made of them, are in {sibling}, where access is by request."
    return "Unsafe prompts stand here openly, as whoever published this chose." if repo.holds_unsafe else ""


def _audit(facts: Facts) -> str:
    by = ", ".join(escape_markdown(name) for name in facts.auditors)
    text = f"Judged by {by}." if by else facts.nobody
    said = " ".join(filter(None, (text, escape_markdown(facts.agreement), escape_markdown(facts.reviewed))))
    gold = render_gold(facts.gold)
    return f"{said}\n\n### The judges on gold items\n\n{gold}" if gold else said


def _citation(repo: Repo, facts: Facts) -> str:
    # Nothing that BibTeX or a fence could trip over.
    title = re.sub(r"[^\w .,:()/-]", "", one_line(facts.title))
    year = facts.published[:4] or "2025"
    own = (
        f"@misc{{{re.sub('[^a-z0-9]', '', repo.name.casefold())}{year},\n"
        f"  title        = {{{title}}},\n"
        f"  author       = {{{repo.id.partition('/')[0]}}},\n"
        f"  year         = {{{year}}},\n"
        f"  howpublished = {{https://huggingface.co/datasets/{repo.id}}}\n"
        "}"
    )
    return f"{own}\n\n{CITATION}"


def dataset_url(repo: str) -> str:
    """The address of a data set on the Hub; HF_ENDPOINT counts, as for its client."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    return f"{endpoint}/datasets/{repo}"


def fenced(text: str) -> str:
    """Text of any origin as a code block that it cannot end."""
    text = "".join(c if c.isprintable() else " " for c in encodable(text))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}console\n{text}\n{fence}"


def _table(head: Sequence[object], rows: Iterable[Sequence[object]], *, escaped: bool = False) -> str:
    said: Callable[[object], str] = str if escaped else escape_markdown
    lines = [
        "| " + " | ".join(said(name) for name in head) + " |",
        "|" + "---|" * len(head),
    ]
    lines += ["| " + " | ".join(said(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def one_line(text: str) -> str:
    """Text of any origin without line breaks, as it may stand in UTF-8."""
    return " ".join(encodable(text).split())


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)
