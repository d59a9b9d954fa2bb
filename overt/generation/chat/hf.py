"""`hf/REPO_OR_FOLDER`: a local `transformers` model with its chat template, batched.

Sampling does not depend on the other rows of the batch: each row draws its own noise from its request (the
Gumbel-max trick: the largest of logits / temperature + Gumbel noise is a sample of the softmax; Gumbel
1954, used so by Maddison et al. 2014, arXiv 1411.0030). So batch size and resuming do not change the
replies, up to rounding: in bfloat16 on a GPU another batch shape can tip a token that was a near tie.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from overt.data.chat import CallError, ChatReply, ChatRequest
from overt.data.errors import InputError
from overt.data.local.batches import Batches, in_batches
from overt.data.local.devices import one_line
from overt.data.local.language import LanguageModel, Row, turns_for
from overt.data.local.memory import Room
from overt.data.local.writing import NoNumbers, batches_of, sharing_of, try_out, write
from overt.data.plugins.names import no_such_option, own_options, quoted, spell
from overt.data.refusal_gate import Threshold, answer_of, knob_of, thresholds_named
from overt.data.refusal_tokens import RESPOND
from overt.generation.chat.hf_gate import TokenGate

if TYPE_CHECKING:
    import torch

K = TypeVar("K")
Job = tuple[Row, ChatRequest]


class HFChat:
    """A language model from the Hub or a folder; a vision-language model sees the pictures of a request.
    Weights are safetensors only.

    JSON schemas are not enforced; the model only sees what the prompt says about the format.

    Args:
        model: a Hub id or a local folder.
        device: "cuda", "cuda:1", "mps", "cpu"; "auto": spread over all devices (needs accelerate);
            None: the best device.
        dtype: a torch dtype's name; None: bfloat16 on cuda, float32 elsewhere.
        batch_size: maximum rows in a batch; halved when memory runs out.
        trust_remote_code: run code from the repo. Only set this if the user asked for it.
        chat_template: the name of one of several chat templates; None: the one that is called default.
        refusal_tokens: the file that names the tokens of a model trained with them; it is then asked by its
            own rule, and each reply has a `gate`.
        threshold: of the refuse token's probability, or by category, see `knob_of`; None: the model's order.
        both: also let it go on behind the token that was not chosen.
        margin: let it do so where the probability is so near to the threshold.
        template_values: any value that the chat template reads, such as enable_thinking=false,
            thinking_budget=512, reasoning_effort=low.

    Raises:
        InputError: the device or dtype does not exist, the model cannot be loaded or does not write, its
            chat template does not read a value, or its tokenizer does not know the refusal tokens.
        ModuleNotFoundError: torch or transformers is not installed (the registry reports it).
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int = 8,
        trust_remote_code: bool = False,
        chat_template: str | None = None,
        refusal_tokens: str | None = None,
        threshold: Threshold = None,
        both: bool = False,
        margin: float | None = None,
        **template_values: object,
    ) -> None:
        self.name = spell(
            f"hf/{quoted(model)}",
            chat_template=chat_template,
            refusal_tokens=refusal_tokens,
            **thresholds_named(threshold),
            both=both or None,
            margin=margin,
            **template_values,
        )
        if batch_size < 1:
            raise InputError(f"{self.name}: a batch holds at least one row, not {batch_size}")
        self.max_concurrency = self.batch_size = batch_size  # read by the caller, and by workers
        options = own_options(type(self))
        for key in template_values:  # a mistyped option is told before a model is looked for
            if near := difflib.get_close_matches(key, options, n=1, cutoff=0.8):
                raise no_such_option(self.name, key, near, f"Its options: {', '.join(options)}.")
        knob = knob_of(self.name, refusal_tokens, threshold, both=both, margin=margin)
        self._gate = None if knob is None else TokenGate(self.name, knob)
        self._language = LanguageModel(
            self.name,
            model,
            device=device,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            settings=template_values,
            options=options,
            chat_template=chat_template,
            check=None if self._gate is None else self._gate.read,
        )
        if self._gate is not None:
            self._gate.settle(self._language)
        self._turns = turns_for(self._language)
        self.device = self._language.device
        self.sees_pictures = self._language.sees_pictures
        self.why_blind = self._language.why_blind
        self._context = self._language.context
        self.notes = tuple(self._find_notes())
        self._batches = Batches(self._answer, room=Room(self.name, batch_size), name="overt-hf")

    def _find_notes(self) -> list[str]:
        """How the model is asked, where that may differ from what a user expects."""
        notes = list(self._language.notes)
        if not self._language.has_template and not (self._language.eyes and self._language.eyes.is_bare):
            notes.append(
                "It has no chat template: it gets plain text (User: ... Assistant:). An instruction-tuned "
                "model would follow instructions better."
            )
        if self.max_concurrency == 1:
            try_out(self._language)
        elif (sharing := sharing_of(self._language)) != "any":
            which = "of the same length share a batch" if sharing == "length" else "are asked one by one"
            notes.append(f"Its answers depend on what fills a row of a batch, so requests {which}.")
        return notes

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Returns one reply; concurrent calls share a batch."""
        return await self._batches(request)

    async def close(self) -> None:
        """Stops the worker after its current batch."""
        await self._batches.close()

    # -- the worker's thread ----------------------------------------------------------------------------

    def _answer(self, requests: list[ChatRequest]) -> list[ChatReply]:
        """Returns replies in order. A request that cannot be encoded does not affect the others; running
        out of memory halves the batch size permanently."""
        replies: dict[int, ChatReply] = {}
        rows: list[tuple[int, Row, ChatRequest]] = []
        for number, request in enumerate(requests):
            try:
                row = self._turns.row(request.messages)
                longest = row if self._gate is None else self._gate.behind(self._language, row, RESPOND)
            except Exception as error:  # one bad request must not end the run
                replies[number] = _failed(error)
                continue
            if refusal := self._language.no_place(longest):
                replies[number] = ChatReply(error=refusal)
            else:
                rows.append((number, row, request))
        if self._gate is None:
            replies |= self._in_groups(rows, self._generate)
        else:
            replies |= self._behind_tokens(self._gate, rows)
        return [replies[number] for number in range(len(requests))]

    def _behind_tokens(
        self, gate: TokenGate, rows: Sequence[tuple[int, Row, ChatRequest]]
    ) -> dict[int, ChatReply]:
        """Replies behind refusal tokens: the probabilities of all rows first, then what is written behind the
        chosen token, and behind another where that is asked for."""

        def look(batch: list[tuple[Row, ChatRequest]]) -> list[ChatReply]:
            found = gate.look(self._language, [row for row, _ in batch])
            return [ChatReply(gate=one) for one in found]

        looked = self._in_groups(rows, look)
        jobs: list[tuple[tuple[int, str], Row, ChatRequest]] = []
        for number, row, request in rows:
            if (found := looked[number].gate) is None:
                continue
            try:
                jobs += [
                    ((number, token), gate.behind(self._language, row, token), request)
                    for token in (found.chosen, *gate.knob.others(found))
                ]
            except ValueError as error:  # one bad request must not end the run
                looked[number] = _failed(error)
        written: dict[int, dict[str, ChatReply]] = {}
        for (number, token), reply in self._in_groups(jobs, self._generate).items():
            written.setdefault(number, {})[token] = reply
        return {
            number: reply if reply.gate is None else answer_of(self.name, reply.gate, written[number])
            for number, reply in looked.items()
        }

    def _in_groups(
        self, rows: Sequence[tuple[K, Row, ChatRequest]], run: Callable[[list[Job]], list[ChatReply]]
    ) -> dict[K, ChatReply]:
        """Replies by the rows' keys. Running out of memory halves the batch size permanently."""
        replies: dict[K, ChatReply] = {}
        for group in self._groups(rows):
            done = in_batches(
                [(row, request) for _, row, request in group],
                run,
                self._batches.room,
                failed=_failed,
                full=_too_large,
            )
            replies.update((key, reply) for (key, _, _), reply in zip(group, done, strict=True))
        return replies

    def _groups(self, rows: Sequence[tuple[K, Row, ChatRequest]]) -> list[list[tuple[K, Row, ChatRequest]]]:
        """Groups rows that may share a batch, so that each row, padded to its group's longest prompt, has
        room for its full reply."""
        ordered = sorted(rows, key=lambda entry: len(entry[1].tokens))
        budgets = [self._budget(row, request) for _, row, request in ordered]
        groups: list[list[tuple[K, Row, ChatRequest]]] = []
        for batch in batches_of(self._language, [row for _, row, _ in ordered], budgets):
            most = self._context  # nothing joins what another batch began
            for place in batch:
                if len(ordered[place][1].tokens) + max(most, budgets[place]) <= self._context:
                    groups[-1].append(ordered[place])
                    most = max(most, budgets[place])
                else:
                    groups.append([ordered[place]])
                    most = budgets[place]
        return groups

    def _budget(self, row: Row, request: ChatRequest) -> int:
        return max(1, min(request.max_tokens, self._context - len(row.tokens)))

    def _generate(self, batch: list[Job]) -> list[ChatReply]:
        longest = max(len(row.tokens) for row, _ in batch)
        budgets = [self._budget(row, request) for row, request in batch]
        written = write(
            self._language,
            [row for row, _ in batch],
            budgets,
            processors=[_GumbelNoise(batch, longest)],  # it samples; the largest score wins
        )
        return [
            ChatReply(
                text=one.text,
                finish_reason="length" if one.is_cut_off else "stop",
                input_tokens=len(row.tokens),
                output_tokens=len(one.tokens),
            )
            for (row, _), one in zip(batch, written, strict=True)
        ]


class _GumbelNoise:
    """A logits processor that adds each row's own noise to logits / temperature. Temperature 0 stays greedy.

    A token's noise depends only on the request (seed, sample, prompt), the step and the token id, not on the
    order or the size of a batch.
    """

    def __init__(self, batch: list[tuple[Row, ChatRequest]], prompt_length: int) -> None:
        self._temperatures = [max(0.0, request.temperature) for _, request in batch]
        self._keys = [repr((request.seed, request.sample, row.tokens)).encode() for row, request in batch]
        self._prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        if not any(self._temperatures):
            return scores
        step = input_ids.shape[1] - self._prompt_length
        # mps lacks some 64-bit integer operations.
        device = "cpu" if scores.device.type == "mps" else scores.device
        keys = torch.tensor([_key(key, step) for key in self._keys], dtype=torch.long, device=device)
        noise = _gumbel(keys, scores.shape[1]).to(scores.device)
        heat = torch.tensor(self._temperatures, dtype=torch.float32, device=scores.device).unsqueeze(1)
        scores = scores.float()
        return torch.where(heat > 0, scores / heat.clamp(min=1e-6) + noise, scores)


def _key(request: bytes, step: int) -> int:
    digest = hashlib.blake2b(request, digest_size=8, salt=step.to_bytes(16, "big")).digest()
    return int.from_bytes(digest, "big", signed=True)


def _gumbel(keys: torch.Tensor, count: int) -> torch.Tensor:
    """Standard Gumbel noise, float32, shape (len(keys), count). Element n of a row is a hash of its key
    and n (splitmix64; Steele, Lea & Flood, OOPSLA 2014), equal on every device up to rounding."""
    import torch

    numbers = torch.arange(1, count + 1, dtype=torch.long, device=keys.device)
    x = keys.unsqueeze(1) + numbers * _signed(0x9E3779B97F4A7C15)
    # In place: with a vocabulary of 150,000, copies would take longer than the arithmetic. `>>` keeps the
    # sign of an integer, so the bits shifted in on the left are masked.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x.bitwise_xor_((x >> shift).bitwise_and_((1 << (64 - shift)) - 1)).mul_(_signed(factor))
    x.bitwise_right_shift_(31).bitwise_and_(0xFFFFFFFF)
    # v is uniform in (0, 1) and precise near 0, where the noise is largest and decides the sample.
    v = x.float().add_(0.5).mul_(2.0**-32).clamp_(max=1 - 2**-24)
    return v.neg_().log1p_().neg_().log_().neg_()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# -- small things ------------------------------------------------------------------------------------------


def _too_large(error: Exception) -> ChatReply:
    message = f"out of memory with this request alone ({one_line(error)})"
    return ChatReply(error=CallError("too_long", message))


def _failed(error: Exception) -> ChatReply:
    if isinstance(error, NoNumbers):
        return ChatReply(error=CallError("bad_request", str(error)))
    return ChatReply(error=CallError("bad_request", f"{type(error).__name__}: {one_line(error)}"))
