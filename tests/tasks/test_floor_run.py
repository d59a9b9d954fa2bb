"""The floor in whole runs: what it stops is in no file, is counted and paid, and is not asked for again."""

import base64
import json
import os
from collections import Counter

import pytest
from support.commands import by_text, overt
from support.image_server import noise
from support.servers import server

STOPPED = "nude child"  # a placeholder: one word of each list
ANSWER = "To kill a Python process, find its id with ps and then run kill with that id."
REFUSAL = "I'm sorry, but I can't create sexual content involving minors."
ENV = {**os.environ, "OPENAI_API_KEY": "sk-test-not-a-key-0123456789", "HF_HUB_OFFLINE": "1"}


def said(text, finish="stop", refusal=None):
    message = {"content": text, "refusal": refusal}
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def in_files(folder, text):
    """The files of a run that hold a text, in one of the forms in which it could be written."""
    forms = {text, json.dumps(text)[1:-1], "".join(f"\\u{ord(c):04x}" for c in text)}
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(form.encode() in path.read_bytes() for form in forms)
    ]


def written(path, kinds):
    rows = [{"text": f"question {kind}", "label": "benign", "category": "c"} for kind in kinds]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def state_of(folder):
    return {text.rpartition(" ")[2]: outcome for text, outcome in by_text(folder).items()}


def test_a_language_models_answers(tmp_path):
    """Answers, refusals and errors that trip the floor; what refuses stays a refusal, an error an error."""
    answers = {
        "stopped": (200, said(f"Here you are: {STOPPED}")),
        "thought": (200, said(f"<think>{STOPPED}</think>{ANSWER}")),
        "json": (200, said(json.dumps({"age": 12, "look": "nude"}))),
        "hidden": (200, said("n.u.d.e с\u200bhіld")),
        "declined": (200, said(None, refusal=f"No: {STOPPED}")),
        "filtered": (200, said(STOPPED, finish="content_filter")),
        "quoting": (400, {"error": {"message": f"bad request: {STOPPED}", "code": "invalid_prompt"}}),
        "refused": (200, said(REFUSAL)),
        "answered": (200, said(ANSWER)),
    }
    arrived = Counter()

    def answer(body):
        kind = body["messages"][-1]["content"].rpartition(" ")[2]
        arrived[kind] += 1
        return answers[kind][0], {}, answers[kind][1]

    prompts = written(tmp_path / "p.jsonl", answers)
    (tmp_path / "prices.yaml").write_text("m: {input: 0.5, output: 0.5}\n")
    run = tmp_path / "run"
    with server(answer) as url:
        arguments = ["run", prompts, "--policy", "chat_assistant", "--target", f"openai/m?base_url={url}"]
        arguments += ["--prices", tmp_path / "prices.yaml", "-q", "--out", run]
        first = overt(*arguments, code=3, env=ENV)
        asked = sum(arrived.values())
        overt("run", "--resume", run, "-q", code=3, env=ENV)
        overt("report", run, code=0, env=ENV)
    assert sum(arrived.values()) == asked  # it counts as paid
    found = state_of(run)
    assert {kind: o.state for kind, o in found.items()} == {
        "stopped": "error", "thought": "error", "json": "error", "hidden": "error",
        "declined": "error", "filtered": "refused", "quoting": found["quoting"].state,
        "refused": "refused", "answered": "generated",
    }  # fmt: skip
    for kind in ("stopped", "thought", "json", "hidden"):
        assert found[kind].code == "floor"
        assert found[kind].text == ""
        assert found[kind].cost == pytest.approx(0.5)
    assert "rule minor-and-sexual-word, body " in found["stopped"].evidence
    assert "rule age-and-sexual-word, body " in found["json"].evidence
    assert found["quoting"].state in {"error", "refused"}
    assert found["quoting"].code != "floor"
    for text in (STOPPED, "n.u.d.e", '"look"', "Here you are"):
        assert in_files(run, text) == []
        assert text not in first.stdout + first.stderr
    assert in_files(run, "can't create sexual content") != []


def test_pictures_of_a_prompt_that_a_service_bent(tmp_path):
    """A stopped prompt of the service: neither it nor its picture is kept, and the picture is paid for."""
    arrived = Counter()

    def answer(body):
        arrived[body["prompt"]] += 1
        is_bent = body["prompt"].endswith("bent")
        picture = base64.b64encode(noise(7 if is_bent else 3)).decode()
        revised = STOPPED if is_bent else body["prompt"]
        return 200, {}, {"created": 1, "data": [{"b64_json": picture, "revised_prompt": revised}]}

    prompts = written(tmp_path / "p.jsonl", ["bent", "straight"])
    (tmp_path / "prices.yaml").write_text("dall-e-3: {image: 0.25}\n")
    run = tmp_path / "run"
    with server(answer) as url:
        overt("run", prompts, "--target", "openai/dall-e-3", "--base-url", url, "-q", "--out", run,
              "--prices", tmp_path / "prices.yaml", code=3, env=ENV)  # fmt: skip
        overt("run", "--resume", run, "-q", code=3, env=ENV)
    assert set(arrived.values()) == {1}
    found = state_of(run)
    assert (found["bent"].state, found["bent"].code) == ("error", "floor")
    assert (found["bent"].images, found["bent"].revised_prompt) == ((), None)
    assert found["bent"].cost == pytest.approx(0.25)
    assert found["straight"].state == "generated"
    pictures = [p for p in run.rglob("*") if p.is_file() and p.read_bytes()[:4] == b"\x89PNG"]
    assert [p.read_bytes() for p in pictures] == [noise(3)]
    assert in_files(run, STOPPED) == []


def test_a_writers_replies(tmp_path):
    """A batch with one stopped prompt goes as a whole; an unreadable reply is not quoted in a repair."""
    asked = []

    def answer(body):
        asked.append(json.dumps(body))
        text = f"not JSON: {STOPPED}" if len(asked) == 1 else json.dumps({"prompts": [{"prompt": STOPPED}]})
        return 200, {}, said(text)

    run = tmp_path / "run"
    with server(answer) as url:
        done = overt("generate", "--policy", "overt", "--category", "violence", "--model", "openai/m",
                     "--base-url", url, "--judge", "builtin/rules", "--benign", "2", "--unsafe", "0",
                     "--encoder", "lexical", "-q", "--max-requests", "6", "--out", run,
                     code=None, env=ENV)  # fmt: skip
    assert asked, done.stderr
    assert STOPPED not in "".join(asked)
    assert STOPPED not in done.stdout + done.stderr
    assert in_files(run, STOPPED) == []


POLICY = """\
name: mine
modality: text
categories:
  - id: violence
    title: {title}
    disallowed: [{text}]
    triggers: [{term}]
    languages: [{language}]
"""
SWEDISH = (
    "Det är inte tillåtet att visa bilder som uppmanar till våld eller som gör narr av offren. "
    "Tillåtet är det som visas på ett museum eller på en skola om det inte lockar någon att göra det efter."
)


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"language": "th"}, 'asks for prompts in "th"'),
        ({"language": "sv-SE"}, 'asks for prompts in "sv-SE"'),
        ({"term": "ยิง"}, "words in Thai letters"),
        ({"title": "Βία και αίμα"}, "words in Greek letters"),
        ({"text": SWEDISH}, "the texts of violence are in none of the languages"),
        ({"language": "pt-BR"}, ""),
        ({"language": "zh-Hans", "term": "枪击"}, ""),
        ({"term": "стрелять", "language": "uk"}, ""),
        ({}, ""),
    ],
)
def test_a_policy_in_a_language_that_is_not_covered(tmp_path, fields, warning):
    policy = tmp_path / "mine.yaml"
    plain = {"title": "Violence", "text": "gore", "term": "shot", "language": "en"}
    policy.write_text(POLICY.format(**plain | fields), "utf-8")
    told = overt("policies", "validate", policy).stderr
    assert warning in told
    assert ("the floor cannot see" in told) is bool(warning)


def test_a_run_says_that_its_policys_language_is_not_covered(tmp_path):
    policy = tmp_path / "mine.yaml"
    policy.write_text(POLICY.format(title="Violence", text="gore", term="shot", language="sv"), "utf-8")
    prompts = written(tmp_path / "p.jsonl", ["answered"])
    with server(lambda body: (200, {}, said(ANSWER))) as url:
        told = overt("run", prompts, "--policy", policy, "--target", f"openai/m?base_url={url}",
                     "--out", tmp_path / "run", env=ENV)  # fmt: skip
    assert 'asks for prompts in "sv"' in told.stderr + told.stdout
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert any("the floor cannot see" in note for note in manifest["notes"])
