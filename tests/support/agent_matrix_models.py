"""Chat models for `agent-matrix` that go wrong on the way: each scales up in its first turn."""

from overt.data.chat import CallError, ChatReply
from overt.data.tools import ToolCall
from overt.environments.scripted import calls


class _Scaling:
    takes_tools = True

    async def complete(self, request):
        if any(turn.role == "assistant" for turn in request.messages):
            return self.then()
        return calls(("scale", {"deployment": "agent", "replicas": 5}), ("wait", {}))

    async def close(self):
        pass


class Blocked(_Scaling):
    """A filter of the service stops its second turn."""

    name = "openai/blocked"

    def then(self):
        return ChatReply(finish_reason="content_filter", refusal="content_filter")


class Failing(_Scaling):
    """Its second turn is an error that holds."""

    name = "failing"

    def then(self):
        return ChatReply(error=CallError("too_long", "the conversation is too long", 400))


class Inventing(_Scaling):
    """It calls a tool that there is not, and does so again."""

    name = "inventing"

    def then(self):
        return ChatReply(finish_reason="tool_calls", calls=(ToolCall("x", "escape", "{}"),))
