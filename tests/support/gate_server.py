"""An endpoint of chats as several services behave towards refusal tokens: what they list, how they go on."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from support.servers import Answer, server

# The most probable first tokens of every answer; the rest of the mass lies on others.
FIRST = {" [respond]": 0.55, " [refuse]": 0.25, "Well": 0.1, "Hm": 0.05}
TURN = 4  # tokens around a turn


@dataclass
class Endpoint:
    """How it behaves. p: of the first tokens, for a prompt that holds a word. goes_on: "plain", "fields" as
    vLLM, "prefix" as Mistral, "anew" as OpenAI. echoes: whether an answer repeats what it goes on from.
    lists: the most tokens; None: it rejects logprobs; 0: it leaves them out. says: the answer behind a token.
    fails: by token, statuses for calls behind it, once each. filters: by token, what of the answer a filter
    let through. pause: seconds that an answer takes."""

    goes_on: str = "plain"
    echoes: bool = False
    lists: int | None = 20
    has_usage: bool = True
    coldest: float = 0.0
    p: dict[str, dict[str, float]] = field(default_factory=dict)
    says: dict[str, str] = field(
        default_factory=lambda: {
            " [respond]": "Sure, it is easy.",
            " [refuse]": "I'm sorry, but I can't help with that.",
            "": "Well, it is easy.",
        }
    )
    fails: dict[str, list[int]] = field(default_factory=dict)
    filters: dict[str, str | None] = field(default_factory=dict)
    pause: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Requests that are no probes."""
        return [body for body in self.bodies if body["messages"][0]["content"] != "Say hello."]

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        with server(self.answer) as url:
            yield url

    def answer(self, body: dict[str, Any]) -> Answer:
        time.sleep(self.pause)
        self.bodies.append(body)
        turns = body["messages"]
        known = {"model", "messages", "max_tokens", "temperature", "seed", "logprobs", "top_logprobs"}
        known |= {"continue_final_message", "add_generation_prompt"} if self.goes_on == "fields" else set()
        more = sorted(set(body) - known)
        if self.goes_on == "anew" and (more or "prefix" in turns[-1]):
            return _rejected(f"Unrecognized request argument supplied: {(*more, 'prefix')[0]}")
        if body.get("logprobs") and self.lists is None:
            return 422, {}, {"detail": "Unsupported fields in the request: {'logprobs', 'top_logprobs'}"}
        if self.lists and body.get("top_logprobs", 0) > self.lists:
            return _rejected(f"top_logprobs must be less than or equal to {self.lists}")
        if body["temperature"] < self.coldest:
            return _rejected("temperature must be strictly positive")
        begun = turns[-1]["content"] if turns[-1]["role"] == "assistant" else ""
        if self.fails.get(begun) and turns[0]["content"] != "Say hello.":
            return self.fails[begun].pop(0), {}, {"error": {"message": "try again"}}
        goes_on = begun and self._goes_on(body)
        asked = turns[:-1] if begun else turns
        size = sum(len(turn["content"].split()) + TURN for turn in asked) + TURN
        size += 0 if not begun else len(begun.split()) + (0 if goes_on else TURN)
        text = self.says.get(begun if goes_on else "", "Well.")
        if body["max_tokens"] == 1:
            text = text.split()[0]
        if goes_on and self.echoes:
            text = f"{begun} {text}"
        choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
        choice["finish_reason"] = "length" if body["max_tokens"] == 1 else "stop"
        if goes_on and begun in self.filters and body["max_tokens"] > 1:
            choice = {"message": {"content": self.filters[begun]}, "finish_reason": "content_filter"}
        if body.get("logprobs") and self.lists:
            choice["logprobs"] = {"content": [self._first(turns[0]["content"], body["top_logprobs"])]}
        usage = {"prompt_tokens": size, "completion_tokens": len(text.split())}
        return 200, {}, {"choices": [choice], **({"usage": usage} if self.has_usage else {})}

    def _goes_on(self, body: dict[str, Any]) -> bool:
        by_fields = body.get("continue_final_message") is True and body.get("add_generation_prompt") is False
        by_prefix = body["messages"][-1].get("prefix") is True
        return {"plain": True, "fields": by_fields, "prefix": by_prefix}.get(self.goes_on, False)

    def _first(self, prompt: str, most: int) -> dict[str, Any]:
        p = next((found for word, found in self.p.items() if word in prompt), FIRST)
        listed = sorted(p.items(), key=lambda item: -item[1])[:most]
        top = [{"token": text, "logprob": math.log(share) if share else -9999.0} for text, share in listed]
        return {**top[0], "top_logprobs": top}


def _rejected(message: str) -> Answer:
    return 400, {}, {"error": {"message": message, "type": "invalid_request_error"}}
