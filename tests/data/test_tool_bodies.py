"""What endpoints say of tools: calls in an answer, and that they take none. Bodies as public issues show."""

import asyncio
import json

import pytest
from support.servers import server

from overt.data.chat import ChatRequest, Message
from overt.data.provider.completion import read_completion
from overt.data.tools import IN_WORDS, Tool
from overt.generation.chat.openai import OpenAIChat

# Each with the status and the service that sends it.
NO_TOOLS = [
    # Ollama (ollama/ollama#6027, #14795)
    (400, {"error": {"message": "registry.ollama.ai/library/gemma3:4b does not support tools",
                     "type": "api_error", "param": None, "code": None}}),
    (400, {"error": "registry.ollama.ai/library/Qwen3.5:0.8b does not support tools"}),
    # vLLM (vllm-project/vllm#9986), older and newer
    (400, {"object": "error", "type": "BadRequestError", "param": None, "code": 400, "message":
           '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'}),
    (400, {"error": {"message":
           '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
           "type": "invalid_request_error", "param": None, "code": "400"}}),
    # llama.cpp (ggml-org/llama.cpp#10920, containers/ramalama#988)
    (500, {"error": {"code": 500, "message": "Unsupported param: tools", "type": "server_error"}}),
    (500, {"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}),
    # OpenRouter, whose status is that of a wrong address (evalstate/fast-agent#122)
    (404, {"error": {"message": "No endpoints found that support tool use. To learn more about provider "
                     "routing, visit: https://openrouter.ai/docs/provider-routing", "code": 404}}),
    # DeepSeek (avante-corp/avante.nvim#1393)
    (400, {"error": {"message": "deepseek-reasoner does not support Function Calling",
                     "type": "invalid_request_error", "param": None, "code": "invalid_request_error"}}),
    # DeepInfra (truefoundry/models#944)
    (405, {"error": {"message": "deepinfra error: Tool calling is not supported for model: mistralai/x",
                     "type": "APIError", "code": "405"}}),
    # Azure (Azure/azure-sdk-for-java#38115)
    (400, {"error": {"message": "Unrecognized request argument supplied: tools",
                     "type": "invalid_request_error", "param": None, "code": None}}),
]  # fmt: skip
WAIT = Tool("wait", "Wait a round.")
REQUEST = ChatRequest((Message("user", "Wait."),), tools=(WAIT,))


def completion(message, finish="stop"):
    return {"choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}]}


def asked(answer, *requests):
    """The replies of a model behind a server that answers so."""

    async def all_of(url):
        chat = OpenAIChat("m", base_url=url)
        try:
            return [await chat.complete(request) for request in requests]
        finally:
            await chat.close()

    with server(answer) as url:
        return asyncio.run(all_of(url))


@pytest.mark.parametrize(("status", "body"), NO_TOOLS)
def test_an_endpoint_without_tools_is_asked_in_words(status, body):
    seen = []

    def answer(request):
        seen.append(request)
        if "tools" in request:
            return status, {}, body
        said = '<action>\n{"tool": "wait", "arguments": {}}\n</action>'
        return 200, {}, completion({"content": said})

    first, second = asked(answer, REQUEST, REQUEST)
    assert first.error is None
    assert first.adapted == (IN_WORDS,)
    assert first.text.startswith("<action>")
    assert second.adapted == (IN_WORDS,)
    assert ["tools" in request for request in seen] == [True, False, False]  # it is learnt once
    assert "- wait: Wait a round." in seen[1]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens. However, you "
                         "requested 9000 tokens (7000 in the messages, 500 in the functions, and 1500 in the "
                         "completion). Please reduce the length of the messages, functions, or completion.",
                         "code": "context_length_exceeded"}}),
        (429, {"error": {"message": "Rate limit reached for tools", "code": "rate_limit_exceeded"}}),
    ],
)  # fmt: skip
def test_other_failures_are_not_about_tools(status, body):
    (reply,) = asked(lambda request: (status, {}, body), REQUEST)
    assert reply.error is not None
    assert not reply.adapted


def test_calls_are_sent_and_read_in_openais_shape():
    seen = []
    call = {"id": "call_9", "type": "function", "function": {"name": "wait", "arguments": "{}"}}

    def answer(request):
        seen.append(request)
        return 200, {}, completion({"content": None, "tool_calls": [call]}, "tool_calls")

    (first,) = asked(answer, REQUEST)
    assert first.text == ""
    assert first.error is None
    assert first.calls[0].name == "wait"
    talk = (
        *REQUEST.messages,
        Message("assistant", "", (), first.calls),
        Message("tool", "ok", (), (), "call_9"),
    )
    asked(answer, ChatRequest(talk, tools=(WAIT,)))
    assistant, result = seen[1]["messages"][1:]
    assert assistant == {"role": "assistant", "content": None, "tool_calls": [call]}
    assert result == {"role": "tool", "content": "ok", "tool_call_id": "call_9"}
    assert seen[0]["tools"] == [{"type": "function", "function": {
        "name": "wait", "description": "Wait a round.", "parameters": {"type": "object", "properties": {}},
    }}]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ({"id": "a", "function": {"name": "wait", "arguments": {"n": 1}}}, {"n": 1}),  # an object, not a text
        ({"function": {"name": "wait", "arguments": ""}}, None),  # no id, no arguments
        ({"id": "a", "function": {"name": "wait", "arguments": None}}, None),
    ],
)
def test_servers_differ_in_how_they_write_calls(call, arguments):
    (found,) = read_completion(completion({"content": "", "tool_calls": [call]}, "tool_calls")).calls
    assert found.name == "wait"
    assert found.id
    assert (json.loads(found.arguments) if found.arguments else None) == arguments


@pytest.mark.parametrize("junk", [None, "wait", [None], [{"function": "wait"}], [{}], {"name": "wait"}])
def test_junk_in_the_place_of_calls_is_no_crash(junk):
    reply = read_completion(completion({"content": "hm", "tool_calls": junk}))
    assert reply.text == "hm"
    assert all(call.name == "" for call in reply.calls)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"message": "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more "
          "details.", "type": "invalid_request_error", "code": "tool_use_failed",
          "failed_generation": '<function=wait>{"n": 1}</function>'}, "<function=wait>"),
        ({"message": "tool call validation failed: parameters for tool HassTurnOff did not match schema: "
          "errors: [`/domain`: expected array, but got string]", "type": "invalid_request_error", "param": "",
          "code": "tool_use_failed"}, "did not match schema"),
        ({"message": "Failed to call a function.", "type": "invalid_request_error", "code": "tool_use_failed",
          "failed_generation": ""}, "Failed to call"),
    ],
)  # fmt: skip
def test_what_groq_threw_away_is_an_unreadable_call_and_no_error(error, said):
    (reply,) = asked(lambda request: (400, {}, {"error": error}), REQUEST)
    assert reply.error is None
    assert not reply.adapted
    assert reply.calls[0].name == ""
    assert said in reply.calls[0].arguments


@pytest.mark.parametrize("drops", [True, False])
def test_an_endpoint_that_drops_tools_in_silence_is_found_out(drops):
    """llama.cpp's server does so with a template that has no place for tools."""
    seen = []

    def answer(request):
        seen.append(request)
        size = len(json.dumps(request["messages"])) + (
            0 if drops else len(json.dumps(request.get("tools", "")))
        )
        return 200, {}, {**completion({"content": "What shall I do?"}), "usage": {"prompt_tokens": size}}

    first, second = asked(answer, REQUEST, REQUEST)
    assert (IN_WORDS in first.adapted) is drops
    assert (IN_WORDS in second.adapted) is drops
    kinds = ["tools" in request for request in seen]
    assert kinds == ([True, False, False, False] if drops else [True, False, True])
    assert seen[1]["max_tokens"] == 1


def test_an_endpoint_that_counts_no_tokens_is_asked_nothing_more():
    seen = []

    def answer(request):
        seen.append(request)
        return 200, {}, {**completion({"content": "What shall I do?"}), "usage": {"prompt_tokens": 0}}

    first, second = asked(answer, REQUEST, REQUEST)
    assert first.adapted == second.adapted == ()
    assert ["tools" in request for request in seen] == [True, True]


def test_an_endpoint_that_rejects_the_look_is_not_looked_at_for_ever():
    """Some reject a conversation with calls where the request has no tools."""
    seen = []

    def answer(request):
        seen.append(request)
        if "tools" not in request:
            return (
                400,
                {},
                {"error": {"message": "calls are in the conversation and no list of them is given"}},
            )
        return 200, {}, {**completion({"content": "What shall I do?"}), "usage": {"prompt_tokens": 50}}

    found = asked(answer, *[REQUEST] * 6)
    assert not any(reply.adapted or reply.error for reply in found)
    assert sum("tools" not in request for request in seen) == 3
    assert sum("tools" in request for request in seen) == 6
