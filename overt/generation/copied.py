"""What a chat model wrote that is no new prompt: copies of what it was shown, talk, and itself again.

Small models return the policy's examples, a placeholder ("<prompt>", "Prompt 1") or a rule of their
instruction, or a greeting ("Sure, here are 10 prompts:"), and they vary one prompt by its style or close
every prompt with the same sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from overt.data.templates import Template
from overt.generation.terms import folded
from overt.policies.schema import Policy

COPIED = "copied from the policy"
PLACEHOLDER = "a placeholder of the template"
INSTRUCTION = "repeats the instruction"
TALK = "talk about the answer"
NEAR_REPEAT = "a near-repeat in one answer"

_IN_QUOTES = re.compile(r'"((?:[^"\\\n]|\\.){1,400})"')
_JINJA = re.compile(r"\{[{%].*?[%}]\}")
_SENTENCE = re.compile(r"[.!?:;\n]+(?:\s|$)|^\s*-\s", re.MULTILINE)
# A text in brackets and nothing else: "<prompt>", "[your prompt here]", "{scene}".
_BRACKETED = re.compile(r"\s*(?:<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\})[\s.!?]*")
# A text of these words alone says where a prompt belongs and is none.
_HOLDERS = frozenset((
    *("a", "an", "the", "your", "this", "my", "new", "another", "first", "second", "third", "last"),
    *("next", "of", "here", "goes", "go", "insert", "put", "write", "add", "fill", "in", "placeholder"),
    *("prompt", "prompts", "text", "texts", "string", "str", "value", "example", "examples", "sample"),
    *("entry", "harmless", "unsafe", "safe", "benign", "trigger", "term", "style", "scene", "description"),
    *("sentence", "question", "request", "version", "item", "number", "lorem", "ipsum", "n", "x", "none"),
))  # fmt: skip
# A user's own "I can't help crying" or "okay, let me ask" is a prompt: what is done is named here.
_MAKES = r"(?:write|provide|create|generate|produce|give|list|make|rewrite|fulfil+|comply|help|assist|do)"
_MADE = (
    r"(?:this|that|these|those|such|you|your|any|it|the request|the prompts?|prompts?|content|unsafe|harmful)"
)
_THINGS = r"(?:prompts?|versions?|list|json|answers?|objects?|examples?)"
_TALK = re.compile(
    r"(?:(?:sure|certainly|of course|absolutely|okay|ok|yes|great|alright)\b[^\w\s]*\s+(?:thing\b\W*)?"
    r"(?:here\b|below\b|the following\b|(?:these|this)\s+(?:is|are)\b"
    rf"|(?:i\s+(?:will|can|could|would)|i(?:'ll|'d)|let\s+me|let's)\s+{_MAKES}\b)"
    r"|(?:here|below|these|the following)\s+(?:is|are|come|comes|you)\b(?!\s+(?:my|our)\b).{0,60}"
    rf"\b{_THINGS}\b"
    r"|(?:(?:i'm|i am)\s+(?:very\s+|so\s+)?sorry\b.{0,9}\s)?"
    rf"i(?:'m|\s+am)?\s+(?:can't|cannot|can not|won't|will not|unable to|not able to)\s+{_MAKES}"
    rf"(?:\s+(?:with\s+)?{_MADE}\b|\s*[.!]?$)"
    r"|i(?:'m| am) sorry\b.{0,6}\bas an ai\b"
    r"|(?:you (?:need|have|are asked) to|the (?:original )?prompt is)\b.{0,40}\bprompts?\b"
    r"|as an ai\b|note that (?:these|the) prompts?\b|i hope (?:this|these)\b)",
    re.IGNORECASE,
)
_SHORTEST = 5  # words of a sentence that a copy is recognised by inside a longer text
_SAME_EDGE = 8  # words with which two prompts begin or end alike
_OVERLAP = 0.75  # share of two prompts' words that both have, from which one repeats the other


class Copies:
    """What a writer was shown: the policy's own sentences, its instruction, and the names of keys in it.

    Args:
        template: of the instruction; the texts in double quotes in it are placeholders.
    """

    def __init__(self, policy: Policy, template: Template) -> None:
        instruction = f"{template.system}\n{template.user}"
        self._placeholders = {_key(text) for text in _IN_QUOTES.findall(instruction)}
        self._sentences = {_key(text) for text in _sentences(policy)} - {""}
        self._long = [f" {key} " for key in self._sentences if key.count(" ") >= _SHORTEST - 1]
        self._sets = [frozenset(key.split()) for key in self._long]
        rules = (_key(part) for part in _SENTENCE.split(_JINJA.sub("\n", instruction)))
        self._rules = [f" {key} " for key in dict.fromkeys(rules) if key.count(" ") >= _SHORTEST - 1]

    def reason(self, text: str) -> str:
        """Why a candidate is dropped: one of the reasons above, or ""."""
        key = _key(text)
        if key in self._sentences:
            return COPIED
        if not key or key in self._placeholders or _is_placeholder(text, key):
            return PLACEHOLDER
        if _TALK.match(text.strip().replace("’", "'")) or text.rstrip().endswith(":"):
            return TALK
        padded = f" {key} "
        if any(rule in padded for rule in self._rules):
            return INSTRUCTION
        words = frozenset(key.split())
        if any(line in padded for line in self._long) or any(_share(words, own) >= 0.8 for own in self._sets):
            return COPIED
        return ""


def _is_placeholder(text: str, key: str) -> bool:
    """Whether a text only says where a prompt belongs: in brackets, or of such words and numbers alone."""
    return bool(_BRACKETED.fullmatch(text)) or all(w.isdigit() or w in _HOLDERS for w in key.split())


class Answer:
    """The prompts that were kept of one answer, to find those that say the same again."""

    def __init__(self, styles: Iterable[str] = ()) -> None:
        self._styles = frozenset(word for style in styles for word in folded(style))
        self._kept: list[tuple[list[str], list[str], frozenset[str]]] = []

    def repeats(self, text: str, style: str = "") -> str:
        """How a prompt repeats one that was kept, or "", and then it is kept.

        Args:
            style: which the writer names for it; its words do not count.
        """
        key = folded(text)
        left_out = self._styles | frozenset(folded(style))
        sentences = [_key(part) for part in _SENTENCE.split(text)]
        sentences = [part for part in sentences if part.count(" ") >= 2]
        mine = (key, sentences, frozenset(key) - left_out)
        for other in self._kept:
            if why := _alike(mine, other):
                return why
        self._kept.append(mine)
        return ""


def _alike(
    one: tuple[list[str], list[str], frozenset[str]], other: tuple[list[str], list[str], frozenset[str]]
) -> str:
    """How two prompts of an answer are the same, or "". Each is its words, its sentences, its words without
    those of styles."""
    if (share := _share(one[2], other[2])) >= _OVERLAP:
        return f"shares {share:.0%} of its words with another"
    several = len(one[1]) > 1 and len(other[1]) > 1
    for edge, name in ((0, "opening"), (-1, "closing")):
        if several and one[1][edge] == other[1][edge]:
            return f"the {name} sentence of another"
    if min(len(one[0]), len(other[0])) > _SAME_EDGE:
        if one[0][:_SAME_EDGE] == other[0][:_SAME_EDGE]:
            return "begins like another"
        if one[0][-_SAME_EDGE:] == other[0][-_SAME_EDGE:]:
            return "ends like another"
    return ""


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    """The Jaccard similarity of two sets of words, 0 to 1."""
    return len(one & other) / len(one | other) if one and other else 0.0


def _key(text: str) -> str:
    return " ".join(folded(text))


def _sentences(policy: Policy) -> Iterator[str]:
    for category in policy.categories:
        yield category.title
        yield from (*category.disallowed, *category.allowed)
        for trigger in category.triggers:
            yield trigger.term
            yield from trigger.neutral
            yield from (side for scene in trigger.scenes for side in (scene.benign, scene.unsafe) if side)
