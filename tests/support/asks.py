"""An `Ask` that answers from a function: for tests of a stage alone. Whole runs use a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from overt.data.chat import Answer, AnswerError, ChatReply, ChatRequest, Question

T = TypeVar("T")


class FunctionAsk:
    """Parses what the function says, once, without retries; a ChatReply is taken as it is."""

    model = "test/function"

    def __init__(self, answer: Callable[[ChatRequest], str | ChatReply]) -> None:
        self.answer = answer
        self.requests: list[ChatRequest] = []

    def __call__(self, questions: Iterable[Question[T]]) -> Iterator[Answer[T]]:
        for question in questions:
            self.requests.append(question.request)
            said = self.answer(question.request)
            reply = said if isinstance(said, ChatReply) else ChatReply(text=said)
            if reply.error:
                yield Answer(question.about, reply, None, reply.error.kind, reply.error.message)
                continue
            try:
                yield Answer(question.about, reply, question.parse(reply))
            except AnswerError as error:
                kind = "refused" if reply.refusal else "malformed"
                yield Answer(question.about, reply, None, kind, str(error))
