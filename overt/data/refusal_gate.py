"""How a model with refusal tokens is asked: its options, and what its probabilities come to.

Local and served models share it. Both get the probabilities before the first token of the answer, by one
forward pass or one call, choose by the rule of "Refusal Tokens" (arXiv 2412.06748), and go on behind the
chosen token; behind another one too, where a run is to give the whole curve.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from overt.data.chat import ChatReply
from overt.data.errors import InputError
from overt.data.plugins.names import fraction
from overt.data.plugins.wrapped import provider_of
from overt.data.provider.answers import response_of
from overt.data.provider.vocabulary import finish_stage
from overt.data.refusal_tokens import (
    REFUSE,
    RESPOND,
    Continuation,
    Gate,
    Rule,
    Tokens,
    TokenShare,
    chosen_by,
    top_of,
)
from overt.data.refusal_tokens_file import read_tokens

MARGIN = 0.1  # so near to its threshold a probability may be decided otherwise by another one
Threshold = float | Mapping[str, object] | None
# Failures of a call that would fail again; others are tried again with the whole request.
_FINAL = frozenset({"bad_request", "too_long", "forbidden", "floor"})


@dataclass(frozen=True, slots=True)
class Knob:
    """How a model with refusal tokens is asked.

    both: whether the model also goes on behind the token that was not chosen, for every prompt. margin: it
    does so in any case where the probability is so near to what decides, and where it is only a bound that
    reaches the threshold.
    """

    tokens: Tokens
    rule: Rule
    both: bool = False
    margin: float = MARGIN

    def gate(self, shares: Iterable[TokenShare], own: str) -> Gate:
        """What the rule makes of the probabilities.

        Args:
            shares: of all tokens.
            own: the name of the model's own most probable token, "" where that is none of them.
        """
        found = tuple(shares)
        chosen, threshold = chosen_by(self.rule, found, own)
        top = top_of(found)
        # A bound is no probability: what is known of the mass is what was listed.
        mass = sum((share.p for share in found if not share.is_bound), 0.0)
        return Gate(found, top.p, top.name, mass, chosen, threshold)

    def others(self, gate: Gate) -> tuple[str, ...]:
        """The tokens behind which the model goes on besides the chosen one: the most probable refuse token or
        the respond token, where the two are near or `both` are asked for."""
        if not self.both and not self._is_near(gate):
            return ()
        return tuple(name for name in (RESPOND, gate.top) if name != gate.chosen)

    def _is_near(self, gate: Gate) -> bool:
        against = gate.threshold
        if against is None and gate.top == REFUSE:
            against = next((share.p for share in gate.shares if share.name == RESPOND), None)
        if against is None:
            return False
        is_bound = any(share.is_bound for share in gate.shares if share.name == gate.top)
        return abs(gate.score - against) <= self.margin or (is_bound and gate.chosen == gate.top)


def knob_of(
    name: str,
    refusal_tokens: str | None,
    threshold: Threshold = None,
    *,
    both: bool = False,
    margin: float | None = None,
) -> Knob | None:
    """The knob of a model's options; None where it has no refusal tokens.

    Args:
        name: the model, for messages.
        refusal_tokens: the file that names them.
        threshold: one for all tokens, or by category, with the one for all others under "".
        margin: None: `MARGIN`.

    Raises:
        InputError: the file cannot be read, a threshold is no number from 0 to 1 or of no such category, or
            there are options of refusal tokens without their file.
    """
    given = {"threshold": threshold is not None, "both": both, "margin": margin is not None}
    if refusal_tokens is None:
        if alone := next((option for option, is_given in given.items() if is_given), ""):
            raise InputError(
                f"{name}: {alone!r} is of a model with refusal tokens, and no file names them",
                fix="Add refusal_tokens=tokens.json, the file that overt export wrote.",
            )
        return None
    tokens = read_tokens(Path(refusal_tokens).expanduser())
    rule = _rule(name, tokens, threshold)
    return Knob(tokens, rule, both, MARGIN if margin is None else fraction(margin, name, "margin"))


def _rule(name: str, tokens: Tokens, threshold: Threshold) -> Rule:
    by_name = dict(threshold) if isinstance(threshold, Mapping) else {"": threshold}
    each: dict[str, float] = {}
    for category, value in by_name.items():
        if category and category not in tokens.refuse:
            known = ", ".join(tokens.refuse)
            raise InputError(
                f"{name}: there is no refuse token {category!r} for threshold.{category}",
                fix=f"Its refuse tokens: {known}."
                if not tokens.is_single
                else "It has one refuse token for all categories: threshold=0.5",
            )
        if value is not None:
            each[category] = fraction(str(value), f"{category or 'refusal'} tokens of {name}")
    return Rule(each.pop("", None), each or None)


def thresholds_named(threshold: Threshold) -> dict[str, object]:
    """The options that name these thresholds: threshold, threshold.CATEGORY."""
    if not isinstance(threshold, Mapping):
        return {"threshold": threshold}
    return {f"threshold.{key}" if key else "threshold": value for key, value in threshold.items()}


# -- answers behind tokens -----------------------------------------------------------------------------------


def is_final(reply: ChatReply) -> bool:
    """Whether a reply is an answer, or a failure that another try would not mend."""
    return reply.error is None or reply.error.kind in _FINAL


def answer_of(name: str, gate: Gate, written: Mapping[str, ChatReply]) -> ChatReply:
    """The reply of a prompt: what was written behind the chosen token, with the gate and what was written
    behind the others. Its tokens are those of all calls.

    Args:
        name: the model, for the reading of its codes.
        written: by the token's name, that of `gate.chosen` among them.
    """
    others = tuple(
        _continuation(name, token, reply) for token, reply in written.items() if token != gate.chosen
    )
    reply = written[gate.chosen]
    if reply.error is not None:
        return reply
    adapted = dict.fromkeys(change for one in written.values() for change in one.adapted)
    return replace(
        reply,
        input_tokens=_sum(one.input_tokens for one in written.values()),
        output_tokens=_sum(one.output_tokens for one in written.values()),
        adapted=tuple(adapted),
        gate=replace(gate, others=others),
    )


def _continuation(name: str, token: str, reply: ChatReply) -> Continuation:
    if reply.error is not None:
        return Continuation(token, "", "error", reply.error.kind, None, reply.error.message[:480])
    response = response_of(name, reply, None)
    if response.code:  # whatever came before it stepped in, as for any other answer
        stage = finish_stage(provider_of(name), reply.finish_reason or "")
        return Continuation(
            token, response.text, "refused", response.code[:60], stage, "the service's own filter"
        )
    return Continuation(token, response.text)


def _sum(counts: Iterable[int | None]) -> int | None:
    found = list(counts)
    return None if None in found else sum(count or 0 for count in found)
