"""`builtin/grammar`: the writer that needs no model.

It composes prompts from scenes: fragments in which something happens that sounds dangerous and is not,
each with an unsafe side. First come the scenes of the policy, then those of the bank
(overt/policies/scenes/) for the topics of the policy's terms; a way to ask for a picture (or, under a
text policy, for an answer) is put around each. The kinds of scene follow the ten prompt types of XSTest
(Röttger et al. 2024, arXiv 2308.01263): homonyms, figurative use, safe targets and contexts, definitions,
history and so on. Frames that only name a term are the last resort. The same policy, category and seed
give the same stream of prompts on any machine.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from overt.data.errors import InputError
from overt.data.records import Label, Prompt, prompt_id
from overt.data.text import changed_words
from overt.data.tiers import label_of
from overt.generation import wording
from overt.generation.frames import (
    Frame,
    check_slots,
    context,
    names_term,
    place,
    slots_of,
    term_slots,
    turns,
    unsafe_sides,
)
from overt.policies.floor import floor_reason
from overt.policies.schema import Category, Policy, Trigger

NAME = "builtin/grammar"

# After this many tries without a new prompt the grammar is exhausted.
_MISSES = 1_000
_TWINS = 6
# A scene of so many words leaves no room for a long opening or an ending.
_ROOM = 19

_MEDIUM = re.compile(
    r"^(?:\S+ ){0,2}?(?:photo|photograph|snapshot|painting|poster|drawing|diagram|sketch|cartoon|comic"
    r"|portrait|illustration|infographic|mural|woodcut|engraving|screenshot|logo|cover|flyer|billboard|storyboard|still|map"
    r"|chart|blueprint|mosaic|tapestry|sculpture|statue|stained|claymation|collage|stamp|fresco|print|banner)s?\b",
    re.IGNORECASE,
)
_LIGHT = re.compile(
    r"\b(?:dawn|dusk|noon|night|morning|evening|afternoon|sun\w*|moon\w*|light\w*|lit|lamp\w*|candle\w*|neon|shadow\w*"
    r"|fog\w*|rain\w*|snow\w*|mist\w*|dark\w*|teatime|hours?)\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"(?:how|what|why|where|when|who|which|whose|can|could|should|would|is|are|do|does|did|was|were|may|will)\b",
    re.I,
)
_INSTRUCTION = re.compile(
    r"(?:write|explain|describe|give|tell|list|summari[sz]e|compare|draft|translate|help|suggest|show|create|make|name"
    r"|define|outline|recommend|teach|design|compose|imagine|act|play|pretend|find|plan|rewrite|proofread|please|i"
    r"|i'm|my|we|let's)\b",
    re.IGNORECASE,
)
# "Just curious: my sister was robbed" reads badly, so only plain questions and instructions get a lead-in.
_TAKES_LEAD = re.compile(
    rf"(?!(?:i|i'm|my|we|our|let's)\b)(?:{_QUESTION.pattern}|{_INSTRUCTION.pattern})", re.I
)


@dataclass(frozen=True, slots=True)
class _Opening:
    style: str
    group: str
    text: str


def compose(
    policy: Policy, category: Category, *, count: int, seed: int, start: int = 0, language: str = "en"
) -> Iterator[Prompt]:
    """Yields up to `count` distinct benign candidates of a category, after skipping the first `start`.

    The triggers take turns. All scenes of the category come before those of the bank, these before second
    fillings, and prompts that only name their term come last; `template` says which a prompt is (see
    overt/data/tiers.py). A trigger's fillers and styles are drawn without replacement, and hang on the
    trigger alone, so that a policy's other lines can change without changing its prompts. The stream ends
    early when the grammar is exhausted.

    Raises:
        InputError: a language other than English, or a scene with an undefined slot.
    """
    if language != "en":
        raise InputError(
            f"{NAME} writes English only, category {category.id} asks for {language!r}",
            where=f"policy {policy.name}, categories.{category.id}.languages",
            fix="Name a chat model as the writer, or set languages: [en].",
        )
    check_slots(policy, category)
    return islice(_stream(policy, category, seed), start, start + count)


def twins(policy: Policy, category: Category, prompt: Prompt, *, seed: int) -> list[Prompt]:
    """Returns at most 6 unsafe candidates for the twin of a benign prompt.

    The scene, its fillers and the opening are located in the prompt's text, and a twin keeps opening and
    fillers. The twin of a scene that has an unsafe side is that side. Another prompt gets the unsafe sides
    of the trigger's scenes, or of the bank's scenes for it, fewest changed words first; none if there are
    none. The opening of a prompt from another writer is not kept. Each twin names the trigger.
    """
    trigger = _trigger_of(category, prompt)
    if trigger is None:
        return []
    slots = slots_of(policy)
    found = context(policy, category, trigger, prompt.text, slots)
    fills = dict(found.fills)
    rng = _rng(seed, prompt.id)

    def choose(name: str) -> str:
        if name not in fills:
            fit = [filler for filler in slots[name] if not names_term(trigger.term, filler)]
            fills[name] = rng.choice(fit or list(slots[name]))
        return fills[name]

    def made(sides: list[str]) -> list[str]:
        texts = [_join(policy, found.before, wording.fill(side, choose), found.after) for side in sides]
        return [t for t in texts if names_term(trigger.term, t) and not floor_reason(t) and t != prompt.text]

    texts = made([found.unsafe]) if found.unsafe else []
    texts = texts or made(unsafe_sides(policy, category, trigger))
    ranked = sorted(set(texts), key=lambda t: (changed_words(prompt.text, t), t))
    label = prompt.template if prompt.writer == NAME else label_of("scene")
    return [_prompt(category, trigger, t, prompt.style, "unsafe", label) for t in ranked[:_TWINS]]


class _Decks:
    """The parts of one trigger's prompts, each drawn without replacement.

    Every draw hangs on the seed, the category and the term alone: a change elsewhere in the policy, or a
    trigger that comes or goes, leaves the prompts of the others as they are.
    """

    def __init__(self, policy: Policy, *key: object) -> None:
        self._slots = slots_of(policy)
        self._key = key
        self._texts: dict[tuple[str, str], wording.Deck[str]] = {}
        self._openings: dict[str, wording.Deck[_Opening]] = {}
        self.rng = _rng(*key, "dice")

    def filler(self, name: str) -> wording.Deck[str]:
        return self._deck("slot", name, self._slots[name])

    def opening(self, name: str) -> wording.Deck[_Opening]:
        if name not in self._openings:
            self._openings[name] = wording.Deck(_openings(name), _rng(*self._key, "opening", name))
        return self._openings[name]

    def ending(self, name: str) -> wording.Deck[str]:
        styles = wording.table("styles")
        return self._deck("ending", name, {**styles["endings"], "light": styles["light"]}[name])

    def lead(self, name: str) -> wording.Deck[str]:
        return self._deck("lead", name, wording.table("styles")["lead_ins"][name])

    def _deck(self, kind: str, name: str, cards: Sequence[str]) -> wording.Deck[str]:
        if (kind, name) not in self._texts:
            self._texts[kind, name] = wording.Deck(cards, _rng(*self._key, kind, name))
        return self._texts[kind, name]


def _stream(policy: Policy, category: Category, seed: int) -> Iterator[Prompt]:
    key = f"{seed} {category.id}"
    order = sorted(category.triggers, key=lambda t: place(key, t.term))
    decks = {t.term: _Decks(policy, seed, category.id, t.term) for t in order}
    seen: set[str] = set()
    misses = 0
    for trigger, frame, tier in turns(policy, category, order, key):
        text, style = _write(policy, trigger, frame, decks[trigger.term])
        if text.casefold() in seen or not names_term(trigger.term, text) or floor_reason(text):
            misses += 1
            if misses >= _MISSES:
                return
            continue
        misses = 0
        seen.add(text.casefold())
        yield _prompt(category, trigger, text, style, "benign", label_of(tier))


def _write(policy: Policy, trigger: Trigger, frame: Frame, decks: _Decks) -> tuple[str, str]:
    """Returns one prompt's text and style."""
    fills = term_slots(trigger)
    own = _content(frame.text)

    def choose(name: str) -> str:
        if name not in fills:
            # A filler that repeats the trigger or a word of its scene reads badly.
            fills[name] = decks.filler(name).draw(
                lambda f: bool(_content(f) & own) or names_term(trigger.term, f)
            )
        return fills[name]

    scene = wording.fill(frame.text, choose)
    if policy.modality == "text" and (frame.whole or _is_sentence(scene)):
        style = _sentence_kind(scene)
        asks = style == "question"
        if not _TAKES_LEAD.match(scene) or asks != bool(_QUESTION.match(scene)):
            return _sentence(scene), style
        lead = decks.lead(style).draw(lambda t: names_term(trigger.term, t))
        return _sentence(scene, lead), style
    return _picture(policy, trigger, scene, decks)


def _picture(policy: Policy, trigger: Trigger, scene: str, decks: _Decks) -> tuple[str, str]:
    """Builds a request for a scene from an opening; short picture requests often get an ending."""

    def repeats(part: str, of: str) -> bool:
        return names_term(trigger.term, part) or bool(_content(part) & _content(of))

    is_image = policy.modality == "image"
    has_medium = is_image and bool(_MEDIUM.match(scene))
    length = len(scene.split())
    room = _ROOM - length if is_image else _ROOM

    def unfit(opening: _Opening) -> bool:
        wordy = len(opening.text.split()) - 1 > max(room, 3)
        return wordy or (has_medium and opening.group != "plain") or repeats(opening.text, scene)

    shares: dict[str, int] = wording.table("styles")["shares"] if is_image else {"text": 1}
    if policy.editing:
        shares = {"edit": 1}
    names = ["plain"] if has_medium and not policy.editing else list(shares)
    share = decks.rng.choices(names, [shares[name] for name in names])[0]
    opening = decks.opening(share).draw(unfit)
    text = opening.text.replace("{scene}", scene)
    text = text[:1].upper() + text[1:]
    dice = decks.rng.random()
    if opening.text[-1] == "}" and scene[-1] not in ".?!" and is_image and dice < min(0.6, room / 25):
        takes_light = opening.group in ("camera", "paint", "plain") and not _LIGHT.search(text)
        pile = decks.ending("light" if dice < 0.1 and takes_light else opening.group)
        text += pile.draw(lambda ending: repeats(ending, text))
    return text, opening.style


def _join(policy: Policy, before: str, scene: str, after: str) -> str:
    """Puts an unsafe fragment in place of the benign one."""
    if policy.modality == "image":
        text = before + scene + after
        return text[:1].upper() + text[1:]
    leads: dict[str, list[str]] = wording.table("styles")["lead_ins"]
    if _is_sentence(scene):
        # Only a fitting lead-in may precede a full sentence.
        return _sentence(scene, before if before in leads[_sentence_kind(scene)] else "")
    if any(before in texts for texts in leads.values()):
        return _sentence(f"tell me about {scene}", before if before in leads["instruction"] else "")
    return before + scene + after


def _is_sentence(text: str) -> bool:
    """Returns whether the text is a whole request rather than a noun phrase."""
    return text[-1] in ".?!" or bool(_QUESTION.match(text) or _INSTRUCTION.match(text))


def _sentence_kind(text: str) -> str:
    return "question" if text.endswith("?") or _QUESTION.match(text) else "instruction"


def _sentence(text: str, lead: str = "") -> str:
    """Joins `lead` and the sentence with correct capitals and an end mark."""
    if text[-1] not in ".?!":
        last = re.split(r"[;:.] ", text)[-1]  # "My oven smokes; how do I clean it"
        text += "?" if _QUESTION.match(last) else "."
    after_colon = lead.endswith(": ") and not re.match(r"(?:I|[A-Z]{2,})\b", text)
    return lead + (text[:1].lower() if after_colon else text[:1].upper()) + text[1:]


def _prompt(
    category: Category, trigger: Trigger, text: str, style: str, label: Label, template: str
) -> Prompt:
    return Prompt(
        id=prompt_id(text),
        text=text,
        category=category.id,
        label=label,
        strategy="direct",  # no seed is converted here, whatever the category says
        writer=NAME,
        template=template,
        trigger=trigger.term,
        style=style,
    )


def _trigger_of(category: Category, prompt: Prompt) -> Trigger | None:
    for trigger in category.triggers:
        if trigger.term == prompt.trigger:
            return trigger
    named = [t for t in category.triggers if names_term(t.term, prompt.text)]
    return max(named, key=lambda t: len(t.term), default=None)


@lru_cache(maxsize=8)
def _openings(name: str) -> list[_Opening]:
    return [_Opening(o["style"], o.get("group", "plain"), o["text"]) for o in wording.table("styles")[name]]


@lru_cache(maxsize=8192)
def _content(text: str) -> frozenset[str]:
    """Returns the words of four letters or more."""
    return frozenset(re.findall(r"[^\W\d_]{4,}", text.lower())) - {"scene", "with", "from", "that"}


def _rng(*parts: object) -> random.Random:
    """Returns a generator seeded by content, equal in every process."""
    blob = "\x1f".join(str(p) for p in parts).encode("utf-8", "surrogatepass")
    return random.Random(int.from_bytes(hashlib.blake2b(blob, digest_size=8).digest(), "big"))


class Grammar:
    """The grammar as a writer of the registry: `builtin/grammar`."""

    name = NAME

    @staticmethod
    def compose(
        policy: Policy, category: Category, *, count: int, seed: int, start: int = 0
    ) -> Iterator[Prompt]:
        """See the function `compose`. Of several languages it writes English, and raises where it is none."""
        language = "en" if "en" in category.languages else category.languages[0]
        return compose(policy, category, count=count, seed=seed, start=start, language=language)

    @staticmethod
    def twins(policy: Policy, category: Category, prompt: Prompt, *, seed: int) -> list[Prompt]:
        """See the function `twins`."""
        return twins(policy, category, prompt, seed=seed)
