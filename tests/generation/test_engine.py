"""The engine of the picture services with a service made here, and what chat models share with it."""

import asyncio
import base64
import socket
import threading
import time

import pytest
from support.builders import PNG
from support.scripted import serving

from overt.data.chat import CallError, ChatRequest, Message
from overt.generation.chat.openai import OpenAIChat
from overt.generation.images.engine import Found, ImageAPI, Job, Request
from overt.generation.transport import Reply, Transport, absolute, same_origin

B64 = base64.b64encode(PNG).decode()
KEY = "painters-key-0123456789"


class Painter(ImageAPI):
    """A service of its own: what an adapter has to say, and no more."""

    provider = "painter"

    def __init__(self, base_url, **options):
        settings = {"api_key_env": "PAINTER_KEY", "timeout": 5.0, "poll_s": 0.01} | options
        super().__init__("painter/x", base_url=base_url, **settings)

    def request(self, asked):
        body = {"prompt": asked.prompt, "seed": asked.seed}
        return Request(f"{self._base}/draw", {"X-Key": self._key}, json=body)

    def job(self, reply):
        at = reply.object.get("job") if reply.object else None
        return at and Job(
            f"{self._base}{at}", lambda got: got.status == 201, {"X-Key": self._key}, every_s=self._poll_s
        )

    def read(self, data, answer):
        return Found(
            data.get("images", ()),
            by_address=bool(data.get("by_address")),
            codes=tuple(data.get("codes", ())),
            text=data.get("text", ""),
            safety=data.get("safety", {}),
            revised_prompt=data.get("revised"),
            seed=answer.asked.seed,
        )


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("PAINTER_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def draw(answer, prompt="a harbour", **options):
    """The response, and what the server was asked. A list is one answer after the other."""
    if isinstance(answer, list):
        answers = iter(answer)
        answer = lambda _: next(answers)  # noqa: E731
    with serving(answer) as server:
        painter = Painter(server.url, **options)

        async def ask():
            try:
                return await painter.respond(prompt, seed=3)
            finally:
                await painter.close()

        return asyncio.run(ask()), server.asked


def said(**body):
    return 200, {}, body


def test_a_service_says_only_what_is_its_own():
    response, [asked] = draw(said(images=[B64, None, ""], revised="a calm harbour"))
    assert (response.images, response.seed, response.revised_prompt) == ((PNG,), 3, "a calm harbour")
    assert asked.json == {"prompt": "a harbour", "seed": 3}
    assert draw(said(images=[B64], revised=" a harbour "))[0].revised_prompt is None


def test_what_the_words_mean_is_read_elsewhere():
    """Code, sentence or neither; the adapter says nothing of it."""
    refused, _ = draw((400, {}, {"error": {"code": "content_policy_violation", "message": "no"}}))
    assert (refused.error, refused.code, refused.message, refused.seed) == (
        None,
        "content_policy_violation",
        "no",
        None,
    )
    limited, _ = draw((429, {"retry-after": "2"}, {"error": {"message": "slow"}}))
    assert (limited.error.kind, limited.error.retry_after, limited.status) == ("rate_limit", 2.0, 429)
    flagged, _ = draw(said(images=[B64], codes=["has_nsfw_concepts"]))
    assert (flagged.images, flagged.code, flagged.error) == ((PNG,), "has_nsfw_concepts", None)
    # Of a refusal, a picture that cannot be had changes nothing; of an answer it is a fault.
    assert draw(said(images=["@@"], codes=["has_nsfw_concepts"]))[0].images == ()
    broken, _ = draw(said(images=["@@"]))
    assert (broken.error.kind, broken.error.status, broken.status) == ("server", 200, 200)
    assert draw(said(images=[5]))[0].error.kind == "server"
    assert draw(said(text="I can't draw that."))[0].text == "I can't draw that."
    assert "no picture" in draw(said())[0].error.message


@pytest.mark.parametrize(("status", "kind"), [(403, "server"), (404, "server"), (429, "rate_limit")])
def test_a_picture_that_cannot_be_fetched_is_not_the_keys_fault(status, kind):
    response, asked = draw(
        [said(images=["/a.png"], by_address=True), (status, {"retry-after": "4"}, b"gone")]
    )
    assert (response.error.kind, response.error.status, response.error.retry_after) == (kind, status, 4.0)
    assert "x-key" not in asked[1].headers


def test_a_look_that_fails_is_repeated_and_one_that_ends_it_is_not():
    start = (202, {}, {"job": "/1"})
    looks = [
        (500, {}, b""),
        None,
        (429, {"retry-after": "0.2"}, {}),
        (200, {}, b"{"),
        (200, {}, {"s": "waiting"}),
    ]
    begun = time.monotonic()
    response, asked = draw([start, *looks, (201, {}, {"images": [B64]})])
    assert response.images == (PNG,)
    assert time.monotonic() - begun >= 0.2
    assert [a.method for a in asked] == ["POST", *["GET"] * 6]
    response, asked = draw([start, (404, {}, {"message": "no such job"})])
    assert (response.error.kind, response.error.message, len(asked)) == ("bad_request", "no such job", 2)
    response, asked = draw([start, *[(200, {}, b"<html>")] * 3])
    assert (response.error.kind, len(asked)) == ("server", 4)


def test_one_clock_for_the_attempt():
    answers = [(202, {}, {"job": "/1"}), *[said(s="waiting")] * 500]
    begun = time.monotonic()
    response, _ = draw(answers, timeout=0.3)
    assert response.error.kind == "timeout"
    assert time.monotonic() - begun < 2


def test_keys_are_masked_wherever_they_are_repeated():
    echo = {"images": [B64], "text": KEY, "codes": [KEY], "safety": {"a": [{"b": f"{KEY}!"}]}, "revised": KEY}
    for status in (200, 400):
        response, _ = draw((status, {}, echo | {"error": {"message": KEY, "code": KEY}}))
        assert KEY not in repr(response)
    assert draw((200, {}, echo))[0].safety == {"a": [{"b": "***!"}]}


def test_seventeen_pictures_are_none():
    assert "17 pictures" in draw(said(images=[B64] * 17))[0].error.message


def test_a_redirect_does_not_carry_the_key_on():
    with serving(said(images=[B64])) as other:
        response, _ = draw((307, {"location": f"{other.url}/steal"}, b""))
        assert response.error.kind == "bad_request"
        assert other.asked == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "//u:p@host/x", "javascript:alert(1)", "http://[bad", "/a\x00b"]
)
def test_addresses_that_are_not_followed(url):
    assert isinstance(absolute("https://api.example.com/v1", url), CallError)


def test_addresses():
    assert absolute("https://a.example/v1/x", "/y.png") == "https://a.example/y.png"
    assert same_origin("https://a.example/v1", "https://A.example:443/x")
    assert not same_origin("https://a.example/v1", "http://a.example/v1")
    assert not same_origin("https://a.example/v1", "https://a.example:8443/v1")


# -- the transport, and chat models over it -----------------------------------------------------------------


@pytest.fixture
def slowly():
    """A server that sends its answer in two pieces, the second one later."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(head, tail):
        def run():
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                length = len(head) + len(tail)
                top = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
                connection.sendall(top.encode() + head)
                time.sleep(0.2)
                connection.sendall(tail)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield serve
    server.close()


def test_a_chat_answer_that_comes_in_two_pieces(slowly):
    body = b'{"choices": [{"message": {"content": "one two three"}, "finish_reason": "stop"}]}'
    chat = OpenAIChat("m", base_url=slowly(body[:30], body[30:]))

    async def ask():
        try:
            return await chat.complete(ChatRequest((Message("user", "hello"),)))
        finally:
            await chat.close()

    reply = asyncio.run(ask())
    assert (reply.text, reply.error) == ("one two three", None)


def test_a_body_that_is_too_large_is_given_up(monkeypatch):
    monkeypatch.setattr("overt.generation.transport.MAX_BYTES", 1000)

    async def ask(url):
        transport = Transport(5)
        try:
            return await transport.send("GET", url)
        finally:
            await transport.close()

    with serving((200, {}, b"x" * 1000)) as server:
        assert len(asyncio.run(ask(server.url)).body) == 1000
    with serving((200, {}, b"x" * 1001)) as server:
        found = asyncio.run(ask(server.url))
    assert (found.kind, found.message) == ("server", "the answer is larger than 0 MiB")


def test_a_reply():
    assert Reply(200, {}, b'[{"a": 1}]').object == {"a": 1}
    assert Reply(200, {}, b"[]").object is None
    assert Reply(200, {}, b"nope").data is None
    assert Reply(200, {}, b"\xff" * 5000).text == "\ufffd" * 2000


def test_a_chat_endpoint_that_repeats_the_key_or_filters():
    def complete(answer):
        with serving(answer) as server:
            chat = OpenAIChat("m", base_url=server.url)

            async def ask():
                try:
                    return await chat.complete(ChatRequest((Message("user", "hello"),)))
                finally:
                    await chat.close()

            return asyncio.run(ask())

    reply = complete((401, {}, {"error": {"message": f"bad key {KEY}"}}))
    assert (reply.error.kind, reply.error.message) == ("auth", "bad key ***")
    reply = complete((400, {}, {"error": {"code": "Content_Filter", "message": "no"}}))
    assert (reply.refusal, reply.finish_reason, reply.error) == ("content_filter", "content_filter", None)
    reply = complete((200, {}, {"error": {"code": "content_filter"}}))
    assert (reply.refusal, reply.error) == ("content_filter", None)
    reply = complete((200, {}, {"promptFeedback": {"blockReason": "SAFETY"}, "usage": {"prompt_tokens": 3}}))
    assert (reply.refusal, reply.finish_reason, reply.input_tokens) == ("prompt blocked", "content_filter", 3)
    reply = complete((200, {}, {"choices": [{"finish_reason": "content_filter"}]}))
    assert (reply.refusal, reply.text) == ("content_filter", "")
    reply = complete((200, {}, {"choices": [{"message": "hello"}]}))
    assert reply.error.kind == "server"
