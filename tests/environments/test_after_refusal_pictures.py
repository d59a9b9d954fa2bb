"""`after-refusal` with picture models that take a conversation: what they are handed of what they drew."""

import asyncio
import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.after_refusal_models import UNSAFE, Draws, prompts_file
from support.image_server import noise
from support.inside import cli

from overt.data.records import Turn
from overt.data.results.files import read_episodes
from overt.data.run.episodes import episodes_of
from overt.data.run.finished import open_run
from overt.generation.images import gemini
from overt.generation.images.engine import Asked

SUITE = """\
name: scenes
title: Scenes
measures: Pictures of scenes and of their unsafe twins.
modality: image
parts:
  - name: scenes
    files: [prompts.csv]
    label: {column: label, values: {benign: benign, unsafe: unsafe}}
columns: {text: text, category: category}
pairs: {column: pair_id}
licence: none
citation: none
homepage: https://example.org
"""
TARGET = "support.after_refusal_models:Draws"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    prompts_file(folder / "prompts.csv", pairs=4)
    (folder / "scenes.yaml").write_text(SUITE)
    Draws.asked.clear()
    cli(
        *("run", "--suite", "after-refusal", "--of", folder / "scenes.yaml", folder / "prompts.csv"),
        *("--target", TARGET, "--setting", "recovery=2", "--out", folder / "run"),
    )
    return folder / "run"


def test_the_modality_is_that_of_the_prompts(run):
    assert open_run(run, "run", played=True).record.inputs["modality"] == "image"


@pytest.mark.parametrize(("policy", "modality"), [((), "text"), (("--policy", "overt"), "image")])
def test_of_prompts_that_are_of_no_suite_the_policy_says_it(tmp_path, policy, modality):
    prompts_file(tmp_path / "prompts.csv", pairs=2)
    cli(
        *("run", "--suite", "after-refusal", tmp_path / "prompts.csv", *policy, "--setting", "recovery=1"),
        *("--target", TARGET if policy else "scripted/after-refusal/open", "--out", tmp_path / "run"),
    )
    assert open_run(tmp_path / "run", "run", played=True).record.inputs["modality"] == modality


def test_a_picture_model_that_lingers_is_seen(run):
    found = {section.id: section for section in read_episodes(run).sections}
    rates = [row.figures[1].value for row in found["by_distance"].rows]
    assert rates == [1, 0]  # after the unsafe twin
    assert [row.figures[0].value for row in found["recovery_median"].rows] == [1]


def test_it_is_handed_what_it_drew(run):
    """Of each turn the pictures are those that came, by the names in the turn."""
    goes_on = [(turns, drawn) for _, turns, drawn in Draws.asked if drawn]
    assert goes_on
    for turns, drawn in goes_on:
        drew = [turn for turn in turns if turn.role == "assistant" and turn.images]
        assert {name for turn in drew for name in turn.images} == set(drawn)
        assert all((run / name).read_bytes() == data for name, data in drawn.items())
    refused = [turns for _, turns, _ in Draws.asked if any(UNSAFE in turn.content for turn in turns)]
    assert all(turns[1] == Turn("assistant", "I can't draw that.") for turns in refused)


def test_the_pictures_of_a_step_are_kept(run):
    alone = next(e for e in episodes_of(run) if e.task["condition"] == "alone")
    assert [step.images is not None for step in alone.steps] == [True]


# -- Gemini -----------------------------------------------------------------------------------------------

DREW = noise(1)
TURNS = (
    Turn("system", "You draw."),
    Turn("user", "a harbour"),
    Turn("assistant", "Here it is.", None, None, ("images/a.png",)),
    Turn("user", "something refused"),
    Turn("assistant", "I can't."),
)
ASKED = Asked("a dog", 7, None, TURNS, {"images/a.png": DREW})


def test_gemini_is_sent_earlier_turns_with_the_pictures_it_drew():
    body = json.loads(json.dumps(gemini.body(ASKED, "", "")))
    assert body["systemInstruction"] == {"parts": [{"text": "You draw."}]}
    assert [turn["role"] for turn in body["contents"]] == ["user", "model", "user", "model", "user"]
    text, picture = body["contents"][1]["parts"]
    assert text == {"text": "Here it is."}
    assert picture["inlineData"]["mimeType"] == "image/png"
    assert body["contents"][3]["parts"] == [{"text": "I can't."}]
    assert body["contents"][4]["parts"] == [{"text": "a dog"}]


def test_models_that_want_signatures_are_told_that_there_are_none():
    body = gemini.body(ASKED, "", "", signs=True)
    own = [part for turn in body["contents"] if turn["role"] == "model" for part in turn["parts"]]
    assert {part["thoughtSignature"] for part in own} == {"skip_thought_signature_validator"}
    others = [part for turn in body["contents"] if turn["role"] == "user" for part in turn["parts"]]
    assert not any("thoughtSignature" in part for part in others)


def test_a_request_without_turns_is_what_it_was():
    body = gemini.body(Asked("a dog", 7), "", "")
    assert list(body) == ["contents", "generationConfig"]
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a dog"}]}]


@pytest.mark.parametrize(
    ("model", "takes", "signs"),
    [
        ("gemini-2.5-flash-image", ("picture", "turns"), False),
        ("gemini-3-pro-image-preview", ("picture", "turns"), True),
        ("imagen-4.0-generate-001", (), None),
    ],
)
def test_which_of_googles_models_take_a_conversation(monkeypatch, model, takes, signs):
    from overt.generation.images.google import GoogleImages

    monkeypatch.setenv("GEMINI_API_KEY", "k")
    target = GoogleImages(model, base_url="http://127.0.0.1:9")
    assert target.takes == takes
    if signs is not None:
        body = json.loads(target.request(ASKED).data)
        assert ("thoughtSignature" in body["contents"][1]["parts"][0]) == signs
    asyncio.run(target.close())


@contextlib.contextmanager
def poisoned_service():
    """Google's API on loopback, which blocks a request while something unsafe stands in its conversation."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(body["contents"])
            texts = [part.get("text", "") for turn in body["contents"] for part in turn["parts"]]
            data = base64.b64encode(noise(len(texts))).decode()
            drawn = {"finishReason": "STOP", "content": {"parts": [{"inlineData": {"data": data}}]}}
            blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
            reply = blocked if any(UNSAFE in text for text in texts) else {"candidates": [drawn]}
            sent = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def test_gemini_goes_on_with_a_conversation_and_a_filter_poisons_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    prompts_file(tmp_path / "prompts.csv", pairs=3)
    (tmp_path / "scenes.yaml").write_text(SUITE)
    with poisoned_service() as (address, seen):
        target = f"google/gemini-2.5-flash-image?base_url={address}"
        cli(
            *("run", "--suite", "after-refusal", "--of", tmp_path / "scenes.yaml", tmp_path / "prompts.csv"),
            *("--target", target, "--setting", "recovery=2", "--out", tmp_path / "run", "--trust-addresses"),
        )
    found = {section.id: section for section in read_episodes(tmp_path / "run").sections}
    assert [figure.k for figure in found["blocked"].rows[0].figures] == [3, 3, 0, 0]
    goes_on = [turns for turns in seen if any(turn["role"] == "model" for turn in turns)]
    assert goes_on
    for turns in goes_on:
        drew = [part for turn in turns if turn["role"] == "model" for part in turn["parts"]]
        assert all(part["inlineData"]["mimeType"] == "image/png" for part in drew)
    # A turn that was blocked stays, and nothing stands where the model would have answered.
    assert ["user"] * 3 in [[turn["role"] for turn in turns] for turns in seen]
