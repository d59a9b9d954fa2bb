"""What a stage does about answers that fail, through the command line: what stops a run, what is waited for,
what is asked again, and what of a request is sent otherwise."""

import base64
import json
import re
import shutil
import sqlite3
import threading
import time
from collections import Counter

import pytest
from support.builders import PNG
from support.commands import outcomes, write_prompts
from support.inside import cli
from support.scripted import serving
from support.servers import server

from overt.data.records import Prompt
from overt.data.run.files import read_records

ANSWER = "To kill a Python process, find its id with ps and then run kill with that id."
MODEL = "openai/some-model"
FEW = ("--benign", 2, "--unsafe", 0, "--encoder", "lexical")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    monkeypatch.setenv("COLUMNS", "200")


def said(text, finish="stop", usage=(7, 9)):
    found = {"choices": [{"message": {"content": text}, "finish_reason": finish}]}
    if usage:
        found["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return found


class Service:
    """Answers a chat request by the prompt's last word: what the table says of it, else an answer."""

    def __init__(self, table=None, always=None):
        self.table, self.always = table or {}, always
        self.bodies, self.times, self.lock = [], [], threading.Lock()

    def __call__(self, body):
        with self.lock:
            self.bodies.append(body)
            self.times.append(time.monotonic())
        if self.always is not None:
            found = self.always(body) if callable(self.always) else self.always
            if found is not None:
                return found
        word = body["messages"][-1]["content"].rpartition(" ")[2]
        found = self.table.get(word)
        if isinstance(found, list):
            found = found.pop(0) if found else None
        return found or (200, {}, said(ANSWER))

    @property
    def sent(self):
        return len(self.bodies)


def prompts(folder, *words, benign=()):
    """A data set of prompts that end with these words."""
    rows = [f"Tell me something nice, please: number {n} {word}" for n, word in enumerate(words)]
    return write_prompts(folder / "prompts.jsonl", rows)


def text_run(folder, data, url, *more, code=0, out="run", concurrency=1):
    return cli(
        *("run", data, "--policy", "chat_assistant", "--target", MODEL, "--out", folder / out),
        *("--base-url", url, "--concurrency", concurrency, "--min-coverage", 0.5, *more),
        code=code,
    )


def states(folder, out="run"):
    """(state, code) by the prompt's last word."""
    texts = {p.id: p.text for p in read_records(folder / out / "stages" / "prompts.jsonl", Prompt)}
    return {texts[o.prompt_id].rpartition(" ")[2]: (o.state, o.code) for o in outcomes(folder / out)}


def manifest(folder, out="run"):
    return json.loads((folder / out / "manifest.json").read_text())


# -- 401 and 403 ------------------------------------------------------------------------------------------

UNKNOWN_403 = (403, {}, {"message": "Zugriff nicht zulaessig fuer diese Anfrage"})


@pytest.mark.parametrize("place", [0, 2, 5])
@pytest.mark.parametrize("trouble", [UNKNOWN_403, (403, {}, {}), (401, {}, {"error": "nichts davon"})])
def test_a_403_on_one_prompt_ends_nothing(tmp_path, place, trouble):
    words = [f"w{n}" for n in range(6)]
    if place == 0 and trouble[0] == 401:
        pytest.skip("a 401 where nothing was ever answered is the key's")
    service = Service({words[place]: trouble})
    data = prompts(tmp_path, *words)
    with server(service) as url:
        done = text_run(tmp_path, data, url)
        assert service.sent == 6
        found = states(tmp_path)
        assert found.pop(words[place]) == ("error", "forbidden")
        assert set(found.values()) == {("generated", "")}
        assert "forbidden (1 of 1 missing)" in done.stdout
        text_run(tmp_path, data, url)  # a resume goes past it too, and asks it again
        assert service.sent == 7
        cli("run", "--resume", tmp_path / "run")
        assert service.sent == 8


def test_a_row_of_403_stops_the_run_and_names_what_was_said(tmp_path):
    words = [f"w{n}" for n in range(30)]
    service = Service(dict.fromkeys(words[5:], UNKNOWN_403))
    data = prompts(tmp_path, *words)
    with server(service) as url:
        done = text_run(tmp_path, data, url, code=1)
    assert "Zugriff nicht zulaessig" in done.stderr
    assert 13 <= service.sent <= 14
    service = Service()
    with server(service) as url:  # mended: what was answered is kept
        text_run(tmp_path, data, url)
    assert service.sent == 25


def test_prompts_that_are_forbidden_do_not_stop_the_resume(tmp_path):
    """More of them than a row are left over: they were met before, so they say nothing new."""
    words = [f"w{n}" for n in range(40)]
    service = Service({word: UNKNOWN_403 for word in words if int(word[1:]) % 3 == 0})
    data = prompts(tmp_path, *words)
    with server(service) as url:
        text_run(tmp_path, data, url)
        before = service.sent
        text_run(tmp_path, data, url)
    assert service.sent - before == 14
    assert Counter(states(tmp_path).values()) == {("generated", ""): 26, ("error", "forbidden"): 14}


@pytest.mark.parametrize(
    "trouble",
    [
        (401, {}, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}),
        (401, {}, {"error": "nope"}),
    ],
)
def test_a_key_that_never_worked_ends_the_run(tmp_path, trouble):
    data = prompts(tmp_path, *(f"w{n}" for n in range(20)))
    service = Service(always=trouble)
    with server(service) as url:
        done = text_run(tmp_path, data, url, code=1)
    assert "the key was not accepted" in done.stderr
    assert service.sent == 1


def test_a_401_without_a_word_among_answers_ends_nothing(tmp_path):
    service = Service({"w3": (401, {}, {})})
    with server(service) as url:
        text_run(tmp_path, prompts(tmp_path, *(f"w{n}" for n in range(6))), url)
    assert service.sent == 6
    assert states(tmp_path)["w3"][0] == "error"


def test_a_key_that_is_taken_away_ends_the_run(tmp_path):
    gone = (401, {}, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
    service = Service({"w3": gone})
    with server(service) as url:
        done = text_run(tmp_path, prompts(tmp_path, *(f"w{n}" for n in range(6))), url, code=1)
    assert "the key was not accepted" in done.stderr
    assert service.sent == 4


# -- billing ----------------------------------------------------------------------------------------------

BROKE = (429, {}, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}})


def test_an_account_without_credit_ends_the_run(tmp_path):
    words = [f"w{n}" for n in range(9)]
    service = Service(dict.fromkeys(words[4:], BROKE))
    data = prompts(tmp_path, *words)
    with server(service) as url:
        done = text_run(tmp_path, data, url, code=1)
        assert "no credit left" in done.stderr
        assert service.sent == 6
    service = Service()
    with server(service) as url:
        text_run(tmp_path, data, url)
    assert service.sent == 5


def test_credit_that_ends_at_the_last_prompt_ends_the_run(tmp_path):
    service = Service({"w4": BROKE})
    with server(service) as url:
        done = text_run(tmp_path, prompts(tmp_path, *(f"w{n}" for n in range(5))), url, code=1)
    assert "no credit left" in done.stderr


def test_one_bill_between_answers_ends_nothing(tmp_path):
    service = Service({"w2": (402, {}, {"error": {"message": "this prompt costs too much"}})})
    data = prompts(tmp_path, *(f"w{n}" for n in range(6)))
    with server(service) as url:
        text_run(tmp_path, data, url)
        assert states(tmp_path)["w2"] == ("error", "billing")
        text_run(tmp_path, data, url)  # the resume goes past it
    assert service.sent == 7


# -- waiting ----------------------------------------------------------------------------------------------

PER_MINUTE = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.2s"},
            ],
        }
    }
]


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {}, PER_MINUTE),
        (429, {"Retry-After": "1"}, {"error": {"message": "slow down"}}),
        (429, {"retry-after-ms": "1100"}, {"error": "rate limited"}),
    ],
)
def test_a_wait_that_the_service_names_is_waited_for_and_told(tmp_path, trouble):
    service = Service({"w1": [trouble, trouble]})
    with server(service) as url:
        done = text_run(tmp_path, prompts(tmp_path, "w0", "w1"), url, "--retries", 0)
    assert states(tmp_path)["w1"] == ("generated", "")
    assert service.times[2] - service.times[1] >= 1.0
    assert re.search(r"asks to wait 1 s: going on at \d\d:\d\d:\d\d", done.stderr)
    assert "asks to wait" not in json.dumps(manifest(tmp_path)["notes"])


@pytest.mark.parametrize("wait", [601, 5 * 3600, 100_000])
def test_a_wait_until_tomorrow_stops_with_everything_kept(tmp_path, wait):
    words = [f"w{n}" for n in range(6)]
    daily = (429, {"Retry-After": str(wait)}, {"error": {"message": "daily limit reached"}})
    service = Service(dict.fromkeys(words[3:], daily))
    data = prompts(tmp_path, *words)
    with server(service) as url:
        done = text_run(tmp_path, data, url, code=4)
    assert "asks to wait" in done.stderr
    assert "daily limit reached" in done.stderr
    assert "same command again after that" in done.stderr
    service = Service()
    with server(service) as url:
        text_run(tmp_path, data, url)
    assert service.sent == 3


# -- a better reader --------------------------------------------------------------------------------------


def test_a_404_is_asked_again_at_the_right_address(tmp_path):
    data = prompts(tmp_path, "w0", "w1", "w2")
    wrong = Service(always=(404, {}, {"detail": "Not Found"}))
    with server(wrong) as url:
        done = text_run(tmp_path, data, url, code=1)
        assert "rejects every request" in done.stderr
        assert "--base-url" in done.stderr
        assert not (tmp_path / "run" / "manifest.json").exists()
    right = Service()
    with server(right) as url:
        text_run(tmp_path, data, url)
    assert right.sent == 3
    assert set(states(tmp_path).values()) == {("generated", "")}


def test_a_run_that_nothing_came_of_makes_room_for_another(tmp_path):
    """The mended command names another model or other options, in the same folder."""
    data = prompts(tmp_path, "w0", "w1")
    with server(Service(always=(404, {}, {"error": {"message": "no such model"}}))) as url:
        text_run(tmp_path, data, url, code=1)
    with server(Service()) as url:
        text_run(tmp_path, data, url, "--max-tokens", 77)
    assert set(states(tmp_path).values()) == {("generated", "")}


def test_a_bad_request_among_answers_holds_until_the_address_is_another(tmp_path):
    odd = Service({"w1": (400, {}, {"error": {"message": "this one is odd"}})})
    data = prompts(tmp_path, *(f"w{n}" for n in range(4)))
    with server(odd) as url:
        done = text_run(tmp_path, data, url)
        assert "this one is odd" in done.stdout
        again = text_run(tmp_path, data, url)
        assert "nothing to do" in again.stderr
        assert odd.sent == 4
    right = Service()
    with server(right) as url:
        text_run(tmp_path, data, url)
    assert right.sent == 1
    assert states(tmp_path)["w1"] == ("generated", "")


@pytest.mark.parametrize(
    "trouble",
    [
        (404, {}, {"detail": "Not Found"}),
        (404, {}, {"error": {"message": "The model gpt-5o does not exist", "code": "model_not_found"}}),
        (400, {}, {"error": {"message": "model is not a valid model id"}}),
        (405, {}, {"detail": "Method Not Allowed"}),
        UNKNOWN_403,
        (302, {"Location": "https://login.example.com/sso?token=abc"}, {}),
    ],
)
def test_generate_writes_no_empty_data_set(tmp_path, trouble):
    few = ("generate", "--policy", "overt", "--category", "violence", *FEW)
    command = (*few, "--model", MODEL, "--out", tmp_path / "made")
    with server(Service(always=trouble)) as url:
        done = cli(*command, "--base-url", url, code=1)
    assert "next" not in done.stdout
    assert "rejects every request" in done.stderr
    assert not (tmp_path / "made" / "dataset").exists()
    assert not (tmp_path / "made" / "manifest.json").exists()
    service = Service(always=(200, {}, said("[]")))
    with server(service) as url:
        cli(*command, "--base-url", url, code=None)
    assert service.sent > 0


def test_score_and_rewrite_keep_nothing_of_a_judge_that_rejects_everything(tmp_path):
    data = tmp_path / "prompts.jsonl"
    data.write_text(json.dumps({"text": "an unsafe thing", "label": "unsafe", "category": "c"}) + "\n")
    with server(Service()) as url:
        text_run(tmp_path, data, url)
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    with server(Service(always=(404, {}, {"detail": "Not Found"}))) as url:
        done = cli("score", tmp_path / "run", "--judges", "openai/j", "--base-url", url, code=1)
    assert "rejects every request" in done.stderr
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
    verdict = json.dumps({"label": "harmless", "reason": "nice"})
    service = Service(always=(200, {}, said(verdict)))
    with server(service) as url:
        cli("score", tmp_path / "run", "--judges", "openai/j", "--base-url", url, code=None)
    assert service.sent >= 1


def test_rewrite_keeps_an_earlier_rewriting_where_the_rewriter_rejects_everything(tmp_path):
    refusal = "I'm sorry, but I can't help with that request."
    with server(Service(always=(200, {}, said(refusal)))) as url:
        text_run(tmp_path, prompts(tmp_path, "w0", "w1"), url)
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    command = ("rewrite", tmp_path / "run", "--llm", "openai/w", "--strategy", "plain", "--candidates", 1)
    with server(Service(always=(404, {}, {"detail": "Not Found"}))) as url:
        done = cli(*command, "--base-url", url, code=1)
    assert "rejects every request" in done.stderr
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
    service = Service(always=(200, {}, said(json.dumps({"prompts": ["Another wording of it"]}))))
    with server(service) as url:
        cli(*command, "--base-url", url, "--faithfulness", "text/lexical", code=None)
    assert service.sent > 0


# -- what endpoints do not take ---------------------------------------------------------------------------


def rejecting(test, *bodies):
    """Rejects each request that the test holds for, with these bodies in turn, and answers the others."""
    left = list(bodies)

    def always(body):
        if not test(body):
            return None
        status, data = left.pop(0) if len(left) > 1 else left[0]
        return status, {}, data

    return always


def has_system(body):
    return any(turn["role"] == "system" for turn in body["messages"])


NO_SYSTEM = [
    (
        400,
        {"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400},
    ),
    (
        400,
        {
            "error": {
                "message": "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                "type": "invalid_request_error",
                "param": "messages[0].role",
                "code": "unsupported_value",
            }
        },
    ),
    (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "Developer instruction is not enabled for models/gemma-3-27b-it",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    (
        500,
        {
            "error": {
                "code": 500,
                "message": "Value is not callable: Jinja Exception: System role not supported",
                "type": "server_error",
            }
        },
    ),
    (
        422,
        {
            "error": "Template error: invalid operation: Conversation roles must alternate "
            "user/assistant/user/assistant/... (in <string>:1)",
            "error_type": "template_error",
        },
    ),
    (400, {"object": "error", "message": "Only user and assistant roles are supported!", "code": 400}),
    (400, {"detail": "Unexpected role 'system'"}),
    (400, {"error": {"message": "This model does not support system messages"}}),
]


@pytest.mark.parametrize(("status", "body"), NO_SYSTEM, ids=range(len(NO_SYSTEM)))
def test_a_model_without_a_system_role_gets_the_text_in_the_users_turn(tmp_path, status, body):
    (tmp_path / "system.txt").write_text("Be brief.")
    service = Service(always=rejecting(has_system, (status, body)))
    data = prompts(tmp_path, *(f"w{n}" for n in range(4)))
    with server(service) as url:
        done = text_run(tmp_path, data, url, "--system", tmp_path / "system.txt")
        assert set(states(tmp_path).values()) == {("generated", "")}
        assert service.sent == 5  # one failed request, whatever the number of prompts
        for sent in service.bodies[1:]:
            (turn,) = sent["messages"]
            assert turn["role"] == "user"
            assert turn["content"].startswith("Be brief.\n\nTell me something nice")
        assert done.stderr.count("takes no system turn") == 1
        assert "takes no system turn" in " ".join(manifest(tmp_path)["notes"])
        # It is seen in the run of whoever goes on from the journal, too.
        (tmp_path / "run" / "manifest.json").unlink()
        text_run(tmp_path, data, url, "--system", tmp_path / "system.txt")
        assert service.sent == 5
        assert "takes no system turn" in " ".join(manifest(tmp_path)["notes"])


def wants(*fields):
    return lambda body: any(field in body for field in fields)


def schema_of(body):
    return body.get("response_format", {}).get("type")


NO_SCHEMA = [
    (
        400,
        {
            "error": {
                "message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported "
                "with this model.",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
    ),
    (
        400,
        {
            "error": {
                "message": "This response_format type is unavailable now",
                "code": "invalid_request_error",
            }
        },
    ),
    (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "Json mode is not enabled for models/gemma-3-27b-it",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    (
        400,
        {
            "error": {
                "code": 400,
                "message": "Failed to initialize samplers: failed to parse grammar",
                "type": "invalid_request_error",
            }
        },
    ),
    (422, {"error": "Input validation error: grammar is not supported", "error_type": "validation"}),
    (
        400,
        {
            "error": {
                "message": "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' "
                "for more details.",
                "type": "invalid_request_error",
                "code": "json_validate_failed",
                "failed_generation": "",
            }
        },
    ),
    (
        400,
        {
            "object": "error",
            "message": "The provided JSON schema contains features not supported by xgrammar.",
            "code": 400,
        },
    ),
    (
        400,
        {
            "error": {
                "message": "litellm.UnsupportedParamsError: cohere does not support parameters: "
                "['response_format'], for model=x."
            }
        },
    ),
]


@pytest.mark.parametrize(("status", "body"), NO_SCHEMA, ids=range(len(NO_SCHEMA)))
def test_a_server_without_a_grammar_is_asked_in_words(tmp_path, status, body):
    data = tmp_path / "prompts.jsonl"
    rows = [{"text": f"an unsafe thing {n}", "label": "unsafe", "category": "c"} for n in range(3)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with server(Service()) as url:
        text_run(tmp_path, data, url)
    verdict = json.dumps({"label": "harmless", "reason": "nice"})

    def always(sent):
        if schema_of(sent):
            return status, {}, body
        return 200, {}, said(verdict)

    service = Service(always=always)
    with server(service) as url:
        done = cli(
            *("score", tmp_path / "run", "--judges", "openai/j", "--base-url", url, "--concurrency", 1),
            code=None,
        )
    assert [schema_of(sent) for sent in service.bodies] == ["json_schema", "json_object", None, None, None]
    assert done.stderr.count("takes no JSON format") == 1


def test_what_the_model_wrote_instead_of_json_is_its_answer(tmp_path):
    """Groq rejects an answer that is no JSON, and hands it on: the model is asked again with the reason."""
    data = tmp_path / "prompts.jsonl"
    data.write_text(json.dumps({"text": "an unsafe thing", "label": "unsafe", "category": "c"}) + "\n")
    with server(Service()) as url:
        text_run(tmp_path, data, url)
    verdict = json.dumps({"label": "harmless", "reason": "nice"})
    failed = {
        "error": {
            "message": "Failed to generate JSON.",
            "code": "json_validate_failed",
            "failed_generation": "I think it is harmless",
        }
    }
    answers = [(400, {}, failed), (200, {}, said(verdict))]
    service = Service(always=lambda body: answers.pop(0))
    with server(service) as url:
        cli("score", tmp_path / "run", "--judges", "openai/j", "--base-url", url, code=None)
    assert service.sent == 2
    assert service.bodies[1]["messages"][-2]["content"] == "I think it is harmless"
    assert not any(json.loads((tmp_path / "run/manifest.json").read_text())["judges"]["failed"].values())


ODD_FIELDS = {
    "max_completion_tokens": (
        lambda body: "max_tokens" in body,
        (
            400,
            {
                "error": {
                    "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                    "'max_completion_tokens' instead.",
                    "param": "max_tokens",
                }
            },
        ),
        lambda body: body["max_completion_tokens"] == 512 and "max_tokens" not in body,
    ),
    "the highest number of tokens": (
        lambda body: body.get("max_tokens", 0) > 100,
        (
            400,
            {
                "error": {
                    "message": "max_tokens is too large: 512. This model supports at most 100 completion "
                    "tokens, whereas you provided 512."
                }
            },
        ),
        lambda body: body["max_tokens"] == 100,
    ),
    "the default temperature alone": (
        lambda body: "temperature" in body,
        (
            400,
            {
                "error": {
                    "message": "Unsupported value: 'temperature' does not support 0.0 with this model. Only "
                    "the default (1) value is supported.",
                    "param": "temperature",
                }
            },
        ),
        lambda body: "temperature" not in body,
    ),
    "a positive temperature": (
        lambda body: body.get("temperature") == 0,
        (
            422,
            {
                "error": "Input validation error: `temperature` must be strictly positive",
                "error_type": "validation",
            },
        ),
        lambda body: body["temperature"] == 0.01,
    ),
    "a range of temperatures": (
        lambda body: body.get("temperature") == 0,
        (422, {"status": 422, "message": "Invalid params: temperature must be in range (0, +inf)"}),
        lambda body: body["temperature"] == 0.01,
    ),
    "no seed": (
        lambda body: "seed" in body,
        (
            422,
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "seed"],
                        "msg": "Extra inputs are not permitted",
                        "input": 123,
                    }
                ]
            },
        ),
        lambda body: "seed" not in body,
    ),
    "no seed, by Google": (
        lambda body: "seed" in body,
        (
            400,
            [
                {
                    "error": {
                        "code": 400,
                        "message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.',
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ],
        ),
        lambda body: "seed" not in body,
    ),
    "no parameters, by a gateway": (
        lambda body: "seed" in body or "temperature" in body,
        (
            400,
            {
                "error": {
                    "message": "litellm.UnsupportedParamsError: bedrock does not support parameters: "
                    "['temperature', 'seed'], for model=deepseek.r1"
                }
            },
        ),
        lambda body: not {"seed", "temperature"} & body.keys(),
    ),
}


@pytest.mark.parametrize("name", ODD_FIELDS)
def test_a_parameter_that_is_not_taken_is_sent_otherwise(tmp_path, name):
    test, answer, is_right = ODD_FIELDS[name]
    service = Service(always=rejecting(test, answer))
    with server(service) as url:
        done = text_run(tmp_path, prompts(tmp_path, *(f"w{n}" for n in range(4))), url)
    assert set(states(tmp_path).values()) == {("generated", "")}
    assert service.sent <= 6
    assert all(map(is_right, service.bodies[-3:]))
    assert "takes no" in done.stderr
    assert any("takes no" in note for note in manifest(tmp_path)["notes"])


def test_a_complaint_that_no_change_mends_costs_one_request_more(tmp_path):
    """Words about the temperature in an error that is none of the temperature's: the change is taken back."""
    odd = (400, {}, {"error": {"message": "the temperature of this topic is not supported"}})
    service = Service({"w1": odd, "w3": odd})
    with server(service) as url:
        done = text_run(tmp_path, prompts(tmp_path, *(f"w{n}" for n in range(5))), url)
    assert states(tmp_path)["w1"] == ("error", "bad_request")
    assert service.sent == 6
    assert all("temperature" in body for body in service.bodies[3:])
    assert "takes no" not in done.stderr


# -- redirects --------------------------------------------------------------------------------------------

HTTP_FILE = """
url: {url}/v1/images
headers: {{Authorization: "Bearer ${{OPENAI_API_KEY}}"}}
json: {{prompt: "{{{{prompt}}}}"}}
image: {{path: $.url, encoding: url}}
"""


def picture_run(folder, url, code=0):
    (folder / "model.yaml").write_text(HTTP_FILE.format(url=url))
    data = prompts(folder, "w0")
    target = f"http/{folder / 'model.yaml'}"
    return cli("run", data, "--target", target, "--out", folder / "run", "--retries", 0, code=code)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_picture_is_followed_to_its_store_without_the_key(tmp_path, status):
    with serving((200, {"content-type": "image/png"}, PNG)) as store:

        def answer(asked):
            if asked.method == "POST":
                return 200, {}, {"url": f"{front.url}/pictures/1"}
            return status, {"location": f"{store.url}/signed?sig=abc"}, b""

        with serving(answer) as front:
            picture_run(tmp_path, front.url)
            assert "authorization" in front.asked[1].headers
    assert [asked.path for asked in store.asked] == ["/signed?sig=abc"]
    assert "authorization" not in store.asked[0].headers
    assert [o.state for o in outcomes(tmp_path / "run")] == ["generated"]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/pictures/1", "redirects in a row"),
        ("file:///etc/passwd", "no http(s) address"),
        ("", "no http(s) address|redirects in a row"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(tmp_path, location, words):
    def answer(asked):
        if asked.method == "POST":
            return 200, {}, {"url": f"{front.url}/pictures/1"}
        return 302, {"location": location}, b""

    with serving(answer) as front:
        picture_run(tmp_path, front.url, code=3)
        assert len(front.asked) <= 7
    (outcome,) = outcomes(tmp_path / "run")
    assert outcome.state == "error"
    assert re.search(words.replace("(s)", r"\(s\)"), outcome.evidence)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_not_sent_on(tmp_path, status):
    with serving((200, {}, said(ANSWER))) as other:
        data = prompts(tmp_path, "w0", "w1")
        redirect = (status, {"Location": f"{other.url}/login/here?token=secret"}, {})
        with server(Service(always=redirect)) as url:
            done = text_run(tmp_path, data, url, code=1)
        assert other.asked == []
    assert f"{other.url}/login/here" in done.stderr
    assert "secret" not in done.stderr
    assert "redirect" in done.stderr


@pytest.mark.parametrize("status", [302, 307])
def test_a_filters_post_is_not_sent_on_either(tmp_path, status):
    with serving((200, {}, {"results": [{"flagged": False}]})) as other:
        with server(Service(always=(status, {"Location": f"{other.url}/login?token=secret"}, {}))) as url:
            data = prompts(tmp_path, "w0", "w1")
            target = f"filter/openai-moderation?base_url={url}"
            done = cli("run", data, "--target", target, "--out", tmp_path / "run", "--retries", 0, code=1)
        assert other.asked == []
    assert f"{other.url}/login" in done.stderr
    assert "secret" not in done.stderr


# -- costs without usage ----------------------------------------------------------------------------------


def test_a_cap_stops_a_model_that_counts_no_tokens(tmp_path):
    (tmp_path / "prices.yaml").write_text("some-model: {input: 1000, output: 1000}\n")
    service = Service(
        always=(200, {}, said("Here is one of the words that you asked for. " * 20, usage=None))
    )  # about 250 tokens: 0.25 dollars
    data = prompts(tmp_path, *(f"w{n}" for n in range(40)))
    capped = ("--prices", tmp_path / "prices.yaml", "--max-cost", 2)
    with server(service) as url:
        text_run(tmp_path, data, url, *capped, code=4)
        assert 5 <= service.sent <= 12
        done = text_run(tmp_path, data, url, *capped[:2], "--max-cost", 100)
    notes = " ".join(manifest(tmp_path)["notes"])
    assert "their cost is an estimate" in notes
    assert "their cost is an estimate" in done.stdout
    assert "(an estimate)" in done.stdout
    calls = manifest(tmp_path)["calls"]
    assert calls["estimated"] == 40
    assert 8 < calls["cost"] < 14
    assert json.loads((tmp_path / "run" / "run.json").read_text())["cost_is_estimate"] is True


def test_counted_tokens_are_no_estimate(tmp_path):
    (tmp_path / "prices.yaml").write_text("some-model: {input: 1000, output: 1000}\n")
    with server(Service()) as url:
        done = text_run(tmp_path, prompts(tmp_path, "w0"), url, "--prices", tmp_path / "prices.yaml")
    assert "estimate" not in done.said
    assert "estimated" not in manifest(tmp_path)["calls"]
    assert "cost_is_estimate" not in json.loads((tmp_path / "run" / "run.json").read_text())


# -- damaged and missing journals ---------------------------------------------------------------------------


def rows(folder, statement, *values):
    with sqlite3.connect(folder / "run" / "journal.sqlite") as base:
        return base.execute(statement, values).fetchall()


DAMAGE = {
    "no JSON": "UPDATE calls SET reply = 'rubbish' WHERE key IN (?, ?)",
    "cut off": "UPDATE calls SET reply = substr(reply, 1, 40) WHERE key IN (?, ?)",
    "empty": "UPDATE calls SET reply = '' WHERE key IN (?, ?)",
    "a list": "UPDATE calls SET reply = '[1, 2]' WHERE key IN (?, ?)",
    "a number": "UPDATE calls SET reply = 5 WHERE key IN (?, ?)",
    "bytes": "UPDATE calls SET reply = x'ff00fe' WHERE key IN (?, ?)",
    "no fields": "UPDATE calls SET reply = '{}' WHERE key IN (?, ?)",
    "wrong types": 'UPDATE calls SET reply = replace(reply, \'"text":"\', \'"text":7,"x":"\') '
    "WHERE key IN (?, ?)",
    "a wrong cost": "UPDATE calls SET cost = 'many' WHERE key IN (?, ?)",
    "an odd error": 'UPDATE calls SET reply = replace(reply, \'"error":null\', \'"error":{"kind":[]}\') '
    "WHERE key IN (?, ?)",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_rows_are_told_and_asked_again(tmp_path, damage):
    data = prompts(tmp_path, *(f"w{n}" for n in range(5)))
    with server(Service()) as url:
        text_run(tmp_path, data, url)
    keys = [key for (key,) in rows(tmp_path, "SELECT key FROM calls LIMIT 2")]
    rows(tmp_path, DAMAGE[damage], *keys)
    (tmp_path / "run" / "manifest.json").unlink()
    service = Service()
    with server(service) as url:
        done = text_run(tmp_path, data, url)
    assert service.sent == 2
    assert "2 damaged rows" in done.said
    assert "journal.sqlite" in done.said
    assert set(states(tmp_path).values()) == {("generated", "")}


def test_a_row_under_a_damaged_key_harms_nothing(tmp_path):
    data = prompts(tmp_path, "w0", "w1")
    with server(Service()) as url:
        text_run(tmp_path, data, url)
        rows(
            tmp_path, "UPDATE calls SET key = 'zz' || substr(key, 3) WHERE key = (SELECT min(key) FROM calls)"
        )
        (tmp_path / "run" / "manifest.json").unlink()
        text_run(tmp_path, data, url)


@pytest.mark.parametrize("how", ["emptied", "gone", "truncated to nothing"])
@pytest.mark.parametrize("complete", [True, False])
def test_an_emptied_journal_is_not_paid_for_again_in_silence(tmp_path, how, complete):
    data = prompts(tmp_path, "w0", "w1")
    with server(Service({"w1": (500, {}, {"error": "down"})})) as url:
        text_run(tmp_path, data, url, "--retries", 0)
    journal = tmp_path / "run" / "journal.sqlite"
    if how == "emptied":
        rows(tmp_path, "DELETE FROM calls")
    elif how == "gone":
        journal.unlink()
    else:
        journal.write_bytes(b"")
    if not complete:
        (tmp_path / "run" / "manifest.json").unlink()
    before = (tmp_path / "run" / "stages" / "outcomes.jsonl").read_bytes()
    service = Service()
    with server(service) as url:
        done = text_run(tmp_path, data, url, code=2)
        assert service.sent == 0
        assert "--pay-again" in done.stderr
        assert (tmp_path / "run" / "stages" / "outcomes.jsonl").read_bytes() == before
        text_run(tmp_path, data, url, "--pay-again")
        assert service.sent == 2


def test_a_complete_run_without_its_journal_has_nothing_to_do(tmp_path):
    data = prompts(tmp_path, "w0")
    service = Service()
    with server(service) as url:
        text_run(tmp_path, data, url)
        (tmp_path / "run" / "journal.sqlite").unlink()
        assert "nothing to do" in text_run(tmp_path, data, url).stderr
        verdict = Service(always=(200, {}, said(json.dumps({"label": "harmless", "reason": "nice"}))))
        with server(verdict) as other:  # the judge's calls are new ones
            cli("score", tmp_path / "run", "--judges", "openai/j", "--base-url", other, "--benign", code=None)
        assert verdict.sent == 1
        shutil.rmtree(tmp_path / "run" / "report", ignore_errors=True)


def test_a_generation_whose_journal_is_gone_is_not_paid_for_again(tmp_path):
    few = ("generate", "--policy", "overt", "--category", "violence", *FEW)
    command = (*few, "--model", MODEL, "--out", tmp_path / "made", "--retries", 0)
    answers = [(200, {}, said("[]"))]
    service = Service(always=lambda body: answers.pop(0) if answers else (500, {}, {"error": "down"}))
    with server(service) as url:
        cli(*command, "--base-url", url, code=None)
        (tmp_path / "made" / "journal.sqlite").unlink()
        before = service.sent
        done = cli(*command, "--base-url", url, code=2)
    assert "--pay-again" in done.stderr
    assert service.sent == before


# -- a better reader ----------------------------------------------------------------------------------------

NO = (400, {}, {"error": {"message": "Anfrage entspricht nicht den Hausregeln 4711"}})
CODES = "openai: {prompt_filter: [{says: Hausregeln, as: house_rules}]}\n"


@pytest.mark.parametrize("trouble", [NO, (403, {}, NO[2]), (500, {}, NO[2]), (200, {}, NO[2])])
def test_a_file_of_codes_decides_anew_without_a_request(tmp_path, trouble):
    (tmp_path / "codes.yaml").write_text(CODES)
    service = Service({"w1": trouble, "w3": trouble})
    data = prompts(tmp_path, *(f"w{n}" for n in range(5)))
    with server(service) as url:
        done = text_run(tmp_path, data, url, "--retries", 0)
        assert states(tmp_path)["w1"][0] == "error"
        assert "Hausregeln 4711" in done.stdout
        before = service.sent
        done = text_run(tmp_path, data, url, "--retries", 0, "--codes", tmp_path / "codes.yaml")
        assert service.sent == before
        assert states(tmp_path)["w1"] == states(tmp_path)["w3"] == ("refused", "house_rules")
        assert "answered 5 of 5" in done.stdout
        text_run(tmp_path, data, url, "--retries", 0)  # without them it is as before
        assert states(tmp_path)["w1"][0] == "error"


def test_codes_go_on_with_the_run_in_its_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codes.yaml").write_text(CODES)
    service = Service({"w1": NO})
    data = prompts(tmp_path, "w0", "w1")
    command = ("run", data, "--policy", "chat_assistant", "--target", MODEL, "--min-coverage", 0.5)
    with server(service) as url:
        cli(*command, "--base-url", url)
        cli(*command, "--base-url", url, "--codes", "codes.yaml")
        assert service.sent == 2
        (run,) = (tmp_path / "runs").iterdir()
        assert {o.state for o in outcomes(run)} == {"generated", "refused"}
        cli("run", "--resume", run, "--codes", "codes.yaml")
        assert service.sent == 2


def test_codes_decide_anew_what_ended_a_run(tmp_path):
    """A run in which nothing was ever answered stopped with an error; the words were a refusal."""
    (tmp_path / "codes.yaml").write_text(CODES)
    service = Service(always=(403, {}, NO[2]))
    data = prompts(tmp_path, *(f"w{n}" for n in range(5)))
    with server(service) as url:
        done = text_run(tmp_path, data, url, code=1)
        assert "--codes FILE" in done.stderr
        text_run(tmp_path, data, url, "--codes", tmp_path / "codes.yaml")
        assert service.sent == 5
    assert set(states(tmp_path).values()) == {("refused", "house_rules")}


def test_score_decides_anew_without_a_request(tmp_path):
    (tmp_path / "codes.yaml").write_text(CODES)
    data = tmp_path / "prompts.jsonl"
    rows = [{"text": f"an unsafe thing w{n}", "label": "unsafe", "category": "c"} for n in range(4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    service = Service({"w1": NO})
    with server(service) as url:
        text_run(tmp_path, data, url)
    verdict = Service(always=(200, {}, said(json.dumps({"label": "harmless", "reason": "nice"}))))
    with server(verdict) as url:
        score = ("score", tmp_path / "run", "--judges", "openai/j", "--base-url", url)
        done = cli(*score, "--codes", tmp_path / "codes.yaml", code=None)
    assert service.sent == 4
    assert states(tmp_path)["w1"] == ("refused", "house_rules")
    assert "1 outcomes were decided anew" in done.stderr
    summary = json.loads((tmp_path / "run" / "results" / "summary.json").read_text())
    assert summary["targets"][0]["coverage"]["answered"] == 4


def test_a_newer_vocabulary_decides_anew_without_a_request(tmp_path, monkeypatch):
    from overt.data.provider import codes_file, vocabulary

    data = prompts(tmp_path, "w0", "w1")
    service = Service({"w1": NO})
    with server(service) as url:
        text_run(tmp_path, data, url)
        assert "nothing to do" in text_run(tmp_path, data, url).stderr
        monkeypatch.setattr(vocabulary, "digest", lambda: "newer")
        (tmp_path / "codes.yaml").write_text(CODES)
        with codes_file.taught_by(tmp_path / "codes.yaml"):
            rows = vocabulary._taught
        monkeypatch.setattr(vocabulary, "_own_rows", lambda name: rows.get(name, ()))
        text_run(tmp_path, data, url)
        assert service.sent == 2
        assert states(tmp_path)["w1"] == ("refused", "house_rules")
        assert "nothing to do" in text_run(tmp_path, data, url).stderr


def test_a_picture_services_no_is_read_again_too(tmp_path):
    (tmp_path / "codes.yaml").write_text(CODES.replace("says: Hausregeln", "says: Hausregeln, status: [400]"))

    def answer(asked):
        if b"w1" in asked.body:
            return NO
        return 200, {}, {"data": [{"b64_json": base64.b64encode(PNG).decode()}]}

    data = prompts(tmp_path, "w0", "w1", "w2")
    command = (
        "run",
        data,
        "--target",
        "openai/gpt-image-1",
        "--out",
        tmp_path / "run",
    )
    with serving(answer) as api:
        cli(*command, "--base-url", f"{api.url}/v1", code=3)
        assert states(tmp_path)["w1"] == ("error", "bad_request")
        cli(*command, "--base-url", f"{api.url}/v1", "--codes", tmp_path / "codes.yaml")
        assert len(api.asked) == 3
    assert states(tmp_path)["w1"] == ("refused", "house_rules")


def test_the_key_is_in_no_file_of_the_run(tmp_path):
    leak = (403, {}, {"message": "key sk-test-0123456789abcdef may not, see https://x.example/?sig=geheim"})
    with server(Service({"w1": leak})) as url:
        text_run(tmp_path, prompts(tmp_path, "w0", "w1", "w2"), url)
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            assert b"0123456789abcdef" not in path.read_bytes(), path
            assert b"geheim" not in path.read_bytes(), path
