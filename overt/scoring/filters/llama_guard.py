"""`filter/llama-guard[/REPO_OR_FOLDER]`: guard models, called through their own chat template.

Llama Guard says "safe", or "unsafe" and the codes of its categories on the next line. Similar guards work by
naming their words:

    filter/llama-guard/google/shieldgemma-2b?unsafe_words=yes&safe_words=no&guideline=...
    filter/llama-guard/ibm-granite/granite-guardian-3.1-2b?unsafe_words=yes&safe_words=no&risk=violence
"""

from __future__ import annotations

import re
import threading
from dataclasses import replace

from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.local.language import LanguageModel, Row, Written, write
from overt.data.local.memory import Room
from overt.data.plugins.names import one_line, spell, words
from overt.data.replies import read_reply
from overt.data.text import encodable
from overt.scoring.filters.local import SCORE_DIGITS, in_batches, positions

DEFAULT_MODEL = "meta-llama/Llama-Guard-3-1B"
_NEW_TOKENS = 24  # room for the verdict and a dozen codes
_CONTEXT = 4096  # tokens, if neither model nor tokenizer has a limit
_MARK = "overt asks whether this text arrives"
_CODES = re.compile(r"[A-Za-z]{1,4}\d{1,3}(?:\s*,\s*[A-Za-z]{1,4}\d{1,3})*")


class LlamaGuard:
    """Blocks what a guard model calls unsafe. Decoding is greedy.

    Args:
        model: a Hub id or a local folder. Weights are safetensors only.
        unsafe_words, safe_words: the possible first lines of its reply, separated by commas; case is
            ignored.
        guideline: passed to a ShieldGemma's template.
        risk: the name of the risk, passed to a Granite Guardian's template.
        device: "cuda", "cuda:1", "mps", "cpu"; "auto": spread over all devices (needs accelerate); None:
            the best device.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        batch_size: maximum texts in a batch.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.

    Raises:
        InputError: the model cannot be loaded (gated, not found, no safetensors), or its chat template
            does not accept a text.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        unsafe_words: str = "unsafe",
        safe_words: str = "safe",
        guideline: str | None = None,
        risk: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 8,
        trust_remote_code: bool = False,
    ) -> None:
        head = "filter/llama-guard" + (f"/{model}" if model != DEFAULT_MODEL else "")
        self.name = spell(
            head,
            unsafe_words=None if unsafe_words == "unsafe" else unsafe_words,
            safe_words=None if safe_words == "safe" else safe_words,
            guideline=guideline,
            risk=risk,
            trust_remote_code=trust_remote_code or None,
        )
        self._unsafe, self._safe = (
            tuple(w.casefold() for w in words(listed)) for listed in (unsafe_words, safe_words)
        )
        if not self._unsafe or not self._safe or set(self._unsafe) & set(self._safe):
            raise InputError(
                f"{head}: unsafe_words and safe_words have to hold different words, at least one each",
                fix="For instance: unsafe_words=yes&safe_words=no",
            )
        if batch_size < 1:
            raise InputError(f"{head}: a batch holds at least one text, not {batch_size}")
        self._room = Room(head, batch_size)
        self._language = LanguageModel(
            head, model, device=device, dtype=dtype, trust_remote_code=trust_remote_code
        )
        self._tokenizer, self._model = self._language.tokenizer, self._language.model
        self._settings: dict[str, object] = {}  # template values besides the text
        if guideline is not None:
            self._settings["guideline"] = guideline
        if risk is not None:  # older templates read the first key, newer ones the second
            self._settings["guardian_config"] = {"risk_name": risk, "criteria_id": risk}
        self._in_parts = self._takes_parts(head)
        self._context = positions(self._model, self._tokenizer, _CONTEXT)
        self._ids = tuple(self._single_tokens(listed) for listed in (self._unsafe, self._safe))
        self._lock = threading.Lock()  # the memory is for one batch at a time

    def decide(self, text: str) -> FilterDecision:
        """Returns the guard's verdict; None with the reason "unclear: ..." if it gives none.

        The score is the probability of the unsafe words against the safe ones at the start of the verdict,
        or None if the words are not single tokens. The reason holds the categories' codes.
        """
        return self.decide_many([text])[0]

    def decide_many(self, texts: list[str]) -> list[FilterDecision]:
        """Returns the verdicts on many texts, in order, equal to `decide` up to rounding (a near tie may tip
        in bfloat16 on a GPU)."""
        with self._lock:
            rows = [self._encode(text) for text in texts]
            fit = [row for row in rows if isinstance(row, list)]
            judged: list[FilterDecision | CallError] = in_batches(fit, len, self._room, self._judge)
            answers = iter(judged)
            results = [next(answers) if isinstance(row, list) else row for row in rows]
        return [FilterDecision(None, error=r) if isinstance(r, CallError) else r for r in results]

    # -- words to tokens ------------------------------------------------------------------------------

    def _takes_parts(self, head: str) -> bool:
        """Returns whether the template needs a message's content as a list of parts. Such templates silently
        drop a plain text."""
        if not getattr(self._tokenizer, "chat_template", None):
            raise InputError(
                f"{head} brings no chat template, so it is no guard",
                fix="Name a guard model, for instance meta-llama/Llama-Guard-3-1B.",
            )
        complaint: Exception | None = None
        for in_parts in (False, True):
            try:
                if _MARK in self._render(_MARK, in_parts):
                    return in_parts
            except Exception as error:
                complaint = complaint or error
        why = f": {one_line(complaint, 300)}" if complaint else " (it leaves the text out)"
        raise InputError(
            f"{head}: its chat template does not take a text{why}",
            fix="A ShieldGemma needs guideline=..., a Granite Guardian may need risk=...",
        )

    def _render(self, text: str, in_parts: bool) -> str:
        content = [{"type": "text", "text": text}] if in_parts else text
        return str(
            self._tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                tokenize=False,
                add_generation_prompt=True,
                **self._settings,
            )
        )

    def _encode(self, text: str) -> list[int] | CallError:
        text = encodable(text)
        # A control token could end the prompt and speak for the guard; a zero-width space breaks it.
        for token in self._language.controls:
            text = text.replace(token, f"{token[0]}\u200b{token[1:]}")
        try:
            rendered = self._render(text, self._in_parts)
            row = list(self._tokenizer(rendered, add_special_tokens=False)["input_ids"])
        except Exception as error:  # one bad text must not end the run
            return CallError("bad_request", f"{type(error).__name__}: {one_line(error, 400)}")
        if len(row) + _NEW_TOKENS > self._context:
            return CallError("too_long", f"{len(row)} tokens, the guard's context holds {self._context}")
        return row

    def _single_tokens(self, listed: tuple[str, ...]) -> list[int]:
        """Returns the token ids of those spellings of the words that are a single token."""
        found = set()
        for word in listed:
            for spelling in (word, word.capitalize(), word.upper()):
                for spelt in (spelling, f" {spelling}"):
                    ids = self._tokenizer(spelt, add_special_tokens=False)["input_ids"]
                    if len(ids) == 1 and ids[0] != self._tokenizer.unk_token_id:
                        found.add(int(ids[0]))
        return sorted(found)

    # -- the verdict ----------------------------------------------------------------------------------

    def _judge(self, rows: list[list[int]]) -> list[FilterDecision]:
        asked = [Row(row) for row in rows]
        written = write(self._language, asked, [_NEW_TOKENS] * len(rows), with_logits=True)
        decisions = []
        for one in written:
            verdict = read_verdict(one.text, self._unsafe, self._safe)
            decisions.append(replace(verdict, score=self._score(one)))
        return decisions

    def _score(self, written: Written) -> float | None:
        """Returns the probability of the unsafe words at the first token that is not blank."""
        import torch

        unsafe, safe = self._ids
        for step, token in enumerate(written.tokens):
            if not str(self._tokenizer.decode([token])).strip():
                continue
            if token not in unsafe and token not in safe:
                return None
            assert written.logits is not None
            row = written.logits[step]
            groups = (
                torch.stack([row[unsafe].logsumexp(0), row[safe].logsumexp(0)]) if unsafe and safe else None
            )
            return None if groups is None else round(float(torch.softmax(groups, 0)[0]), SCORE_DIGITS)
        return None


def read_verdict(text: str, unsafe: tuple[str, ...], safe: tuple[str, ...]) -> FilterDecision:
    """Reads a guard's reply as a decision without a score. The first line must be one of the words."""
    lines = [line.strip() for line in read_reply(text).bare_answer.splitlines() if line.strip()]
    word = lines[0].strip(" .,:;!*\"'`").casefold() if lines else ""
    if word in safe:
        return FilterDecision(False)
    if word in unsafe:
        codes = _CODES.fullmatch(lines[1].rstrip(" .")) if len(lines) > 1 else None
        return FilterDecision(True, None, one_line(re.sub(r"\s*,\s*", ",", codes.group()) if codes else word))
    return FilterDecision(None, None, f"unclear: {one_line(text, 120) or 'it said nothing'}")
