"""Judges of pictures that see none are refused by name; those of this machine that see are shown them."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from support.inside import cli
from support.tiny_vlm import llava, picture

from overt.data.chat import CallError, ChatReply, is_blind
from overt.data.errors import InputError
from overt.data.local.writing import write
from overt.data.outcomes import Harm
from overt.data.records import Probe
from overt.data.run.files import read_records
from overt.data.targets import Response
from overt.tasks.roles import ModelOptions, chat_model, seeing_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")


# The tiny model has a token for each letter, so the rubric is short.
POLICY = """
name: gardens
version: "1"
categories:
  - id: c0
    title: Blades
    disallowed: [a blade held against a person]
    allowed: [blades of grass]
    triggers: [{term: blade, neutral: [stalk]}]
"""


class Painter:
    """A target that draws another picture for each length of a prompt."""

    name = "test_seeing:Painter"

    def respond(self, prompt, seed):
        return Response(images=(picture(len(prompt)),))


pytestmark = pytest.mark.usefixtures("light_torch")


class Blind:
    """A chat model of a user's own that says that it sees nothing."""

    name = "test_seeing:Blind"
    sees_pictures = False
    asked = 0

    async def complete(self, request):
        Blind.asked += 1
        return ChatReply(text='{"label": "harmless", "reason": ""}')

    async def close(self):
        pass


class Untold(Blind):
    """One that says nothing of it."""

    name = "test_seeing:Untold"
    sees_pictures = None


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    from support.tiny_lm import build

    return build(tmp_path_factory.mktemp("text") / "model")


@pytest.fixture(scope="module")
def vision_model(tmp_path_factory):
    return terse(llava(tmp_path_factory.mktemp("vision") / "model"))


def terse(folder):
    """The model's answers end at many letters; it would otherwise talk until its budget ends."""
    settings = json.loads((folder / "generation_config.json").read_text())
    settings["eos_token_id"] = [1, *range(8, 200)]
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A finished run of four pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    rows = [
        {"text": f"a {word} scene", "label": label, "category": "c0"}
        for word, label in (("calm", "benign"), ("still", "benign"), ("rude", "unsafe"), ("cruel", "unsafe"))
    ]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli(
        "run", folder / "p.jsonl", "--target", "test_seeing:Painter", "--out", folder / "run", "-q", code=None
    )
    return folder / "run"


@pytest.fixture
def run(drawn, tmp_path):
    import shutil

    shutil.copytree(drawn, tmp_path / "run")
    return tmp_path / "run"


def test_a_harm_judge_that_sees_no_pictures(run, text_model):
    done = cli("score", run, "--judges", f"hf/{text_model}", "--device", "cpu", "-q", code=2)
    assert f"hf/{text_model} sees no pictures, so it cannot be the judge of these pictures" in done.said
    assert "vision-language model" in done.said  # what to do
    assert not (run / "results" / "harm.jsonl").exists()


def test_one_judge_of_three_that_sees_nothing(run):
    names = "test_seeing:Untold,test_seeing:Blind"
    Blind.asked = 0
    done = cli("score", run, "--judges", names, "-q", code=2)
    assert "test_seeing:Blind sees no pictures" in done.said
    assert Blind.asked == 0  # nobody was asked before
    assert not (run / "results" / "harm.jsonl").exists()


def test_a_judge_that_does_not_say_is_asked(run):
    cli("score", run, "--judges", "test_seeing:Untold", "-q")
    assert {h.label for h in read_records(run / "results" / "harm.jsonl", Harm)} == {"harmless"}


def test_what_looks_whether_pictures_show_what_was_asked(run, text_model):
    done = cli("score", run, "--faithfulness", f"vqa/hf/{text_model}", "--device", "cpu", "-q", code=2)
    assert f"hf/{text_model} sees no pictures" in done.said
    assert f"the model that looks at pictures in vqa/hf/{text_model}" in done.said
    assert not (run / "results" / "as_asked.jsonl").exists()


def test_what_compares_pictures_of_rewordings(run, text_model):
    from overt.tasks.rewrite_measure import open_scorers

    work = SimpleNamespace(caller=SimpleNamespace(bind=lambda model, purpose: model))
    options = ModelOptions(device="cpu")
    settings = {"modality": "image", "batch_size": None, "seed": 0, "templates": None}
    with pytest.raises(InputError, match="sees no pictures"):
        open_scorers([f"vqa/hf/{text_model}"], work, options, **settings)
    open_scorers([f"judge/hf/{text_model}"], work, options, **settings)  # it reads wordings only


def test_a_local_vision_model_is_shown_each_picture(run, vision_model, monkeypatch):
    from overt.data.local.vision import Eyes

    shown, real = [], Eyes.inputs
    monkeypatch.setattr(
        Eyes, "inputs", lambda self, sights, device: shown.extend(sights) or real(self, sights, device)
    )
    done = cli(
        "score", run, "--judges", f"hf/{vision_model}", "--device", "cpu", "-q", "--retries", "0", code=3
    )
    assert "judged 0 of 2" in done.said  # random weights say nothing that can be read, and nothing is guessed
    assert {len(sight.pictures) for sight in shown} == {1}
    assert len({sight.pictures[0].tobytes() for sight in shown}) == 2
    votes = [vote for harm in read_records(run / "results" / "harm.jsonl", Harm) for vote in harm.votes]
    assert {vote.label for vote in votes} == {"unclear"}


def test_a_local_vision_model_as_a_checker(run, vision_model, text_model):
    from PIL import Image

    from overt.registry import load_checker

    done = cli("score", run, "--judges", f"checker/vlm/hf/{text_model}", "--device", "cpu", "-q", code=2)
    assert f"checker/vlm/hf/{text_model} sees no pictures" in done.said
    policy = run.parent / "policy.yaml"
    policy.write_text(POLICY)
    checker = load_checker(f"checker/vlm/hf/{vision_model}?dtype=float32&policy={policy}", device="cpu")
    assert checker.name == f"checker/vlm/hf/{vision_model}?policy={policy}&dtype=float32"
    assert checker.covers == ("c0",)
    asked = checker._asked
    rows = [asked._turns.row(requested(checker, seed).messages) for seed in (1, 2, 1)]
    looked = [write(asked.language, [row], [1], with_logits=True)[0].logits[0] for row in rows]
    assert looked[0].equal(looked[2])
    assert not looked[0].allclose(looked[1])
    decision = checker.check(Image.open(io.BytesIO(picture(1))), "a scene")
    assert decision.blocked is None
    assert decision.reason.startswith("unclear:")


def requested(checker, seed):
    from overt.scoring.outgoing_pictures import seeing

    return seeing(checker._request("a scene"), [picture(seed)])


def test_what_judges_text_need_not_see(text_model):
    model = chat_model(f"hf/{text_model}", "judge", ModelOptions(device="cpu"))
    assert is_blind(model)
    assert not is_blind(seeing_model("test_seeing:Untold", "judge", ModelOptions(), of="judge"))


def test_a_blind_model_behind_a_caller_answers_no_pictures():
    """The last line: whoever attaches a picture to such a model gets an error, not an answer."""
    import asyncio

    from overt.calls.channel import ChatChannel
    from overt.data.chat import ChatRequest, Message

    channel = ChatChannel(Blind(), None)
    seen = asyncio.run(channel.send(ChatRequest((Message("user", "look", (picture(1),)),))))
    assert seen.error == CallError("bad_request", "test_seeing:Blind sees no pictures")
    assert asyncio.run(channel.send(ChatRequest((Message("user", "read"),)))).error is None


def test_the_papers_surrogate(tmp_path):
    """Chameleon is a model of pictures and text; as a probe it is asked text only."""
    from support.tiny_vlm_more import chameleon

    folder = terse(chameleon(tmp_path / "chameleon"))
    (tmp_path / "policy.yaml").write_text(POLICY)
    done = cli(
        "generate", "--policy", tmp_path / "policy.yaml", "--probe", f"hf/{folder}", "--device", "cpu",
        "--encoder", "lexical", "--benign", 4, "--rounds", 1, "--samples", 2, "-q",
        "--out", tmp_path / "run", code=None,
    )  # fmt: skip
    probes = read_records(tmp_path / "run" / "stages" / "probe.jsonl", Probe)
    assert probes, done.said
    assert {(p.surrogate, p.asked) for p in probes} == {(f"hf/{folder}", 2)}
    assert any(p.answered for p in probes)  # random letters may be none
    assert "no chat template" not in done.said


sys.modules.setdefault("test_seeing", sys.modules[__name__])
