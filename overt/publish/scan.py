"""Scans for what must not be published by accident: keys, e-mail addresses, phone numbers, home folders.

It finds what is written plainly. It does not find names, street addresses, or a number spelled out in
words; where such things may stand in the prompts, a person has to look.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from overt.data.json_types import texts_of
from overt.publish.tables import Repo

FindingKind = Literal["key", "email", "phone", "path"]
FINDING_KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
WORDS: dict[FindingKind, str] = {
    "key": "keys and tokens",
    "email": "e-mail addresses",
    "phone": "phone numbers",
    "path": "paths with a user's name",
}

_KEY = re.compile(
    r"""(?x)
    (?<![A-Za-z0-9])(?:
      sk-(?:proj-|ant-|or-v1-)?[A-Za-z0-9_-]{20,} | hf_[A-Za-z0-9]{20,} | r8_[A-Za-z0-9]{30,}
    | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{30,} | glpat-[A-Za-z0-9_-]{20,}
    | AKIA[0-9A-Z]{16} | ASIA[0-9A-Z]{16} | AIza[0-9A-Za-z_-]{35} | ya29\.[0-9A-Za-z_-]{20,}
    | xox[abeoprs]-[A-Za-z0-9-]{10,} | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_-]{30,}
    | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
    | [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[0-9a-f]{32}
    )
    | -----BEGIN\ [A-Z ]{0,30}PRIVATE\ KEY-----
    | (?i:\bbearer\s+)[A-Za-z0-9._~+/-]{20,}
    | (?i:\b(?:api[_-]?key|access[_-]?key|secret|auth[_-]?token|password|passwd)["']?\s*[:=]\s*["']?)
      (?=[^\s"']{0,100}\d)[A-Za-z0-9._~+/-]{12,200}
    """
)
_EMAIL = re.compile(
    r"(?<![\w.%+-])[A-Za-z0-9_%+-][\w.%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
_NO_EMAIL = re.compile(
    r"(?i)@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|example|invalid|test|localhost)$"
    r"|@\dx\.(?:png|jpe?g|webp|gif)$"
)
_PHONE = re.compile(
    r"""(?x)
    (?<![\w.,/-])(?:
      (?:\+|00)[ ]?[1-9](?:[ .()/-]{0,2}\d){7,14}              # international
    | (?:1[ .-])?\(\d{3}\)[ ]?\d{3}[ .-]\d{4}                  # (212) 555-7890
    | (?:1[ .-])?[2-9]\d{2}([.-])\d{3}\1\d{4}                  # 212-555-7890
    | (?:1[ ])?[2-9]\d{2}[ ]\d{3}[ ]\d{4}
    )(?![\w-])
    | (?i:\b(?:phone|telephone|tel|mobile|cell|whatsapp|fax|call(?:\sme)?(?:\sat|\son)?)\b[\s.:=-]{1,3}
      (?:number\s|is\s|at\s|no\.?\s){0,2})(?:\(?\d[\d ().-]{5,16}\d)(?!\w)
    """
)
_FICTION = re.compile(r"555[ .-]?01\d\d$")  # numbers kept free for films and examples
_PATH = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\+Users\\+)(?!(?:runner|user|username|root)\b)[\w.-]+")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SECRET_NAME = re.compile(r"(?i)(?:key|token|secret|password|passwd|credential)s?$")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: its place, and a masked excerpt."""

    kind: FindingKind
    where: str
    excerpt: str


def scan_text(text: str, where: str = "", secrets: Sequence[str] = ()) -> Iterator[Finding]:
    """The findings in a text, after Unicode normalisation.

    Args:
        secrets: keys of this machine, to be found whatever they look like.
    """
    text = _HIDDEN.sub("", unicodedata.normalize("NFKC", text))
    for secret in secrets:
        if secret in text:
            yield Finding("key", where, _mask("key", secret))
    for match in _KEY.finditer(text):
        if not any(secret in match[0] for secret in secrets):
            yield Finding("key", where, _mask("key", match[0]))
    if "@" in text:
        for match in _EMAIL.finditer(text):
            if not _NO_EMAIL.search(match[0]):
                yield Finding("email", where, _mask("email", match[0]))
    if any(character.isdigit() for character in text):
        for match in _PHONE.finditer(text):
            if not _FICTION.search(match[0].rstrip(" )")):
                yield Finding("phone", where, _mask("phone", match[0]))
    for match in _PATH.finditer(text):
        yield Finding("path", where, _mask("path", match[0]))


def scan_repo(repo: Repo, secrets: Sequence[str] = ()) -> Iterator[Finding]:
    """The findings in every text of a repository: its tables and the files beside them."""
    for name, text in repo.texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            yield from scan_text(line, f"{repo.id}, {name}, line {number}", secrets)
    for table in repo.tables:
        pictures = set(table.columns_of("image", "images"))  # paths within the run, not published
        for number, row in enumerate(table.rows, 1):
            for column, value in row.items():
                if column in pictures:
                    continue
                for text in texts_of(value):
                    yield from scan_text(text, f"{table.config}, row {number}, {column}", secrets)


def secrets_here(environment: Mapping[str, str] | None = None, *more: str | None) -> tuple[str, ...]:
    """Values of environment variables that are named like keys, and `more`; none shorter than 12."""
    values = (os.environ if environment is None else environment).items()
    found = [value.strip() for name, value in values if _SECRET_NAME.search(name)]
    return tuple(sorted({value for value in (*found, *more) if value and len(value) >= 12}))


def in_words(findings: Iterable[Finding]) -> str:
    """`3 e-mail addresses, 1 keys and tokens`; "" for none."""
    counts = Counter(finding.kind for finding in findings)
    return ", ".join(f"{counts[kind]} {WORDS[kind]}" for kind in FINDING_KINDS if counts[kind])


def _mask(kind: FindingKind, text: str) -> str:
    if kind == "email":
        return f"{text[0]}…@{text.rpartition('@')[2]}"
    if kind == "phone":
        return "…" + "".join(c for c in text if c.isdigit())[-2:]
    if kind == "path":
        return re.sub(r"[^/\\]+$", "…", text)
    return f"{text[:3]}… ({len(text)} characters)"
