"""`filter/guard/REPO_OR_FOLDER`: guard models, asked and read as their makers document it.

Known guards (guard_presets.py) are told by their name or their chat template, or named: preset=shieldgemma.
Others work by naming their words:

    filter/guard/google/shieldgemma-2b?guideline=hate
    filter/guard/ibm-granite/granite-guardian-3.1-2b?risk=violence
    filter/guard/./my-guard?unsafe_words=yes&safe_words=no
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from overt.data.chat import CallError, Message
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.language import LanguageModel, Row, Turns, reaching_turns, tame
from overt.data.local.memory import Room
from overt.data.local.writing import Written, sharing_of, write
from overt.data.plugins.names import one_line, spell
from overt.data.replies import read_reply
from overt.scoring.filters import guard_scores
from overt.scoring.filters.guard_answers import check_answers, filled, of_answers
from overt.scoring.filters.guard_options import Given, Setup, named_words, set_up
from overt.scoring.filters.guard_presets import PRESETS, Preset
from overt.scoring.filters.guard_replies import Reading, Words, read_codes, read_tag, shown
from overt.scoring.filters.local import SCORE_DIGITS, in_batches

DEFAULT_MODEL = "meta-llama/Llama-Guard-3-1B"
THRESHOLD = 0.5
_MOST_LOGITS = 64  # steps; a guard's score stands at its beginning
_LEAST = 24  # tokens that a verdict and a dozen codes take
_Score = Callable[[Written], float | None]


class Guard:
    """Blocks what a guard model calls unsafe. Decoding is greedy.

    Where the guard's makers document a probability, that is the score, and what reaches the threshold is
    blocked. Where they document words only, the words decide and there is no score.

    Args:
        model: a Hub id or a local folder. Weights are safetensors only.
        preset: the family of guards that it belongs to; None: told by its name or its chat template.
        unsafe_words, safe_words: its words where it is none of the known guards, separated by commas; case is
            ignored.
        threshold: from 0 to 1; the score that blocks.
        guideline: what a ShieldGemma looks for: "dangerous", "harassment", "hate", "sexual", several of them,
            or a text; the policy of a gpt-oss-safeguard.
        policy: a file that holds the guideline.
        risk: the name of the risk that a Granite Guardian looks for.
        prompt: a file with what the guard is asked, with {prompt} in it, and {response} where an answer to
            the prompt goes; that is left empty where a prompt alone is judged.
        controversial: "block" or "pass": what a Qwen3Guard calls controversial.
        think: whether a Granite Guardian 3.3 thinks before its verdict.
        new_tokens: the most tokens of its reply.
        device: "cuda", "cuda:1", "mps", "cpu"; "auto": spread over all devices (needs accelerate); None:
            the best device.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        batch_size: maximum texts in a batch.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.

    Raises:
        InputError: the model cannot be loaded (gated, not found, no safetensors), its chat template does not
            accept a text, or an option has no effect on this guard.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    provider = "guard"
    covers = "all"  # as a judge of harm: of what its own policy names

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        preset: str | None = None,
        unsafe_words: str | None = None,
        safe_words: str | None = None,
        threshold: str | float | None = None,
        guideline: str | None = None,
        policy: str | None = None,
        risk: str | None = None,
        prompt: str | None = None,
        controversial: str | None = None,
        think: bool = False,
        new_tokens: int | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 8,
        trust_remote_code: bool = False,
    ) -> None:
        head = f"filter/{self.provider}" + (f"/{model}" if model != DEFAULT_MODEL else "")
        given = Given(
            preset, unsafe_words, safe_words, threshold, guideline, policy, risk, prompt, controversial,
            think, new_tokens,
        )  # fmt: skip
        self.name = spell(head, **given.to_name(), trust_remote_code=trust_remote_code or None)
        named_words(head, given)  # before the model loads, which takes long
        if batch_size < 1 or (new_tokens is not None and new_tokens < 1):
            raise InputError(f"{head}: batch_size holds at least one text, new_tokens at least one token")
        self._room = Room(head, batch_size)
        self._language = LanguageModel(
            head, model, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        self._setup = set_up(head, model, self._language, given)
        self.notes = (*self._setup.notes, *self._language.notes)
        self._turns = self._reaching_turns(head)
        self._head = head
        self._answer_turns: Turns | None = None  # those that let an answer arrive too, once it is known
        self._score = _scorer(head, self._setup, self._language)
        sharing_of(self._language)  # a model that cannot write is told here
        self._lock = threading.Lock()  # the memory is for one batch at a time

    def decide(self, text: str) -> FilterDecision:
        """Returns the guard's verdict; None with the reason "unclear: ..." if it gives none. The reason of a
        blocked text holds the categories."""
        return self.decide_many([text])[0]

    def decide_many(self, texts: list[str]) -> list[FilterDecision]:
        """Returns the verdicts on many texts, in order, equal to `decide` up to rounding (a near tie may tip
        in bfloat16 on a GPU)."""
        with self._lock:
            return self._decided([self._asked(text) for text in texts])

    def decide_answers(self, prompts: list[str], answers: list[str]) -> list[FilterDecision]:
        """Returns the verdicts on answers, each read with the prompt that it answers, in order.

        Raises:
            InputError: as `check_answers`.
        """
        with self._lock:
            rows = zip(prompts, answers, strict=True)
            return self._decided([self._asked(prompt, answer) for prompt, answer in rows])

    def check_answers(self) -> Turns:
        """The turns in which a prompt and its answer reach the guard.

        Raises:
            InputError: its makers document no judgement of answers, or an answer does not reach it.
        """
        if self._answer_turns is None:
            question = self._setup.question
            check_answers(self._head, self._setup.preset, question)
            turns: Turns | None = self._turns
            if question is None:
                turns, _ = reaching_turns(
                    self._language, lambda said: self._messages("a prompt", said), self._setup.settings
                )
            if turns is None:
                raise InputError(
                    f"{self._head}: its chat template does not take an answer behind a prompt",
                    fix="Name a guard that judges answers, such as filter/guard/meta-llama/Llama-Guard-3-8B.",
                )
            self._answer_turns = turns
        return self._answer_turns

    def _decided(self, asked: list[_Asked | CallError]) -> list[FilterDecision]:
        fit = [one for one in asked if isinstance(one, _Asked)]
        judged: list[FilterDecision | CallError] = in_batches(
            fit, lambda one: len(one.row.tokens), self._room, self._judge
        )
        answers = iter(judged)
        results = [next(answers) if isinstance(one, _Asked) else one for one in asked]
        return [FilterDecision(None, error=r) if isinstance(r, CallError) else r for r in results]

    # -- what is asked --------------------------------------------------------------------------------

    def _reaching_turns(self, head: str) -> Turns:
        """Returns turns whose template lets a text arrive. Some templates drop a plain text silently."""
        if self._setup.is_raw:
            return Turns(self._language)
        if not self._language.has_template:
            raise InputError(
                f"{head} brings no chat template, so it is no guard",
                fix="Name a guard model, for instance meta-llama/Llama-Guard-3-1B, or say which one it is: "
                f"preset=NAME ({', '.join(p.name for p in PRESETS)}).",
            )
        turns, complaint = reaching_turns(self._language, self._messages, self._setup.settings)
        if turns is not None:
            return turns
        why = f": {complaint}" if complaint else " (it leaves the text out)"
        raise InputError(
            f"{head}: its chat template does not take a text{why}",
            fix="A ShieldGemma needs guideline=..., a Granite Guardian may need risk=...",
        )

    def _messages(self, text: str, answer: str | None = None) -> list[Message]:
        setup = self._setup
        content = text if setup.question is None else filled(setup.question, text, answer)
        is_a_turn = setup.question is None and answer is not None
        return [
            *([Message("system", setup.system)] if setup.system else []),
            Message("user", content),
            *([Message("assistant", answer or "")] if is_a_turn else []),
            *([Message("user", setup.after)] if setup.after else []),
        ]

    def _asked(self, text: str, answer: str | None = None) -> _Asked | CallError:
        language, setup = self._language, self._setup
        turns = self._turns if answer is None else self.check_answers()
        try:
            if setup.is_raw and setup.question is not None:
                said = None if answer is None else tame(answer, language)
                rendered = filled(setup.question, tame(text, language), said)
                row = Row([int(token) for token in language.tokenizer(rendered)["input_ids"]])
            else:
                row = turns.row(self._messages(text, answer))
        except Exception as error:  # one bad text must not end the run
            return CallError("bad_request", f"{type(error).__name__}: {one_line(error, 400)}")
        room = language.context - len(row.tokens)
        if room < min(setup.new_tokens, _LEAST):
            return CallError(
                "too_long", f"{len(row.tokens)} tokens, the guard's context holds {language.context}"
            )
        preset = setup.preset if answer is None else of_answers(setup.preset)
        return _Asked(row, min(setup.new_tokens, room), preset)

    # -- the verdict ----------------------------------------------------------------------------------

    def _judge(self, asked: list[_Asked]) -> list[FilterDecision]:
        budgets = [one.budget for one in asked]
        with_logits = self._score is not None and max(budgets) <= _MOST_LOGITS
        written = write(self._language, [one.row for one in asked], budgets, with_logits=with_logits)
        return [self._decision(one, said) for one, said in zip(asked, written, strict=True)]

    def _decision(self, asked: _Asked, written: Written) -> FilterDecision:
        reading, why = read_said(
            asked.preset,
            str(self._language.tokenizer.decode(written.tokens, skip_special_tokens=False)),
            opened=asked.row.opened,
            cut_off_after=len(written.tokens) if written.is_cut_off else None,
            controls=self._language.controls,
        )
        if reading.verdict is None:
            return FilterDecision(None, None, one_line(f"unclear: {why}"))
        # The documented scores are those of a verdict that comes at once.
        score = self._score(written) if self._score and not reading.has_thought else None
        return _by_words(reading, self._setup) if score is None else _by_score(reading, score, self._setup)


def _is_unsafe(reading: Reading, setup: Setup) -> bool:
    return reading.verdict == "unsafe" or (reading.verdict == "unsure" and setup.blocks_unsure)


def _by_words(reading: Reading, setup: Setup) -> FilterDecision:
    if setup.threshold is not None:
        why = "its words have no probability to hold against the threshold"
        return FilterDecision(None, None, f"unclear: {why}")
    is_unsafe = _is_unsafe(reading, setup)
    if reading.verdict == "unsure":
        said = ": ".join(filter(None, [reading.word, reading.detail]))
        return FilterDecision(is_unsafe, None, one_line(said))
    return FilterDecision(is_unsafe, None, one_line(reading.detail or reading.word) if is_unsafe else "")


def _by_score(reading: Reading, score: float, setup: Setup) -> FilterDecision:
    score = round(score, SCORE_DIGITS)
    blocked = score >= (THRESHOLD if setup.threshold is None else setup.threshold)
    is_unsafe = _is_unsafe(reading, setup)
    said = reading.detail or reading.word
    if blocked != is_unsafe:  # another threshold than the guard's own, or words with small shares
        said = f"{reading.word}, {'over' if blocked else 'under'} the threshold"
    return FilterDecision(blocked, score, one_line(said) if blocked or is_unsafe else "")


def read_said(
    preset: Preset,
    text: str,
    *,
    opened: str = "",
    cut_off_after: int | None = None,
    controls: Sequence[str] = (),
) -> tuple[Reading, str]:
    """Reads a guard's reply: its verdict, and why there is none.

    Args:
        text: the reply with its control tokens.
        opened: the mark by which the prompt opened the thinking, or "".
        cut_off_after: the number of tokens after which the reply was cut off; None: it has an end.
        controls: texts of control tokens.
    """
    words = _words(preset)
    parts = read_reply(opened + text)
    is_cut_off = cut_off_after is not None
    cut = f"cut off after {cut_off_after} tokens, new_tokens= gives it more"
    if not parts.is_closed:
        return Reading(None), f"its thinking was {cut}" if is_cut_off else "its thinking has no end"
    answer = parts.answer
    if preset.reads is not read_codes:
        for control in controls:
            if control.casefold() not in (*words.unsafe, *words.safe):
                answer = answer.replace(control, " ")
    if preset.reads is not read_tag:
        answer = dataclasses.replace(parts, answer=answer).bare_answer
    reading = preset.reads(answer, words)
    has_thought = bool(opened or parts.thinking)
    is_half = reading.at_end or (reading.verdict is None and (preset.thinks or has_thought))
    if is_cut_off and is_half:
        return Reading(None), f"{cut}: {shown(answer)}"
    return dataclasses.replace(reading, has_thought=has_thought), shown(answer)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A text as the guard reads it. budget: tokens for the reply. preset: how that is read."""

    row: Row
    budget: int
    preset: Preset


def _words(preset: Preset) -> Words:
    unsafe, safe = (tuple(word.casefold() for word in listed) for listed in (preset.unsafe, preset.safe))
    return Words(unsafe, safe, preset.unsure, preset.key, preset.detail, preset.thinks)


def _scorer(head: str, setup: Setup, language: LanguageModel) -> _Score | None:
    """Returns the documented score as a function of what the guard wrote; None: it documents words only.

    Raises:
        InputError: the rule needs tokens that the tokenizer does not have, or there is a threshold without a
            score.
    """
    preset, tokenizer = setup.preset, language.tokenizer
    if preset.score is None:
        if setup.threshold is not None:
            raise InputError(
                f"{head}: threshold= has no effect: the preset {preset.name} documents words only",
                fix=f"Leave it out. Source: {preset.source}",
            )
        return None
    if preset.score == "top 20":
        return lambda said: guard_scores.top_spellings(said, tokenizer, preset.unsafe[0], preset.safe[0])
    if preset.score == "pair":
        vocabulary = tokenizer.get_vocab()
        lacks = [word for word in (preset.unsafe[0], preset.safe[0]) if word not in vocabulary]
        if lacks:
            raise InputError(
                f"{head}: the score of a {preset.name} needs the token {lacks[0]!r}, which its tokenizer "
                "does not have"
            )
        unsafe, safe = vocabulary[preset.unsafe[0]], vocabulary[preset.safe[0]]
        return lambda said: guard_scores.pair(said, unsafe, safe)
    any_case = preset.score == "spelled"
    tokens = guard_scores.WordTokens(tokenizer, preset.unsafe, preset.safe, any_case=any_case)
    rule = guard_scores.first_token if preset.score == "first" else guard_scores.spelled
    return lambda said: rule(said, tokens)
