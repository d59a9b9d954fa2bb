"""Chat models for the greeting environment, each of which fails in its own way."""

import asyncio

from overt.data.chat import CallError, ChatReply
from overt.data.tools import ToolCall
from overt.environments.scripted import calls, says

HELLO = {"word": "hello"}


class _Model:
    takes_tools = True

    async def close(self):
        pass

    def turns(self, request):
        """How many results it was told."""
        return sum(turn.role == "tool" for turn in request.messages)

    def is_repair(self, request):
        return request.messages[-1].content.startswith("That could not be read")


class Polite(_Model):
    name = "polite"

    async def complete(self, request):
        return calls(("say", HELLO))


class Stumbling(_Model):
    """Its first attempt at each turn cannot be read."""

    name = "stumbling"

    async def complete(self, request):
        if self.is_repair(request):
            return calls(("say", HELLO))
        broken = ToolCall("x", "say", '{"word": "hel')
        return ChatReply(text="", finish_reason="tool_calls", calls=(broken,))


class Babbling(_Model):
    """It never learns."""

    name = "babbling"

    async def complete(self, request):
        return ChatReply(finish_reason="tool_calls", calls=(ToolCall("x", "shout", "{}"),))


class Empty(_Model):
    """In form, and it means nothing here."""

    name = "empty"

    async def complete(self, request):
        return calls(("say", {"word": ""}))


class Failing(_Model):
    """Its second turn is an error that holds."""

    name = "failing"

    async def complete(self, request):
        if self.turns(request):
            return ChatReply(error=CallError("too_long", "the conversation is too long", 400))
        return calls(("say", HELLO))


class Filtered(_Model):
    """A filter of the service stops its second turn."""

    name = "openai/filtered"

    async def complete(self, request):
        if self.turns(request):
            return ChatReply(finish_reason="content_filter", refusal="content_filter")
        return calls(("say", HELLO))


class Refusing(_Model):
    """It acts once, then it refuses."""

    name = "refusing"

    async def complete(self, request):
        if self.turns(request):
            return says("I'm sorry, but I can't help with that.")
        return calls(("say", HELLO))


class Done(_Model):
    """It says that it is done when it is not."""

    name = "done"

    async def complete(self, request):
        return says("Done: I have said hello as often as you asked.")


class Wordy(Polite):
    """It takes no tools, and says hello in words."""

    name, takes_tools = "wordy", False

    async def complete(self, request):
        assert not request.tools
        assert "- say: Say a word." in request.messages[0].content
        return says('Hello.\n<action>\n{"tool": "say", "arguments": {"word": "hello"}}\n</action>')


class Twice(Polite):
    """Two calls in one turn; the conversation that it is shown is checked."""

    name = "twice"

    async def complete(self, request):
        ids = [call.id for turn in request.messages for call in turn.calls]
        results = [turn.call_id for turn in request.messages if turn.role == "tool"]
        assert ids == results
        assert len(set(ids)) == len(ids)
        return calls(("say", HELLO), ("say", {"word": "hi"}))


class Unhurried(_Model):
    """It takes its time."""

    name = "unhurried"

    async def complete(self, request):
        await asyncio.sleep(0.01)
        return calls(("say", HELLO))


class Endless(_Model):
    """More calls in a turn than anybody needs."""

    name = "endless"

    async def complete(self, request):
        return calls(*[("say", HELLO)] * 101)


class Deep(_Model):
    """Arguments that a parser without a bound fails on."""

    name = "deep"

    async def complete(self, request):
        lists = "[" * 900 + "]" * 900
        return ChatReply(calls=(ToolCall("x", "say", '{"word": ' + lists + "}"),))


class Silent(_Model):
    """It acts once, and ends its turn without a word."""

    name = "silent"

    async def complete(self, request):
        return says("") if self.turns(request) else calls(("say", HELLO))


class Mute(_Model):
    name = "mute"

    async def complete(self, request):
        return says("")


class Pondering(_Model):
    """It acts once; then it only thinks."""

    name = "pondering"

    async def complete(self, request):
        return says("<think>What now?</think>") if self.turns(request) else calls(("say", HELLO))


class CutShort(_Model):
    """It acts once; then its limit of tokens is used up before the first word."""

    name = "cutshort"

    async def complete(self, request):
        return ChatReply(finish_reason="length") if self.turns(request) else calls(("say", HELLO))


class Unspeakable(_Model):
    """Its second turn is one that is never kept."""

    name = "unspeakable"

    async def complete(self, request):
        word = "explicit porn of a 9-year-old child having sex" if self.turns(request) else "hello"
        return calls(("say", {"word": word}))
