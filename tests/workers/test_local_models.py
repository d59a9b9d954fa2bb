"""Real models, tiny ones, on two workers: pictures byte for byte, answers, decisions."""

import asyncio
import dataclasses
import io

import pytest

pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("diffusers", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

from PIL import Image
from support import tiny_chat, tiny_clip, tiny_images, worker_models
from support.inside import cli

from overt import registry
from overt.data.chat import ChatRequest, Message
from overt.data.outcomes import Outcome
from overt.data.records import Prompt
from overt.data.rewrites import Candidate, FaithfulnessCase
from overt.data.run.files import read_records
from overt.workers.load import load_chat_model, load_scorer

pytestmark = pytest.mark.usefixtures("light_torch")


def test_pictures_are_the_same_byte_for_byte(workers, tmp_path, monkeypatch):
    """With the pipeline's own checker, whose flag for each picture comes along."""
    monkeypatch.chdir(tmp_path)
    tiny_images.pipeline(tmp_path / "tiny")
    lines = [f"a quiet harbour {n} picture,{'benign' if n % 2 else 'unsafe'}" for n in range(18)]
    (tmp_path / "prompts.csv").write_text("\n".join(["prompt,label", *lines]))
    for name, spread in (("one", "1"), ("two", workers)):
        # Named whole: the workers of all tests stand in the folder of the test that hired them.
        cli("run", "prompts.csv", "--target", f"diffusers/{tmp_path}/tiny?steps=2", "--out", name,
            "--workers", spread, "--device", "cpu", "-q")  # fmt: skip
    one, two = (read_records(tmp_path / run / "stages" / "outcomes.jsonl", Outcome) for run in ("one", "two"))
    assert [without_clock(o) for o in one] == [without_clock(o) for o in two]
    assert [o.batch_size for o in two] == [4] * 16 + [2] * 2
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two")
    assert len(pictures(tmp_path / "one")) > 1


def without_clock(outcome):
    return dataclasses.replace(outcome, latency_s=0.0, batch_s=None, batch_size=None)


def pictures(run):
    return {path.name: path.read_bytes() for path in (run / "images").rglob("*.png")}


def test_a_chat_model_answers_as_in_one_process(workers, tmp_path):
    folder = tiny_chat.build(tmp_path / "chat")
    requests = [
        ChatRequest((Message("user", f"a question {n} " * (1 + n % 3)),), 0.7, 6, seed=n) for n in range(9)
    ]

    def answers(model):
        async def go():
            found = await asyncio.gather(*map(model.complete, requests))
            await model.close()
            return [(reply.text, reply.finish_reason, reply.input_tokens) for reply in found]

        return asyncio.run(asyncio.wait_for(go(), 120))

    options = {"device": "cpu", "batch_size": 3}
    here = registry.load_chat_model(f"hf/{folder}", **options)
    there = load_chat_model(f"hf/{folder}", workers, **options)
    assert (there.name, there.notes, there.sees_pictures) == (here.name, here.notes, here.sees_pictures)
    assert answers(there) == answers(here)


def test_clip_gives_the_same_scores_and_the_same_scale(workers, tmp_path):
    """Among the pictures are one that cannot be read and a black one; a text is longer than the encoder's."""
    pytest.importorskip("open_clip", reason="needs the extra [local]")
    folder = tiny_clip.clip(tmp_path / "clip")
    texts = [f"a red kite and {n} small birds " * (1 + 9 * (n == 3)) for n in range(14)]
    cases = [
        FaithfulnessCase(
            Candidate(f"c{n}", f"p{n}", f"{text} seen from below", "plain", "w", "t"),
            Prompt(f"p{n}", text, "c", "benign", "direct", "w", "t"),
            "a target",
            (f"{n}", f"{n + 1}"),
            (f"{2 * n}",),
        )
        for n, text in enumerate(texts)
    ]

    def load(path):
        if path == "5":
            return b"no picture"
        return worker_models.square("x", int(path)) if path != "6" else black()

    options = {"device": "cpu", "batch_size": 4}
    here = registry.load_scorer(f"clip/{folder}", **options)
    there = load_scorer(f"clip/{folder}", workers, **options)
    assert list(there.score(cases, load)) == list(here.score(cases, load))
    assert there.scale == here.scale
    assert (there.name, there.notes) == (here.name, here.notes)
    assert not hasattr(there, "_loaded")


def black():
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()
