"""A chat model's reply as a target's response."""

from __future__ import annotations

from overt.data.chat import ChatReply
from overt.data.plugins.wrapped import provider_of
from overt.data.provider.vocabulary import finish_stage
from overt.data.targets import Response


def response_of(target: str, reply: ChatReply, seed: int | None) -> Response:
    """A content filter's code in `code`, the model's words in `text`.

    Args:
        target: its name, "provider/model".
    """
    filtered = finish_stage(provider_of(target), reply.finish_reason or "") is not None
    return Response(
        # The refusal field holds the model's own words, or the code of a content filter.
        text=reply.text or ("" if filtered else reply.refusal or ""),
        status=reply.raw.status if reply.raw and filtered else None,
        code=(reply.refusal or "content_filter") if filtered else "",
        finish_reason=reply.finish_reason,
        seed=seed,
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        error=reply.error,
        raw=reply.raw,
        adapted=reply.adapted,
        gate=reply.gate,
        calls=reply.calls,
    )
