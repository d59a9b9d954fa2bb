"""What services really send, through the command line: each body on one prompt of a run."""

import base64
import json
import sqlite3
import time

import pytest
from support.builders import PNG
from support.commands import outcomes, write_prompts
from support.inside import cli
from support.servers import server

from overt.data.records import Prompt
from overt.data.run.files import read_records

KEY = "sk-test-0123456789abcdef"
ANSWER = "To kill a Python process, find its id with ps and then run kill with that id."


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "250")


def said(content, finish="stop", **more):
    return 200, {}, {"choices": [{"message": {"content": content}, "finish_reason": finish, **more}]}


def error(http, message, **more):
    return http, {}, {"error": {"message": message, **more}}


def picture(**more):
    return 200, {}, {"data": [more]}


DRAWN = picture(b64_json=base64.b64encode(PNG).decode())


class Service:
    """Answers by the prompt's last word; else with `other`."""

    def __init__(self, table, other):
        self.table, self.other, self.prompts = table, other, []

    def __call__(self, body):
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        word = prompt.rpartition(" ")[2]
        self.prompts.append(word)
        found = self.table.get(word, self.other)
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found


def run(folder, service, url, *more, target, words=None, code=0, out="run"):
    words = words or [*service.table, *(f"plain{n}" for n in range(3))]
    data = folder / "prompts.jsonl"
    write_prompts(data, [f"Something nice with the number {n} and {word}" for n, word in enumerate(words)])
    policy = ("--policy", "chat_assistant") if target.endswith("chat") else ()
    return cli(
        *("run", data, *policy, "--target", target, "--base-url", url, "--out", folder / out),
        *("--concurrency", 1, "--min-coverage", 0.3, *more),
        code=code,
    )


def found(folder, out="run"):
    texts = {p.id: p.text for p in read_records(folder / out / "stages" / "prompts.jsonl", Prompt)}
    return {texts[o.prompt_id].rpartition(" ")[2]: o for o in outcomes(folder / out)}


QUOTA = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.3s"},
            ],
        }
    }
]
GUIDELINES = "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"
FLAGGED = "vendor/m requires moderation and your input was flagged"
BLOCKED = "Image generation failed with the following error: The response is blocked. Error Code: 58061214"
REFUSED = {
    "xai": (403, {}, {"code": "permission-denied", "error": GUIDELINES}),
    "openrouter": error(403, FLAGGED, code=403, metadata={"reasons": ["violence"]}),
    "deepseek": error(400, "Content Exists Risk", code="invalid_request_error"),
    "qwen": error(
        400, "Input data may contain x", code="data_inspection_failed", type="data_inspection_failed"
    ),
    "gateway": error(
        400, "The response was filtered due to the prompt triggering a content policy", code="400"
    ),
    "nested": error(400, json.dumps({"error": {"message": "x", "code": "content_filter"}}), code="400"),
    "imagen": error(400, BLOCKED, code=400, status="INVALID_ARGUMENT"),
    "kimi": error(400, "The request was rejected because it was considered high risk", type="content_filter"),
    "guardrail": error(446, "The guardrail checks defined in the config failed.", type="hooks_failed"),
}
FAILED = {
    "page": (403, {"content-type": "text/html"}, "<html>Attention Required! You have been blocked</html>"),
    "forbidden": error(403, "Nothing to see here"),
    "unknown": error(400, "the frobnicator 17 is out of order"),
    "unknown2": error(400, "the frobnicator 18 is out of order"),
    "parameter": error(400, "safety_identifier is not a valid parameter"),
    "moderation": error(400, "moderation endpoint unavailable"),
}
KINDS = {"page": "server", "forbidden": "forbidden"}


def test_bodies_of_a_chat(tmp_path):
    service = Service(
        {
            **REFUSED,
            **FAILED,
            "spii": said("", "SPII"),
            "sensitive": said(None, "sensitive"),
            "filter": said("", "content_filter: PROHIBITED_CONTENT"),
            "empty": (200, {}, {"choices": [], "prompt_feedback": {"block_reason": "SAFETY"}}),
            "quota": [(429, {}, QUOTA), said(ANSWER)],
            "choice": said("Sure, first", "error", error={"code": 502, "message": "host went away"}),
            "half": said("Sure, first", "error"),
            "sentence": said("Error: upstream request failed"),
            "object": said('{"error": {"message": "upstream", "code": 500}}'),
        },
        said(ANSWER),
    )
    with server(service) as url:
        began = time.monotonic()
        done = run(tmp_path, service, url, "--retries", 1, target="openai/some-chat")
        assert time.monotonic() - began >= 0.3
    states = found(tmp_path)
    for word in (*REFUSED, "spii", "sensitive", "filter", "empty"):
        assert states[word].state == "refused", (word, states[word])
    for word in FAILED:
        assert (states[word].state, states[word].code) == ("error", KINDS.get(word, "bad_request")), word
    for word in ("choice", "half", "sentence", "object"):
        assert (states[word].state, states[word].code) == ("error", "server"), word
    assert service.prompts.count("quota") == 2
    for word in ("quota", "plain0", "plain1", "plain2"):
        assert states[word].state == "generated", (word, states[word])
    lines = done.stdout.splitlines()
    assert any(line.startswith("bad_request (2 of 10 missing): the frobnicator") for line in lines)
    assert any("--codes FILE" in line for line in lines)


def test_bodies_of_a_picture_service(tmp_path):
    refused = {
        "moderated": picture(url="", respect_moderation=False),
        "moderated2": picture(b64_json="", respect_moderation=False, revised_prompt=""),
        "unsafe": picture(url=None, is_image_safe=False),
        "inside": picture(url="", error={"code": "content_policy_violation", "message": "no"}),
    }
    failed = {
        "nothing": (200, {}, {"data": []}),
        "broken": picture(url="", error={"code": "internal", "message": "gpu lost"}),
        "beside": (200, {}, {"data": [], "error": {"code": 500, "message": "oops"}}),
    }
    service = Service({**REFUSED, **FAILED, **refused, **failed, "quota": [(429, {}, QUOTA), DRAWN]}, DRAWN)
    with server(service) as url:
        run(tmp_path, service, url, "--retries", 1, target="openai/gpt-image-1")
    states = found(tmp_path)
    for word in (*REFUSED, *refused):
        assert states[word].state == "refused", (word, states[word])
    for word in (*FAILED, *failed):
        assert states[word].state == "error", (word, states[word])
    assert states["quota"].images
    assert states["moderated"].stage == "image_filter"


def test_a_bill_stops_and_a_limit_does_not(tmp_path):
    quota = error(429, QUOTA[0]["error"]["message"], code="insufficient_quota", type="insufficient_quota")
    service = Service({"bill": quota}, said(ANSWER))
    with server(service) as url:
        done = run(tmp_path, service, url, target="openai/some-chat", code=1)
    assert "no credit left" in done.said


CODES = """\
openai:
  prompt_filter:
    - {says: frobnicator, as: frobnicator}
  bad_request:
    - {says: content exists risk}
"""


def test_an_unknown_body_is_taught_without_another_request(tmp_path):
    table = {"unknown": FAILED["unknown"], "forbidden": FAILED["forbidden"], "risk": REFUSED["deepseek"]}
    service = Service(table, said(ANSWER))
    codes = tmp_path / "codes.yaml"
    codes.write_text(CODES)
    with server(service) as url:
        run(tmp_path, service, url, target="openai/some-chat")
        before = found(tmp_path)
        assert (before["unknown"].state, before["risk"].state) == ("error", "refused")
        service.prompts.clear()
        run(tmp_path, service, url, "--codes", codes, target="openai/some-chat")
        # Only what is asked again in any case was asked again.
        assert service.prompts == ["forbidden"]
    after = found(tmp_path)
    assert (after["unknown"].state, after["unknown"].stage) == ("refused", "prompt_filter")
    assert after["unknown"].code == "frobnicator"
    assert (after["risk"].state, after["risk"].code) == ("error", "bad_request")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["inputs"]["codes"]) == 32
    assert record["given"]["codes"] == str(codes)
    again = ("--resume", tmp_path / "run", "--base-url", url, "--retries", 0)
    cli("run", *again, code=None)  # the file goes along
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
    assert found(tmp_path)["unknown"].state == "refused"


def test_a_picture_service_is_taught_without_another_request(tmp_path):
    service = Service({"unknown": FAILED["unknown"]}, DRAWN)
    codes = tmp_path / "codes.yaml"
    codes.write_text("any: {image_filter: [{says: frobnicator, as: frobnicator}]}")
    with server(service) as url:
        run(tmp_path, service, url, target="openai/gpt-image-1")
        assert found(tmp_path)["unknown"].state == "error"
        service.prompts.clear()
        run(tmp_path, service, url, "--codes", codes, target="openai/gpt-image-1")
        assert service.prompts == []
        after = found(tmp_path)["unknown"]
        assert (after.state, after.stage, after.code) == ("refused", "image_filter", "frobnicator")
        run(tmp_path, service, url, target="openai/gpt-image-1")  # and without the file it is none
        assert service.prompts == []
    assert found(tmp_path)["unknown"].state == "error"


@pytest.mark.parametrize("command", ["generate", "score", "judge-check", "rewrite"])
def test_every_command_that_asks_services_takes_codes(command):
    assert "--codes" in cli(command, "--help").stdout


def test_codes_make_another_default_folder_and_a_wrong_file_is_named(tmp_path):
    codes = tmp_path / "codes.yaml"
    codes.write_text("opnai:\n  model: [x]\nany:\n  modell: [y]\n  model:\n    - {says: '(('}\n")
    service = Service({}, said(ANSWER))
    with server(service) as url:
        done = run(tmp_path, service, url, "--codes", codes, target="openai/some-chat", code=2)
        for words in ("codes.yaml:2:3", "did you mean 'openai'", "codes.yaml:4:", "codes.yaml:6"):
            assert words in done.stderr
        done = run(
            tmp_path, service, url, "--codes", tmp_path / "none.yaml", target="openai/some-chat", code=2
        )
        assert "cannot read the file of the code list" in done.stderr
    assert service.prompts == []


def test_what_is_kept_of_a_failure(tmp_path):
    service = Service(
        {"echo": error(400, f"no such thing; key {KEY}; see https://x.example/a?sig=abcd")}, said(ANSWER)
    )
    with server(service) as url:
        run(tmp_path, service, url, target="openai/some-chat")
    rows = sqlite3.connect(tmp_path / "run" / "journal.sqlite").execute("SELECT reply FROM calls").fetchall()
    kept = [json.loads(reply) for (reply,) in rows if "no such thing" in reply]
    assert len(kept) == 1
    text = json.dumps(kept)
    assert KEY not in text
    assert "sig=abcd" not in text
    assert '"status": 400' in text
