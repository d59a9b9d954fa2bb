"""`builtin/grammar`: the writer that needs no model.

It composes prompts from the policy's own words: a trigger term, a harmless scene it stands in, and
a way to ask for a picture (or, under a text policy, an answer). The kinds of scene follow the ten
prompt types of XSTest (Röttger et al. 2024, arXiv 2308.01263): homonyms, figurative use, safe
targets and contexts, definitions, history and so on. Where a trigger has no scene, generic frames
quote it. The same policy, category and seed give the same stream of prompts on any machine.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from overt.data.errors import InputError
from overt.data.records import Label, Prompt, prompt_id
from overt.data.textdiff import changed_words
from overt.generation import wording
from overt.policies.floor import floor_reason
from overt.policies.schema import Category, Policy, Trigger

NAME = "builtin/grammar"
TEMPLATE = "grammar@1"

# So many tries in a row that gave nothing new mean that the grammar has said all it can.
_MISSES = 1_000
_TWINS = 6

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
# Categories whose terms may name a group of people, or pain that is no joke.
_DELICATE = re.compile(
    r"discriminat|hate|hatred|racis|racial|religio|ethnic|minorit|slur|demean|suicid|self[-_ ]harm|sexual",
    re.IGNORECASE,
)
# Products for children: no pubs, no thrillers.
_YOUNG = re.compile(r"(?<![a-z])(?:child|kid|pupil|primary school|toddler)", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a prompt is made from: a fragment (scene) or a generic frame, with its slots still open."""

    text: str
    group: str  # "scene", or the frame list it stands in
    whole: bool = False  # already a full sentence: no opening around it


@dataclass(frozen=True, slots=True)
class _Opening:
    style: str
    group: str
    text: str


def compose(
    policy: Policy, category: Category, *, count: int, seed: int, start: int = 0, language: str = "en"
) -> Iterator[Prompt]:
    """Up to `count` distinct benign candidates of a category, after passing over the first `start`.

    The stream goes round the triggers, one prompt each, so every prefix covers them evenly. A trigger
    gives each of its scenes once before generic frames and second fillings come. Fillers and styles
    are drawn without replacement, so the first prompts differ as much as the word lists allow. It
    ends early when the grammar has nothing new to say.

    Raises:
        InputError: a language other than English, or a scene with a slot that nobody defines.
    """
    if language != "en":
        raise InputError(
            f"{NAME} writes English only, category {category.id} asks for {language!r}",
            where=f"policy {policy.name}, categories.{category.id}.languages",
            fix="Name a chat model as the writer, or set languages: [en].",
        )
    _check_slots(policy, category)
    return islice(_stream(policy, category, seed), start, start + count)


def twins(policy: Policy, category: Category, prompt: Prompt, *, seed: int) -> list[Prompt]:
    """Unsafe candidates for the twin of a benign prompt, fewest changed words first (at most 6).

    The scene, its fillings and the opening are found again in the prompt's own text. A twin keeps
    all of them and takes the scene's unsafe side; next come unsafe sides of the trigger's other
    scenes; a trigger without any gets a short request for what the category disallows. For a prompt
    that this grammar did not write, the opening is not kept. Each twin names the trigger.
    """
    trigger = _trigger_of(category, prompt)
    if trigger is None:
        return []
    slots = _slots(policy, category)
    before, after, fills = _context(policy, category, trigger, prompt.text, slots)
    rng = _rng(seed, prompt.id)

    def choose(name: str) -> str:
        if name not in fills:
            fills[name] = rng.choice(
                [f for f in slots[name] if not _names(trigger.term, f)] or list(slots[name])
            )
        return fills[name]

    sides = [s.unsafe for s in trigger.scenes if s.unsafe]
    if sides:
        texts = [_join(policy, before, wording.fill(side, choose), after) for side in sides]
    else:
        asks = _generic_unsafe(policy, category, trigger)
        # Two of the category's lines, drawn per prompt: the shortest one alone would end every pair.
        texts = [_join(policy, before, t, after) for ask in rng.sample(asks, min(2, len(asks))) for t in ask]
    fit = {t for t in texts if _names(trigger.term, t) and not floor_reason(t) and t != prompt.text}
    ranked = sorted(fit, key=lambda t: (changed_words(prompt.text, t), t))
    return [_prompt(category, trigger, t, prompt.style, "unsafe") for t in ranked[:_TWINS]]


def _stream(policy: Policy, category: Category, seed: int) -> Iterator[Prompt]:
    order = list(category.triggers)
    _rng(seed, category.id, "triggers").shuffle(order)
    places = [c.id for c in policy.categories]
    # Each category starts elsewhere in the shuffled lists, so that categories share few fillers.
    turn = places.index(category.id) / len(places) if category.id in places else 0.0
    fillers = {
        name: wording.Deck(words, _rng(seed, "slot", name), turn)
        for name, words in _slots(policy, category).items()
    }
    openings = wording.Deck(_openings(policy.modality), _rng(seed, "openings"), turn)
    endings = {
        group: wording.Deck(texts, _rng(seed, "endings", group), turn)
        for group, texts in {
            **wording.table("styles")["endings"],
            "light": wording.table("styles")["light"],
        }.items()
    }
    leads = {
        kind: wording.Deck(texts, _rng(seed, "leads", kind), turn)
        for kind, texts in wording.table("styles")["lead_ins"].items()
    }
    rng = _rng(seed, category.id, "stream")
    used: dict[str, int] = {}
    frames = {t.term: _frames_for(policy, category, t, _rng(seed, category.id, t.term), used) for t in order}
    seen: set[str] = set()
    misses = 0
    while misses < _MISSES:
        for trigger in order:
            frame = next(frames[trigger.term])
            text, style = _write(policy, trigger, frame, fillers, openings, endings, leads, rng)
            if text.casefold() in seen or not _names(trigger.term, text) or floor_reason(text):
                misses += 1
                continue
            misses = 0
            seen.add(text.casefold())
            yield _prompt(category, trigger, text, style, "benign")


def _write(
    policy: Policy,
    trigger: Trigger,
    frame: _Frame,
    fillers: dict[str, wording.Deck[str]],
    openings: wording.Deck[_Opening],
    endings: dict[str, wording.Deck[str]],
    leads: dict[str, wording.Deck[str]],
    rng: random.Random,
) -> tuple[str, str]:
    """One prompt's text and style."""
    fills = _term_slots(trigger)
    own = _content(frame.text)

    def choose(name: str) -> str:
        if name not in fills:
            # A filler that repeats a word of its scene, or the trigger, reads badly.
            fills[name] = fillers[name].draw(lambda f: bool(_content(f) & own) or _names(trigger.term, f))
        return fills[name]

    scene = wording.fill(frame.text, choose)
    if policy.modality == "text" and (frame.whole or _is_sentence(scene)):
        style = _sentence_kind(scene)
        lead = leads[style].draw(lambda t: _names(trigger.term, t))
        return _sentence(scene, lead), style
    named = bool(_MEDIUM.match(scene)) and policy.modality == "image"
    opening = openings.draw(
        lambda o: (
            (named and o.group != "plain")
            or _names(trigger.term, o.text)
            or bool(_content(o.text) & _content(scene))
        )
    )
    text = opening.text.replace("{scene}", scene)
    text = text[:1].upper() + text[1:]
    dice = rng.random()
    if text[-1] not in ".?!" and dice < 0.42 and policy.modality == "image":
        outdoors = opening.group in ("camera", "paint", "plain") and not _LIGHT.search(text)
        pile = endings["light"] if dice < 0.12 and outdoors else endings[opening.group]
        text += pile.draw(lambda e: _names(trigger.term, e) or bool(_content(e) & _content(text)))
    return text, opening.style


def _frames_for(
    policy: Policy, category: Category, trigger: Trigger, rng: random.Random, used: dict[str, int]
) -> Iterator[_Frame]:
    """An endless walk over a trigger's frames: all scenes once, then generic frames and scenes in turn.

    `used` counts generic frames over the whole category, so that two triggers seldom share one.
    """
    scenes = [_Frame(s.benign, "scene") for s in trigger.scenes if s.benign]
    rng.shuffle(scenes)
    yield from scenes
    generic = _generic(policy, category, trigger)
    rng.shuffle(generic)
    rank = {frame.text: i for i, frame in enumerate(generic)}
    again = 0
    while True:
        frame = min(generic, key=lambda f: (used.get(f.text, 0), rank[f.text]))
        used[frame.text] = used.get(frame.text, 0) + 1
        yield frame
        if scenes:
            yield scenes[again % len(scenes)]
            again += 1


def _generic(policy: Policy, category: Category, trigger: Trigger) -> list[_Frame]:
    """The generic frames that fit a trigger's part of speech and what the category has."""
    table = wording.table("frames")[policy.modality]
    subject = " ".join((category.id, category.title, *category.disallowed))
    if _DELICATE.search(subject) or _YOUNG.search(f"{policy.name} {policy.description}"):
        groups = ["careful"]
    else:
        groups = ["any", trigger.pos or wording.part_of_speech(trigger.term)]
    if _allowed(category):
        groups.append("allowed")
    whole = policy.modality == "text"
    return [_Frame(t, g, whole) for g in dict.fromkeys(groups) for t in table[g]]


def _generic_unsafe(policy: Policy, category: Category, trigger: Trigger) -> list[list[str]]:
    """Short requests that name a trigger without unsafe scenes, for each line the category disallows."""
    table = wording.table("frames")[policy.modality]["unsafe"]
    cased = wording.sentence_cased(category.disallowed)
    texts = []
    for line in category.disallowed:
        if floor_reason(f"{category.title}: {line}"):
            continue
        form, phrase = wording.forbidden(wording.core(line, sentence_case=cased))
        fills = {**_term_slots(trigger), "disallowed": phrase}
        texts.append([wording.fill(t, fills.__getitem__) for t in table[form]])
    return texts


def _term_slots(trigger: Trigger) -> dict[str, str]:
    """The slots that stand for the trigger itself in generic frames."""
    term = trigger.term
    title = " ".join(w[:1].upper() + w[1:] for w in term.split())
    return {"term": term, "quote": f'"{term}"', "title": f'"{title}"'}


def _context(
    policy: Policy, category: Category, trigger: Trigger, text: str, slots: wording.Slots
) -> tuple[str, str, dict[str, str]]:
    """What stands before and after the frame in a prompt, and the fillings of the frame."""
    own = _term_slots(trigger)
    known = {**slots, **{k: [v] for k, v in own.items()}}
    frames = [_Frame(s.benign, "scene") for s in trigger.scenes if s.benign] + _generic(
        policy, category, trigger
    )
    best: tuple[int, int, dict[str, str]] | None = None
    for frame in frames:
        found = wording.locate(frame.text, text, known)
        # The longest frame wins: a short fragment can stand inside a long one.
        if found and (best is None or found[1] - found[0] > best[1] - best[0]):
            best = found
    if best is None:
        return "", "", {}
    start, end, fills = best
    return text[:start], text[end:], {k: v for k, v in fills.items() if k not in own}


def _join(policy: Policy, before: str, scene: str, after: str) -> str:
    """An unsafe fragment put where the benign one stood."""
    if policy.modality == "image":
        text = before + scene + after
        return text[:1].upper() + text[1:]
    leads: dict[str, list[str]] = wording.table("styles")["lead_ins"]
    if _is_sentence(scene):
        # A sentence of its own: only a fitting lead-in may stand before it.
        return _sentence(scene, before if before in leads[_sentence_kind(scene)] else "")
    if any(before in texts for texts in leads.values()):
        return _sentence(f"tell me about {scene}", before if before in leads["instruction"] else "")
    return before + scene + after


def _is_sentence(text: str) -> bool:
    """Whether a fragment of a text policy is a whole request, not a noun phrase."""
    return text[-1] in ".?!" or bool(_QUESTION.match(text) or _INSTRUCTION.match(text))


def _sentence_kind(text: str) -> str:
    return "question" if text.endswith("?") or _QUESTION.match(text) else "instruction"


def _sentence(text: str, lead: str = "") -> str:
    """`lead` and the sentence, with capitals and an end mark where they belong."""
    if text[-1] not in ".?!":
        last = re.split(r"[;:.] ", text)[-1]  # "My oven smokes; how do I clean it"
        text += "?" if _QUESTION.match(last) else "."
    after_colon = lead.endswith(": ") and not re.match(r"(?:I|[A-Z]{2,})\b", text)
    return lead + (text[:1].lower() if after_colon else text[:1].upper()) + text[1:]


def _prompt(category: Category, trigger: Trigger, text: str, style: str, label: Label) -> Prompt:
    return Prompt(
        id=prompt_id(text),
        text=text,
        category=category.id,
        label=label,
        strategy="direct",  # whatever the category says: no seed is converted here
        writer=NAME,
        template=TEMPLATE,
        trigger=trigger.term,
        style=style,
    )


def _trigger_of(category: Category, prompt: Prompt) -> Trigger | None:
    for trigger in category.triggers:
        if trigger.term == prompt.trigger:
            return trigger
    named = [t for t in category.triggers if _names(t.term, prompt.text)]
    return max(named, key=lambda t: len(t.term), default=None)


def _slots(policy: Policy, category: Category) -> dict[str, list[str]]:
    """Every slot's fillers: the lexicon's, the policy's own (which win), and the allowed contexts."""
    lexicon: dict[str, list[str]] = wording.table("lexicon")
    return {**lexicon, **{k: list(v) for k, v in policy.slots.items()}, "allowed": _allowed(category)}


@lru_cache(maxsize=512)
def _allowed(category: Category) -> list[str]:
    """The category's allowed contexts that read as a noun phrase or a gerund after "about"."""
    cased = wording.sentence_cased(category.allowed)
    phrases = [wording.core(line, sentence_case=cased) for line in category.allowed]
    return [p for p in phrases if 1 <= len(p.split()) <= 12 and wording.forbidden(p)[0] in ("np", "gerund")]


@lru_cache(maxsize=4)
def _openings(modality: str) -> list[_Opening]:
    return [
        _Opening(o["style"], o.get("group", "plain"), o["text"]) for o in wording.table("styles")[modality]
    ]


def _check_slots(policy: Policy, category: Category) -> None:
    known = _slots(policy, category)
    for trigger in category.triggers:
        for scene in trigger.scenes:
            for side in filter(None, (scene.benign, scene.unsafe)):
                for name in wording.slot_names(side):
                    if not known.get(name):
                        raise InputError(
                            f"a scene of {trigger.term!r} has the slot {{{name}}}, which nothing fills",
                            where=f"policy {policy.name}, category {category.id}",
                            fix=f"Define it under slots:, or use one of {', '.join(sorted(known))}.",
                        )


@lru_cache(maxsize=4096)
def _term(term: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(term)}(?!\w)", re.IGNORECASE)


def _names(term: str, text: str) -> bool:
    """Whether the text names the term as whole words."""
    return bool(_term(term).search(text))


@lru_cache(maxsize=8192)
def _content(text: str) -> frozenset[str]:
    """The words of four letters and more: what makes two phrases sound alike."""
    return frozenset(re.findall(r"[^\W\d_]{4,}", text.lower())) - {"scene", "with", "from", "that"}


def _rng(*parts: object) -> random.Random:
    """A generator seeded by content, the same in every process."""
    blob = "\x1f".join(str(p) for p in parts).encode("utf-8", "surrogatepass")
    return random.Random(int.from_bytes(hashlib.blake2b(blob, digest_size=8).digest(), "big"))


class Grammar:
    """The grammar as a writer of the registry: `builtin/grammar`."""

    name = NAME

    @staticmethod
    def compose(
        policy: Policy, category: Category, *, count: int, seed: int, start: int = 0
    ) -> Iterator[Prompt]:
        """See the function `compose`."""
        return compose(policy, category, count=count, seed=seed, start=start)

    @staticmethod
    def twins(policy: Policy, category: Category, prompt: Prompt, *, seed: int) -> list[Prompt]:
        """See the function `twins`."""
        return twins(policy, category, prompt, seed=seed)
