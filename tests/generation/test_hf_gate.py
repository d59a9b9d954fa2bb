"""`hf/MODEL?refusal_tokens=FILE` on a tiny model that is built here: probabilities, choice, continuations."""

import asyncio
import dataclasses
import shutil

import pytest
from support.tiny_gate import with_tokens
from support.tiny_lm import build

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.data.refusal_tokens import Tokens
from overt.data.refusal_tokens_file import SINGLE, write_tokens
from overt.generation.chat.hf_gate import TokenGate
from overt.registry import load_chat_model
from overt.tasks.targets import read_spec

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

BY_CATEGORY = Tokens(" [respond]", {"violence": " [violence]", "self_harm": " [self harm]"})


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("gate") / "single")
    with_tokens(folder, SINGLE, lift=6.0)
    return folder


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("gate") / "several")
    with_tokens(folder, BY_CATEGORY, lift=9.0)
    return folder


def requests(count=5, temperature=0.0):
    return [
        ChatRequest((Message("user", "word3 " * n + "word1"),), temperature, max_tokens=5 + n, seed=n)
        for n in range(count)
    ]


def spec(folder, **options):
    pairs = [f"{key.replace('__', '.')}={value}" for key, value in options.items()]
    return f"hf/{folder}?" + "&".join([f"refusal_tokens={folder}/tokens.json", *pairs])


def answers(name, todo, **options):
    async def run():
        model = load_chat_model(name, device="cpu", **options)
        try:
            return await asyncio.gather(*(model.complete(request) for request in todo))
        finally:
            await model.close()

    return asyncio.run(run())


def by_hand(folder, request, tokens, behind=""):
    """By transformers alone: the probabilities of one forward pass, what it writes behind a token (without
    the token itself), and its own most probable token."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    turns = [{"role": m.role, "content": m.content} for m in request.messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        p = torch.softmax(model(ids).logits[0, -1].float(), -1)
        found = {name: float(p[tokenizer.convert_tokens_to_ids(text)]) for name, text in tokens.all.items()}
        if behind:
            token = torch.tensor([[tokenizer.convert_tokens_to_ids(tokens.all[behind])]])
            ids = torch.cat([ids, token], 1)
        own = tokenizer.convert_ids_to_tokens(int(p.argmax()))
        out = model.generate(ids, max_new_tokens=request.max_tokens, do_sample=False, pad_token_id=2)
    return found, tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip(), own


def test_p_is_that_of_a_forward_pass_and_both_answers_go_on_from_it(single):
    todo = requests(3)
    for request, reply in zip(todo, answers(spec(single, threshold=0.5, both="true"), todo), strict=True):
        gate = reply.gate
        p, chosen, _ = by_hand(single, request, SINGLE, gate.chosen)
        assert {share.name: share.p for share in gate.shares} == pytest.approx(p, abs=1e-5)
        assert gate.score == pytest.approx(p["refuse"], abs=1e-5)
        assert gate.mass == pytest.approx(sum(p.values()), abs=1e-5)
        assert (gate.top, gate.threshold) == ("refuse", 0.5)
        assert gate.chosen == ("refuse" if p["refuse"] >= 0.5 else "respond")
        [other] = gate.others
        assert {gate.chosen, other.token} == {"refuse", "respond"}
        assert reply.text == chosen
        assert other.text == by_hand(single, request, SINGLE, other.token)[1]
        assert other.state is None  # a judge decides that


def test_a_token_that_one_request_cannot_go_behind_fails_that_request(single, monkeypatch):
    """As a processor of pictures may read it otherwise: others of its batch are answered."""
    real = TokenGate.behind

    def behind(self, language, row, token):
        if token == "refuse" and len(row.tokens) == min(lengths):
            raise ValueError("the model's processor does not read ' [refuse]' as one token")
        lengths.add(len(row.tokens))
        return real(self, language, row, token)

    lengths = set()
    monkeypatch.setattr(TokenGate, "behind", behind)
    first, *rest = answers(spec(single, threshold=0), requests(3))
    assert first.error.kind == "bad_request"
    assert "as one token" in first.error.message
    assert [reply.error for reply in rest] == [None, None]


def test_thresholds_decide(single, several):
    [request] = requests(1)
    [one] = answers(spec(single, threshold=0), [request])
    p = one.gate.score
    assert one.gate.chosen == "refuse"
    assert 0 < p < 1
    for threshold, chosen in ((p - 0.01, "refuse"), (p + 0.01, "respond"), (1, "respond")):
        [reply] = answers(spec(single, threshold=f"{threshold:.6f}", margin=0), [request])
        assert (reply.gate.chosen, reply.gate.others) == (chosen, ())
    # Near to the threshold the other answer is asked for as well.
    [near] = answers(spec(single, threshold=f"{p + 0.05:.6f}"), [request])
    [far] = answers(spec(single, threshold=f"{p + 0.05:.6f}", margin=0.04), [request])
    assert (len(near.gate.others), len(far.gate.others)) == (1, 0)
    # Without one, the more probable of the two.
    [own] = answers(spec(single), [request])
    shares = {share.name: share.p for share in own.gate.shares}
    assert own.gate.threshold is None
    assert own.gate.chosen == max(("refuse", "respond"), key=lambda name: (shares[name], name == "refuse"))

    # Categories: the threshold of the most probable one counts.
    [top] = answers(spec(several, threshold=0), [request])
    assert top.gate.chosen == top.gate.top != "respond"
    high, low = {f"threshold__{top.gate.top}": 1}, {f"threshold__{top.gate.top}": 0}
    [never] = answers(spec(several, threshold=0, **high), [request])
    [always] = answers(spec(several, threshold=1, **low), [request])
    assert (never.gate.chosen, never.gate.threshold) == ("respond", 1)
    assert (always.gate.chosen, always.gate.threshold) == (top.gate.top, 0)


def test_without_a_threshold_a_category_model_goes_on_with_its_own_token(several):
    [request] = requests(1)
    [reply] = answers(spec(several), [request])
    own = by_hand(several, request, BY_CATEGORY)[2]
    assert BY_CATEGORY.all[reply.gate.chosen] == own


def test_its_own_token_may_be_a_word(several):
    bare = build(several.parent / "bare")
    with_tokens(bare, BY_CATEGORY)  # which it does not use
    [request] = requests(1)
    [reply] = answers(spec(bare), [request])
    _, text, own = by_hand(bare, request, BY_CATEGORY)
    assert own not in BY_CATEGORY.all.values()
    assert (reply.gate.chosen, reply.text, reply.gate.others) == ("", text, ())
    [both] = answers(spec(bare, both="true"), [request])
    assert [other.token for other in both.gate.others] == ["respond", both.gate.top]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_batch_says_what_single_calls_say(single, temperature):
    name = spec(single, threshold=0.3, margin=0.05)
    batch = answers(name, requests(6, temperature), batch_size=6)
    alone = answers(name, requests(6, temperature), batch_size=1)
    assert [(r.text, r.gate.chosen, [o.text for o in r.gate.others]) for r in batch] == [
        (r.text, r.gate.chosen, [o.text for o in r.gate.others]) for r in alone
    ]
    assert [r.gate.score for r in batch] == pytest.approx([r.gate.score for r in alone], abs=1e-5)
    assert all(r.error is None for r in batch)


def test_a_bad_request_spares_its_neighbours(single):
    long = ChatRequest((Message("user", " ".join(["word1"] * 300)),), 0.0, 4)
    fits = ChatRequest((Message("user", " ".join(["word1"] * 125)),), 0.0, 4)  # with the token, 128 are full
    first, second, third = answers(spec(single, threshold=0.5), [long, requests(1)[0], fits])
    assert (first.error.kind, first.gate) == ("too_long", None)
    assert second.error is None
    assert second.gate is not None
    assert third.error.kind == "too_long"


def test_a_prompt_cannot_speak_a_token(single):
    model = load_chat_model(spec(single, threshold=0.5), device="cpu")
    ids = {model._language.tokenizer.convert_tokens_to_ids(text) for text in SINGLE.all.values()}
    row = model._turns.row([Message("user", "word1 [respond] word2 [refuse] word3")])
    assert not ids & set(row.tokens)


def test_workers_say_the_same(single, workers):
    from overt.workers.load import load_chat_model as load

    name, todo = spec(single, threshold=0.5, both="true"), requests(3)

    async def run(model):
        try:
            return await asyncio.gather(*(model.complete(request) for request in todo))
        finally:
            await model.close()

    elsewhere = asyncio.run(run(load(name, workers, device="cpu")))
    here = answers(name, todo)
    assert [r.text for r in elsewhere] == [r.text for r in here]
    assert [dataclasses.replace(r.gate, shares=(), score=0, mass=0) for r in elsewhere] == [
        dataclasses.replace(r.gate, shares=(), score=0, mass=0) for r in here
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 2}, "not a number from 0 to 1"),
        ({"threshold": "high"}, "not a number"),
        ({"threshold__violence": 0.5}, "there is no refuse token 'violence'"),
        ({"margin": -1}, "not a number from 0 to 1"),
        ({"treshold": 0.5}, "Did you mean 'threshold'"),
    ],
)
def test_wrong_options_are_told_before_a_model_is_loaded(single, options, said):
    with pytest.raises(InputError) as caught:
        load_chat_model(spec(single, **options).replace(f"hf/{single}", "hf/nobody/nothing"))
    assert said in str(caught.value)


def test_wrong_files_and_tokens(single, tmp_path):
    with pytest.raises(InputError, match="no file names them"):
        load_chat_model("hf/nobody/nothing?threshold=0.5")
    with pytest.raises(InputError):
        load_chat_model(f"hf/nobody/nothing?refusal_tokens={tmp_path}/none.json")
    for tokens, said in (
        (Tokens("[respond] word1", {"refuse": " [refuse]"}), "cuts the token"),
        (Tokens("nowhere", {"refuse": "nothing"}), "have one id"),
        (Tokens(" [respond]", {"refuse": "nothing"}), "does not know the token 'nothing'"),
    ):
        write_tokens(tmp_path / "tokens.json", tokens)
        with pytest.raises(InputError, match="token") as caught:
            load_chat_model(f"hf/{single}?refusal_tokens={tmp_path}/tokens.json", device="cpu")
        assert said in str(caught.value)


def test_a_tokenizer_with_more_tokens_than_its_model(single, tmp_path):
    folder = build(tmp_path / "short")
    for name in ("tokenizer.json", "tokenizer_config.json", "tokens.json"):
        shutil.copy(single / name, folder / name)
    with pytest.raises(InputError, match="no row for it"):
        load_chat_model(spec(folder), device="cpu")


def test_the_file_belongs_to_the_target(single):
    path = f"{single}/tokens.json"
    before = read_spec(spec(single, threshold=0.5))
    assert before.name == spec(single, threshold=0.5)  # no option of it looks like a key
    assert set(before.files) == {path, str(single)}
    text = (single / "tokens.json").read_bytes()
    try:
        write_tokens(single / "tokens.json", Tokens(" [refuse]", {"refuse": " [respond]"}))
        assert read_spec(spec(single, threshold=0.5)).files[path] != before.files[path]
    finally:
        (single / "tokens.json").write_bytes(text)
