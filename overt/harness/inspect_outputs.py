"""What a model of Inspect returned, as an outcome of ours.

Inspect's fields are of inspect_ai/model/_model_output.py (0.3.285): `stop_reason` is "content_filter" where
the service or its filter declined, "model_length" where prompt and answer do not fit the context.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, get_args

from overt.data.chat import CallError, ChatReply, ErrorKind
from overt.data.outcomes import Outcome, State
from overt.data.provider.answers import response_of
from overt.data.provider.machine import machine_says
from overt.data.provider.reader import Failed
from overt.data.records import Prompt, from_json, to_json
from overt.data.secrets import storable
from overt.data.targets import RefusalStage
from overt.harness.answers import within_floor
from overt.scoring.refusal import decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, ModelOutput

    from overt.data.json_types import Json

LOG_KEY = "overt"  # of the metadata of a log, beneath which ours stand
_NO_PICTURES = (
    "the model returned something else than text; `overt run` judges pictures, these tasks judge words alone"
)


# -- prompts ----------------------------------------------------------------------------------------------


def metadata_of(prompt: Prompt, suite: str) -> dict[str, Json]:
    """What a sample says of its prompt, besides its id and its text."""
    about = to_json(prompt)
    del about["id"], about["text"]
    return {**about, "cluster": prompt.cluster, "suite": suite}


def prompt_of(sample_id: str, text: str, metadata: Mapping[str, object]) -> Prompt:
    """The prompt of a sample.

    Raises:
        TypeError: the metadata are not of a sample of ours.
    """
    return from_json(Prompt, {**metadata, "id": sample_id, "text": text})


# -- answers ----------------------------------------------------------------------------------------------


_PICTURES = frozenset({"image", "audio", "video", "document"})
_PROTOCOL = "openai"  # what an endpoint says in an answer's place, whichever it is


def reply_of(output: ModelOutput) -> ChatReply:
    """The words of an answer, without the thinking, or why there is none."""
    if not output.choices:
        return _failed("server", output.error or "the model was not asked, or gave nothing")
    choice = output.choices[0]
    text, is_filtered = _text_of(choice.message), choice.stop_reason == "content_filter"
    if not is_filtered and (error := _unusable(choice, text)):
        return ChatReply(error=error)
    usage = output.usage
    return ChatReply(
        text=text,
        finish_reason=choice.stop_reason,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        latency_s=output.time or 0.0,
    )


def _text_of(message: ChatMessageAssistant) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if part.type == "text")


def _unusable(choice: ChatCompletionChoice, text: str) -> CallError | None:
    """Why an answer that nobody filtered is none."""
    content = choice.message.content
    if not text.strip() and not isinstance(content, str) and any(part.type in _PICTURES for part in content):
        return CallError("bad_request", _NO_PICTURES)
    if choice.stop_reason == "model_length":  # the text is then Inspect's, or the answer broke off
        return CallError("too_long", "prompt and answer do not fit the model's context")
    broken = machine_says(_PROTOCOL, text)
    return broken.error if isinstance(broken, Failed) else None


def _failed(kind: ErrorKind, why: str) -> ChatReply:
    return ChatReply(error=CallError(kind, why))


def outcome_of(prompt: Prompt, output: ModelOutput, *, target: str, sample: int, error: str = "") -> Outcome:
    """What became of a prompt, before a judge has read the words. A sample's error is a missing answer.

    Args:
        target: the model's name in Inspect, "provider/model".
        sample: the number of the draw, from 0 (Inspect's epochs count from 1).
        error: why the sample failed, "" if it did not.
    """
    reply = _failed("server", error) if error else reply_of(output)
    response = response_of(target, reply, None)
    if response.code:  # a filter's; what it said of its reason
        details = output.choices[0].stop_details
        response = dataclasses.replace(response, message=((details and details.explanation) or "")[:500])
    cost = output.usage.total_cost if output.usage else None
    return decide(
        prompt,
        within_floor(storable(dataclasses.replace(response, latency_s=reply.latency_s))),
        target=target,
        sample=sample,
        images=(),
        facts=(),
        cost=cost or 0.0,
        expects="text",
    )


# -- verdicts ---------------------------------------------------------------------------------------------


def verdict_metadata(outcome: Outcome, judge: str) -> dict[str, Json]:
    """What a score keeps of an outcome besides its value and its evidence."""
    return {"state": outcome.state, "stage": outcome.stage, "code": outcome.code, "judge": judge}


def with_verdict(outcome: Outcome, verdict: Mapping[str, object], evidence: str) -> Outcome:
    """The outcome as a score has it.

    Raises:
        ValueError: the score is not one of ours.
    """
    state = next((state for state in get_args(State) if state == verdict.get("state")), None)
    stage = next((stage for stage in get_args(RefusalStage) if stage == verdict.get("stage")), None)
    if state is None or (stage is None) != (state in ("generated", "error")):
        raise ValueError(f"no verdict of ours: {verdict}")
    code = str(verdict.get("code") or "")
    return dataclasses.replace(outcome, state=state, stage=stage, code=code, evidence=evidence)


GRADER = "grader"  # the role that Inspect's own model-graded scorers ask


def needs_model(judge: str) -> bool:
    """Whether a judge is asked by Inspect: the role, or judge/PROVIDER/MODEL."""
    return judge == GRADER or "/" in judge.partition("?")[0].removeprefix("judge/")
