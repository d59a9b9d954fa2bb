"""`http/FILE.yaml` against a local server: every rule, hostile prompts, hostile answers, bad files."""

import asyncio
import base64
import json
import re
import time

import pytest
from support.builders import PNG, encoded
from support.paths import ROOT
from support.scripted import serving

from overt.data.errors import InputError
from overt.data.jsonpath import PathError, parse_path
from overt.data.targets import LayerDecision, Response, Target
from overt.data.yaml.problems import YamlError
from overt.generation.images.declared import fill
from overt.generation.images.http import HTTPTarget
from overt.generation.images.http_file import read_http_file
from overt.generation.images.pictures import broken

KEY = "vk-live-not-to-be-shown-9876543210"
EXAMPLE = ROOT / "examples" / "http_target.yaml"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("VENDOR_KEY", KEY)


B64 = base64.b64encode(PNG).decode()
HEAD = """
url: URL/v1/images
headers:
  Authorization: "Bearer ${VENDOR_KEY}"
  X-Plain: yes please
json:
  prompt: "{{prompt}}"
  seed: "{{seed}}"
"""
BASE = HEAD + "image: {path: '$.data[*].b64', encoding: base64}\n"


def ask(tmp_path, text, answer, prompts=("a harbour",), seed=7):
    """The responses of a target that the text declares, and what its server was asked."""
    if isinstance(answer, list):
        answers = iter(answer)
        answer = lambda _: next(answers)  # noqa: E731
    with serving(answer) as server:
        file = tmp_path / "vendor.yaml"
        file.write_text(text.replace("URL", server.url), "utf-8")
        target = HTTPTarget(str(file))

        async def run():
            try:
                return [await target.respond(prompt, seed=seed) for prompt in prompts]
            finally:
                await target.close()

        responses = asyncio.run(run())
    for response in responses:
        assert isinstance(response, Response)
        assert response.latency_s > 0
        assert KEY not in repr(response)
    assert KEY not in repr(target) + target.name
    return responses, server.asked


def one(tmp_path, text, answer, **options):
    return ask(tmp_path, text, answer, **options)[0][0]


def data(**entry):
    return 200, {}, {"data": [entry]}


# -- what is sent -------------------------------------------------------------------------------------------


def test_a_picture(tmp_path):
    [response], [asked] = ask(tmp_path, BASE, data(b64=B64))
    assert response.images == (PNG,)
    assert (response.status, response.error, response.seed, response.layers) == (200, None, 7, ())
    assert (asked.method, asked.path) == ("POST", "/v1/images")
    assert asked.json == {"prompt": "a harbour", "seed": 7}  # the seed is a number
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-plain"] == "yes please"


HOSTILE = [
    'a "quoted" \\ backslash',
    "line\nbreak\r\n\ttab",
    '", "seed": 666, "x": "',
    "{{seed}} {{prompt}} {{ prompt }}",
    "${VENDOR_KEY} ${HOME} $.data[0] {% raise %} %s {0}",
    "}} {{",
    "\x00\x1b[31m\u202e",
    "\U0001f52a 爆弾",
    "",
    "x" * 100_000,
]


@pytest.mark.parametrize("way", ["json", "form", "query"])
def test_a_hostile_prompt_stays_a_value(tmp_path, way):
    """Form and query carry it as it is, too; no byte of it becomes structure."""
    import urllib.parse
    from email.parser import BytesParser

    rest = 'seed: "{{seed}}", note: "<{{prompt}}|{{seed}}>"}'
    place = {
        "json": f'json: {{model: m, deep: [{{p: "{{{{prompt}}}}"}}], {rest}',
        "form": f'form: {{prompt: "{{{{prompt}}}}", {rest}',
        "query": f'method: GET\nquery: {{prompt: "{{{{prompt}}}}", {rest}',
    }[way]
    prompts = HOSTILE[:-1] if way == "query" else HOSTILE
    text = f"url: URL/i?fixed=1\n{place}\nbody: image\n"
    responses, asked = ask(tmp_path, text, (200, {}, PNG), prompts)
    assert [r.images for r in responses] == [(PNG,)] * len(prompts)
    for prompt, request in zip(prompts, asked, strict=True):
        if way == "json":
            note = f"<{prompt}|7>"
            assert request.json == {"model": "m", "deep": [{"p": prompt}], "seed": 7, "note": note}
            continue
        if way == "query":
            found = dict(urllib.parse.parse_qsl(request.path.partition("?")[2], keep_blank_values=True))
            assert found.pop("fixed") == "1"
        else:
            head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
            message = BytesParser().parsebytes(head + request.body)
            found = {
                part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode()
                for part in message.get_payload()
            }
        # The parser of e-mail, not the target, takes other line ends for its own.
        lines = lambda value: "\n".join(value.splitlines())  # noqa: E731
        assert {k: lines(v) for k, v in found.items()} == {
            "prompt": lines(prompt),
            "seed": "7",
            "note": lines(f"<{prompt}|7>"),
        }


def test_half_a_surrogate_pair_is_sent_as_a_question_mark(tmp_path):
    _, [asked] = ask(tmp_path, BASE, data(b64=B64), ["knife \ud83d"])
    assert asked.json["prompt"] == "knife ?"


def test_what_is_filled_in_is_not_looked_at_again():
    values = {"prompt": "{{seed}}", "seed": 3}
    assert fill(["{{prompt}}", "a {{prompt}} b {{seed}}", 5, None, True], values) == [
        "{{seed}}", "a {{seed}} b 3", 5, None, True,
    ]  # fmt: skip
    assert fill({"{{prompt}}": "{{ seed }}"}, values) == {"{{prompt}}": 3}


def test_types_of_the_template_reach_the_server(tmp_path):
    text = BASE.replace(
        '  seed: "{{seed}}"\n', '  n: 1\n  cfg: 7.5\n  hd: true\n  off: null\n  s: "1"\n  l: [a, {b: 2}]\n'
    )
    [response], [asked] = ask(tmp_path, text, data(b64=B64))
    assert asked.json == {
        "prompt": "a harbour", "n": 1, "cfg": 7.5, "hd": True, "off": None, "s": "1", "l": ["a", {"b": 2}],
    }  # fmt: skip
    assert response.seed is None  # it was not sent, so it was not drawn with


# -- what comes back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_body_is_the_picture(tmp_path, kind):
    picture = encoded(kind)
    assert one(tmp_path, HEAD + "body: image\n", (200, {}, picture)).images == (picture,)


def test_several_pictures_and_what_else_the_answer_tells(tmp_path):
    text = BASE + "text: $.note\nrevised_prompt: $.data[0].revised\nseed: $.data[0].seed\n"
    body = {"note": "here", "data": [{"b64": B64, "revised": "a calm harbour", "seed": 99}, {"b64": B64}, {}]}
    response = one(tmp_path, text, (200, {}, body))
    assert len(response.images) == 2
    assert (response.text, response.revised_prompt, response.seed) == ("here", "a calm harbour", 99)
    assert one(tmp_path, BASE, data(b64="data:image/png;base64," + B64)).images == (PNG,)
    wrapped = "\n".join(B64[n : n + 60] for n in range(0, len(B64), 60)).replace("+", "-").replace("/", "_")
    assert one(tmp_path, BASE, data(b64=wrapped)).images == (PNG,)


def test_a_picture_at_an_address(tmp_path):
    text = HEAD + "image: {path: '$.data[*].url', encoding: url}\n"

    def answer(asked):
        if asked.method == "GET":
            return 200, {}, PNG
        own = asked.headers["host"]
        return (
            200,
            {},
            {
                "data": [
                    {"url": f"http://{own}/a.png"},
                    {"url": "/b.png"},
                    {"url": f"http://localhost:{own.split(':')[1]}/c.png"},
                ]
            },
        )

    [response], asked = ask(tmp_path, text, answer)
    assert response.images == (PNG, PNG, PNG)
    assert [a.path for a in asked] == ["/v1/images", "/a.png", "/b.png", "/c.png"]
    # Another host than the model's own is shown no key.
    assert ["authorization" in a.headers for a in asked] == [True, True, True, False]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x/y.png",
        "gopher://x",
        "javascript:alert(1)",
        "http://u:p@host/x",
        "http://[bad",
    ],
)
def test_only_http_addresses_are_followed(tmp_path, url):
    response = one(tmp_path, HEAD + "image: {path: '$.data[0].url', encoding: url}\n", data(url=url))
    assert response.error.kind == "server"
    assert "no http(s) address" in response.error.message
    poll = "poll: {url: $.at, until: {path: $.s, in: [ok]}}\n"
    response = one(tmp_path, BASE + poll, (200, {}, {"at": url, "s": "wait"}))
    assert response.error.kind == "server"


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "server"), (404, "server"), (500, "server"), (429, "rate_limit")]
)
def test_a_picture_that_cannot_be_fetched(tmp_path, status, kind):
    """An expired address is no bad key: "auth" would end the run."""
    text = HEAD + "image: {path: '$.data[0].url', encoding: url}\n"
    response = one(tmp_path, text, [data(url="/x.png"), (status, {}, b"gone")])
    assert response.error.kind == kind


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (data(b64=B64[:-40]), "cut off"),
        (data(b64="not base64!"), "not valid base64"),
        (data(b64=base64.b64encode(b"<html>blocked</html>").decode()), "no picture"),
        (data(b64=5), "holds int, not a text"),
        (data(b64=None), r"no picture at \$\.data\[\*\]\.b64"),
        (data(other=1), r"no picture at \$\.data\[\*\]\.b64"),
        ((200, {}, {"data": {}}), "no picture"),
        ((200, {}, {"data": [{"b64": B64}] * 17}), "17 pictures"),
        ((200, {}, b"<!doctype html><title>Blocked by policy</title>"), "a page instead of an answer"),
        ((200, {}, b'{"data": [{"b64": "'), "no JSON"),
        ((200, {}, b"[" * 100_000), "no JSON"),
        ((200, {}, b""), "an empty body"),
        ((200, {}, PNG), "no picture at"),
        ((204, {}, b""), "an empty body"),
        ((200, {}, {"error": {"message": "content blocked"}}), "content blocked"),
        ((304, {}, b""), "HTTP 304"),
    ],
)
def test_a_broken_answer_is_an_error_not_a_refusal(tmp_path, answer, words):
    response = one(tmp_path, BASE, answer)
    assert response.error.kind == "server"
    assert re.search(words, response.error.message), response.error.message
    assert (response.images, response.layers, response.code) == ((), (), "")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_truncated_picture(tmp_path, kind):
    whole = encoded(kind, (200, 200))
    assert broken(whole) == ""
    for cut in (len(whole) // 2, len(whole) - 5):
        response = one(tmp_path, HEAD + "body: image\n", (200, {}, whole[:cut]))
        assert response.error.kind == "server"
        assert "cut off" in response.error.message


def test_a_huge_picture_is_not_opened(tmp_path):
    """30,000 x 30,000 in a few bytes: it is passed on as it came, and whoever opens it minds its size."""
    import struct
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 10_000)) + chunk(b"IEND", b"")
    assert one(tmp_path, HEAD + "body: image\n", (200, {}, bomb)).images == (bomb,)


@pytest.mark.parametrize(
    ("answer", "kind", "wait"),
    [
        ((429, {"retry-after": "5"}, {"error": {"message": "slow"}}), "rate_limit", 5.0),
        ((500, {}, b"<html>oops"), "server", None),
        ((503, {"retry-after": "2"}, b""), "server", 2.0),
        ((401, {}, {"error": f"bad key {KEY}"}), "auth", None),
        ((402, {}, {"detail": "pay"}), "billing", None),
        ((400, {}, {"message": "bad size"}), "bad_request", None),
        ((413, {}, b""), "too_long", None),
        (None, "connection", None),
        ((200, {"content-length": "99999"}, b"{}"), "connection", None),
    ],
)
def test_what_the_network_does_is_an_error(tmp_path, answer, kind, wait):
    response = one(tmp_path, BASE, answer)
    assert (response.error.kind, response.error.retry_after) == (kind, wait)
    assert response.images == ()
    assert response.layers == ()


def test_a_server_that_hangs(tmp_path):
    def slow(_):
        time.sleep(1.5)
        return data(b64=B64)

    response = one(tmp_path, BASE + "timeout: 0.3\n", slow)
    assert response.error.kind == "timeout"


def test_text_instead_of_a_picture(tmp_path):
    response = one(tmp_path, BASE + "text: $.said\n", (200, {}, {"said": "I cannot draw that."}))
    assert (response.text, response.images, response.error) == ("I cannot draw that.", (), None)


def test_a_text_model(tmp_path):
    text = HEAD + "modality: text\ntext: $.choices[0].text\nmax_concurrency: 3\n"
    response = one(tmp_path, text, (200, {}, {"choices": [{"text": "a poem"}]}))
    assert (response.text, response.error) == ("a poem", None)
    response = one(tmp_path, text, (200, {}, {"choices": []}))
    assert response.error.kind == "server"
    target = HTTPTarget(str(write(tmp_path, text)))
    assert (target.modality, target.max_concurrency) == ("text", 3)
    assert not hasattr(HTTPTarget(str(write(tmp_path, BASE))), "max_concurrency")


# -- refusals and errors ------------------------------------------------------------------------------------

REFUSALS = (
    BASE
    + """
message: $.error.why
refusal:
  - status: [400, 422]
    path: $.error.code
    equals: [content_policy, moderation_blocked]
    stage: prompt_filter
  - path: $.data[*].finish
    contains: filtered
    stage: image_filter
    layer: output checker
    code: $.data[0].finish
  - {header: X-Verdict, equals: blocked, stage: image_filter, code: flagged}
  - {path: $.flags, contains: nsfw, stage: image_filter, code: nsfw}
  - {path: $.safe, equals: false, stage: model}
  - {status: 200, path: $.refused, stage: model}
  - {status: 200, path: $.data, exists: false, stage: model, code: empty}
  - {status: 451, stage: prompt_filter, code: legal}
  - {status: 403, contains: 'violates our terms', stage: prompt_filter, code: terms}
errors:
  - {path: $.error.code, equals: no_credit, kind: billing}
  - {path: $.error.code, equals: busy, kind: rate_limit}
"""
)


@pytest.mark.parametrize(
    ("answer", "stage", "code", "layer"),
    [
        (
            (400, {}, {"error": {"code": "content_policy", "why": "no"}}),
            "prompt_filter",
            "content_policy",
            "vendor",
        ),
        (
            (422, {}, {"error": {"code": "MODERATION_BLOCKED"}}),
            "prompt_filter",
            "MODERATION_BLOCKED",
            "vendor",
        ),
        (data(finish="CONTENT_FILTERED"), "image_filter", "CONTENT_FILTERED", "output checker"),
        ((200, {"x-verdict": "Blocked"}, {"data": []}), "image_filter", "flagged", "vendor"),
        ((200, {}, {"data": [], "flags": ["gore", "NSFW"]}), "image_filter", "nsfw", "vendor"),
        ((200, {}, {"data": [], "safe": False}), "model", "refused", "vendor"),
        ((200, {}, {"data": [], "refused": "too dark"}), "model", "too dark", "vendor"),
        ((200, {}, {"data": None}), "model", "empty", "vendor"),
        ((451, {}, b""), "prompt_filter", "legal", "vendor"),
        ((403, {}, b"<html>This VIOLATES our terms</html>"), "prompt_filter", "terms", "vendor"),
    ],
)
def test_a_refusal_is_no_error(tmp_path, answer, stage, code, layer):
    response = one(tmp_path, REFUSALS, answer)
    assert response.error is None
    assert response.status == answer[0]
    assert response.code == code
    said = {x.layer: x for x in response.layers}
    assert said.pop(layer) == LayerDecision(layer, stage, True, reason=code)
    # The file's other layer stands before this one and passed the prompt, or may not have seen it.
    ((name, other),) = said.items()
    if name == "vendor":
        assert (other.stage, other.blocked, other.was_asked) == ("prompt_filter", False, True)
    else:
        assert (other.blocked, other.was_asked) == ((None, False))


def test_the_providers_words_come_along(tmp_path):
    response = one(tmp_path, REFUSALS, (400, {}, {"error": {"code": "content_policy", "why": "no knives"}}))
    assert response.message == "no knives"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, {}, {"error": {"code": "no_credit"}}), "billing"),
        ((200, {}, {"error": {"code": "busy"}, "data": []}), "rate_limit"),
        ((400, {}, {"error": {"code": "bad_size"}}), "bad_request"),
        ((500, {}, {"error": {"code": "content_policy"}}), "server"),  # the rule asks for 400 or 422
        ((403, {}, {"error": "bad key"}), "auth"),
        ((200, {}, {"data": [], "safe": 0}), "server"),  # 0 is not false
        ((200, {}, {"data": [], "safe": None}), "server"),
        ((200, {}, {"data": [], "flags": ["nsfwish"]}), "server"),
    ],
)
def test_what_no_refusal_rule_meets_is_an_error(tmp_path, answer, kind):
    response = one(tmp_path, REFUSALS, answer)
    assert response.error.kind == kind
    assert response.layers == ()


def test_a_flagged_picture_comes_along(tmp_path):
    response = one(tmp_path, REFUSALS, data(finish="filtered", b64=B64))
    assert response.images == (PNG,)
    assert [x.layer for x in response.layers if x.blocked] == ["output checker"]
    assert one(tmp_path, REFUSALS, data(finish="filtered", b64="broken")).images == ()


def test_a_picture_without_a_flag_is_a_picture(tmp_path):
    response = one(tmp_path, REFUSALS, data(finish="done", b64=B64))
    assert (response.images, response.code) == ((PNG,), "")
    # Every layer that the file names says that it passed the prompt.
    assert [(x.layer, x.blocked) for x in response.layers] == [("vendor", False), ("output checker", False)]


def test_an_answer_that_no_rule_explains_passed_no_layer(tmp_path):
    response = one(tmp_path, REFUSALS, (418, {}, {"error": {"code": "?"}}))
    assert {x.blocked for x in response.layers} <= {None}


# -- polling ------------------------------------------------------------------------------------------------

POLLED = (
    BASE
    + """
poll:
  url: $.urls.get
  until: {path: $.status, in: [done, failed, moderated]}
  every_s: 0.01
  max_s: 2
refusal:
  - {path: $.status, equals: moderated, stage: image_filter}
errors:
  - {path: $.status, equals: failed, kind: server}
"""
)


def jobs(*states, start=(202, {}, {"status": "queued", "urls": {"get": "/jobs/1"}})):
    return [start, *((s if isinstance(s, tuple) else (200, {}, s)) for s in states)]


def test_a_job_is_waited_for(tmp_path):
    states = jobs({"status": "running"}, {"status": "running"}, {"status": "Done", "data": [{"b64": B64}]})
    [response], asked = ask(tmp_path, POLLED, states)
    assert response.images == (PNG,)
    assert [(a.method, a.path) for a in asked] == [("POST", "/v1/images"), *[("GET", "/jobs/1")] * 3]
    assert all(a.headers["authorization"] == f"Bearer {KEY}" for a in asked)


def test_a_job_that_is_done_at_once_is_not_polled(tmp_path):
    [response], asked = ask(tmp_path, POLLED, (200, {}, {"status": "done", "data": [{"b64": B64}]}))
    assert response.images == (PNG,)
    assert len(asked) == 1


def test_how_a_job_may_end(tmp_path):
    response = one(tmp_path, POLLED, jobs({"status": "moderated"}))
    assert (response.error, response.code) == (None, "moderated")
    assert response.layers[0].stage == "image_filter"
    response = one(tmp_path, POLLED, jobs({"status": "failed", "error": {"message": "gpu fell over"}}))
    assert (response.error.kind, response.message) == ("server", "gpu fell over")
    response = one(tmp_path, POLLED, jobs((404, {}, {"error": {"message": "no such job"}})))
    assert response.error.kind == "bad_request"
    response = one(tmp_path, POLLED, (429, {"retry-after": "3"}, {}))
    assert (response.error.kind, response.error.retry_after) == ("rate_limit", 3.0)
    response = one(tmp_path, POLLED, (202, {}, {"status": "queued"}))
    assert response.error.kind == "server"
    assert "$.urls.get" in response.error.message
    text = POLLED.replace("max_s: 2", "max_s: 0.2")
    running = (200, {}, {"status": "running", "urls": {"get": "/jobs/1"}})
    response = one(tmp_path, text, running)
    assert response.error.kind == "timeout"


def test_a_poll_that_fails_is_repeated(tmp_path):
    """The job is paid for; but not for ever."""
    states = jobs((500, {}, b""), (429, {}, {}), None, {"status": "running"}, (503, {}, b""))
    [response], asked = ask(
        tmp_path, POLLED, [*states, (200, {}, {"status": "done", "data": [{"b64": B64}]})]
    )
    assert response.images == (PNG,)
    assert len(asked) == 7
    [response], asked = ask(tmp_path, POLLED, [jobs()[0], *[(500, {}, b"")] * 5])
    assert response.error.kind == "server"
    assert len(asked) == 6


def test_the_jobs_address_from_its_id(tmp_path):
    text = POLLED.replace("url: $.urls.get", 'url: "URL/jobs/{{$.id}}/state"')
    done = (200, {}, {"status": "done", "data": [{"b64": B64}]})
    [response], asked = ask(tmp_path, text, [(202, {}, {"id": "../a b?x=#1"}), done])
    assert response.images == (PNG,)
    assert asked[1].path == "/jobs/..%2Fa%20b%3Fx=%231/state"  # an id cannot leave its place
    for bad in (None, "", "..", True, [1]):
        assert one(tmp_path, text, (202, {}, {"id": bad})).error.kind == "server"


def test_a_job_at_another_host_is_shown_no_key_unless_it_is_named(tmp_path):
    def answer(asked):
        if asked.method == "GET":
            return 200, {}, {"status": "done", "data": [{"b64": B64}]}
        port = asked.headers["host"].split(":")[1]
        return 202, {}, {"urls": {"get": f"http://localhost:{port}/jobs/1"}}

    [response], asked = ask(tmp_path, POLLED, answer)
    assert response.images == (PNG,)
    assert "authorization" not in asked[1].headers
    _, asked = ask(tmp_path, POLLED.replace("  every_s", "  hosts: [localhost]\n  every_s"), answer)
    assert asked[1].headers["authorization"] == f"Bearer {KEY}"


# -- secrets ------------------------------------------------------------------------------------------------


def test_a_server_that_repeats_the_key(tmp_path):
    echo = {
        "error": {"code": "content_policy", "why": f"key {KEY}"},
        "said": KEY,
        "data": [{"b64": B64, "r": KEY}],
    }
    for status in (200, 400, 401, 500):
        for text in (REFUSALS, REFUSALS + "text: $.said\nrevised_prompt: $.data[0].r\n"):
            response = one(tmp_path, text, (status, {}, echo))  # `ask` looks for the key in its repr
            assert response.status == status
    response = one(
        tmp_path, REFUSALS.replace("code: flagged", "code: $.k"), (200, {"x-verdict": "blocked"}, {"k": KEY})
    )
    assert response.code == "***"


def test_a_variable_that_is_not_set(tmp_path, monkeypatch):
    monkeypatch.delenv("VENDOR_KEY")
    with pytest.raises(InputError, match="VENDOR_KEY is not set") as caught:
        HTTPTarget(str(write(tmp_path, BASE)))
    assert ":4:" in caught.value.where
    monkeypatch.setenv("VENDOR_KEY", f"{KEY}\nX-Evil: 1")
    with pytest.raises(InputError, match="no header may hold") as caught:
        HTTPTarget(str(write(tmp_path, BASE)))
    assert KEY not in caught.value.message()


def test_a_secret_in_the_file_is_refused_and_not_shown(tmp_path):
    for header in ("Authorization", "X-Api-Key", "x-key", "Cookie", "My-Token"):
        with pytest.raises(InputError, match="a secret has no place in a file") as caught:
            HTTPTarget(str(write(tmp_path, BASE.replace("X-Plain: yes please", f"{header}2: {KEY}"))))
        assert KEY not in caught.value.message()


# -- files --------------------------------------------------------------------------------------------------


def write(tmp_path, text):
    file = tmp_path / "t.yaml"
    file.write_text(text.replace("URL", "https://api.example.com"), "utf-8")
    return file


@pytest.mark.parametrize(
    ("change", "places", "near"),
    [
        (("url:", "ulr:"), ["2:1 ulr", "2:1 url"], "url"),
        (("url: URL/v1/images", "url: ftp://x"), ["2:6 url"], ""),
        (("url: URL/v1/images", "url: https://u:p@x/"), ["2:6 url"], ""),
        (("url: URL/v1/images", "url: 'https://x/${1 2}'"), ["2:6 url"], ""),
        (("url: URL/v1/images", "url: 'https://x/{{prompt}}'"), ["2:6 url"], ""),
        (("X-Plain: yes please", "X Plain: a"), ["5:3 headers.X Plain"], ""),
        (("X-Plain: yes please", "X-Plain: '{{prompt}}'"), ["5:12 headers.X-Plain"], ""),
        (("X-Plain: yes please", "X-Plain: '${1 2}'"), ["5:12 headers.X-Plain"], ""),
        (("X-Plain: yes please", "X-Plain: [a]"), ["5:12 headers.X-Plain"], ""),
        (("X-Plain: yes please", "X-Plain: a\n  X-Plain: b"), ["6:3 headers.X-Plain"], ""),
        (('"{{prompt}}"', '"{{promt}}"'), ["7:11 json.prompt"], "prompt"),
        (('"{{prompt}}"', "{{prompt}}"), ["7:12 json.prompt"], ""),
        (('"{{prompt}}"', '"a cat"'), ["7:3 json"], ""),
        (('"{{seed}}"', "010"), ["8:9 json.seed"], ""),
        (('"{{seed}}"', '"${VENDOR_KEY}"'), ["8:9 json.seed"], ""),
        (("path: '$.data[*].b64'", "path: data.b64"), ["9:15 image.path"], ""),
        (("path: '$.data[*].b64'", "path: '$.data[x]'"), ["9:15 image.path"], ""),
        (("encoding: base64", "encoding: base46"), ["9:42 image.encoding"], "base64"),
        (("image: {path: '$.data[*].b64', encoding: base64}", ""), ["2:1 image"], ""),
        (("image: {path: '$.data[*].b64', encoding: base64}", "modality: text"), ["2:1 text"], ""),
        (("image:", "body: image\nimage:"), ["9:7 body"], ""),
        (("json:", "method: GET\njson:"), ["6:9 method"], ""),
        (("json:", "form: {a: b}\njson:"), ["6:7 form"], ""),
        (("image:", "timeout: 0\nimage:"), ["9:10 timeout"], ""),
        (("image:", "max_concurrency: many\nimage:"), ["9:18 max_concurrency"], ""),
        (("image:", "modality: video\nimage:"), ["9:11 modality"], ""),
        (("image:", "method: FETCH\nimage:"), ["9:9 method"], ""),
        (("image:", "refusal: {status: 400}\nimage:"), ["9:10 refusal"], ""),
        (("image:", "refusal:\n  - {stage: model}\nimage:"), ["10:5 refusal[0]"], ""),
        (("image:", "refusal:\n  - {status: 400}\nimage:"), ["10:5 refusal[0].stage"], ""),
        (
            ("image:", "refusal:\n  - {status: 400, stage: prompt}\nimage:"),
            ["10:26 refusal[0].stage"],
            "prompt_filter",
        ),
        (("image:", "refusal:\n  - {status: 40, stage: model}\nimage:"), ["10:14 refusal[0].status"], ""),
        (("image:", "refusal:\n  - {equals: x, stage: model}\nimage:"), ["10:14 refusal[0].equals"], ""),
        (
            ("image:", "refusal:\n  - {path: $.a, header: b, stage: model}\nimage:"),
            ["10:25 refusal[0].header"],
            "",
        ),
        (
            ("image:", "refusal:\n  - {path: $.a, exists: maybe, stage: model}\nimage:"),
            ["10:25 refusal[0].exists"],
            "",
        ),
        (
            ("image:", "refusal:\n  - {path: $.a, stage: model, cod: x}\nimage:"),
            ["10:31 refusal[0].cod"],
            "code",
        ),
        (("image:", "errors:\n  - {status: 400, kind: quota}\nimage:"), ["10:25 errors[0].kind"], ""),
        (("image:", "poll: {url: $.u}\nimage:"), ["9:7 poll.until"], ""),
        (("image:", "poll: {url: x, until: {path: $.s, in: [a]}}\nimage:"), ["9:13 poll.url"], ""),
        (
            ("image:", "poll: {url: 'https://x/{{id}}', until: {path: $.s, in: [a]}}\nimage:"),
            ["9:13 poll.url"],
            "",
        ),
        (("image:", "poll: {url: $.u, until: {path: $.s}}\nimage:"), ["9:25 poll.until.in"], ""),
        (("json:", "json: !!python/object:os.system\n "), ["6:7"], ""),
        (("json:", "\tjson:"), ["6:1"], ""),
        (("json:", "json: ["), ["8:3"], ""),
        (("image:", "---\nimage:"), ["9:1"], ""),
    ],
)
def test_a_bad_file_says_where_and_what(tmp_path, change, places, near):
    old, new = change
    assert old in BASE
    file = write(tmp_path, BASE.replace(old, new, 1))
    with pytest.raises(YamlError) as caught:
        read_http_file(str(file))
    problems = caught.value.problems
    assert [f"{p.line}:{p.column} {p.field}".strip() for p in problems] == places
    assert all(p.file == str(file) and p.message and p.hint for p in problems)
    assert not near or problems[0].hint == f"did you mean {near!r}?"


def test_an_anchor_is_plain_yaml(tmp_path):
    file = write(tmp_path, BASE.replace("json:", "json: &a\n"))
    assert read_http_file(str(file)).json_body == {"prompt": "{{prompt}}", "seed": "{{seed}}"}


def test_all_problems_at_once(tmp_path):
    file = write(tmp_path, "ulr: x\njson: {prompt: '{{promt}}'}\nimage: {path: x}\n")
    with pytest.raises(InputError, match="4 problems in the HTTP target") as caught:
        read_http_file(str(file))
    said = caught.value.message()
    assert [said.index(f"t.yaml:{n}:") for n in (1, 2, 3)] == sorted(
        said.index(f"t.yaml:{n}:") for n in (1, 2, 3)
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "hello\n"])
def test_a_file_that_is_no_mapping(tmp_path, text):
    with pytest.raises(InputError, match="expected a mapping"):
        read_http_file(str(write(tmp_path, text)))


def test_a_file_that_is_not_there(tmp_path):
    write(tmp_path, BASE)
    with pytest.raises(InputError, match=r"did you mean 't\.yaml'"):
        HTTPTarget(str(tmp_path / "tt.yaml"))
    with pytest.raises(InputError, match="cannot read the file"):
        HTTPTarget(str(tmp_path))
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-16"):
        HTTPTarget(str(tmp_path / "b.yaml"))


def test_the_example_and_its_commented_parts(tmp_path):
    """The shipped example is read as it stands, and with each commented alternative in its place."""
    target = HTTPTarget(str(EXAMPLE))
    assert isinstance(target, Target)
    assert target.name == f"http/{EXAMPLE}"
    text = EXAMPLE.read_text("utf-8")
    image = text[text.index("image:\n") : text.index("# body: image")]
    body = text.replace(image, "").replace("# body: image", "body: image")
    assert read_http_file(str(write(tmp_path, body))).encoding == "body"
    head, _, poll = text.partition("# poll:\n")
    polled = head + "poll:\n" + "\n".join(line.removeprefix("# ") for line in poll.splitlines()) + "\n"
    read = read_http_file(str(write(tmp_path, polled)))
    assert read.poll.values == ("succeeded", "failed", "moderated")
    assert read.poll.hosts == ("eu.api.example.com",)


def test_the_example_against_a_server_that_speaks_like_it(tmp_path):
    text = EXAMPLE.read_text("utf-8").replace("https://api.example.com", "URL")
    [response], [asked] = ask(tmp_path, text, data(b64_json=B64, seed=4, revised_prompt="calm"))
    assert (response.images, response.seed, response.revised_prompt) == ((PNG,), 4, "calm")
    assert asked.json["n"] == 1
    refused = {"error": {"code": "moderation_blocked", "message": "no"}}
    response = one(tmp_path, text, (400, {}, refused))
    assert (response.code, response.message, response.error) == ("moderation_blocked", "no", None)
    assert one(tmp_path, text, (200, {}, {"data": []})).code == "empty_result"
    assert one(tmp_path, text, (400, {}, {"error": {"code": "insufficient_credits"}})).error.kind == "billing"


# -- paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("$", [{"a": {"b": [{"c": 1}, {"c": None}, 5]}, "odd.name": ["x", "y"], "n-1": 2}]),
        ("$.a.b[0].c", [1]),
        ("$.a.b[*].c", [1, None]),
        ("$.a.b[-1]", [5]),
        ("$.a.b[9]", []),
        ("$.a.b.c", []),
        ("$.a[0]", []),
        ("$['odd.name'][1]", ["y"]),
        ('$["odd.name"][*]', ["x", "y"]),
        ("$.n-1", [2]),
        ("$.missing.x", []),
    ],
)
def test_paths(path, wanted):
    value = {"a": {"b": [{"c": 1}, {"c": None}, 5]}, "odd.name": ["x", "y"], "n-1": 2}
    assert parse_path(path).find(value) == wanted


@pytest.mark.parametrize(
    "path", ["", "a.b", "$a", "$.", "$..a", "$[", "$[a]", "$['a]", "$.a b", "$[?(@.x)]", "$[1:2]"]
)
def test_what_is_no_path(path):
    with pytest.raises(PathError):
        parse_path(path)


def test_a_path_over_a_hostile_answer_stays_small():
    wide = [[[0] * 100] * 100] * 100
    assert len(parse_path("$[*][*][*]").find(wide)) == 10_000
    assert json.dumps(parse_path("$.a").first([1]))  # None, not an error
