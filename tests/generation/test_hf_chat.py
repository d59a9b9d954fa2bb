"""`hf/` on a tiny model that is built here: no hub, real loading, real generation."""

import asyncio
import dataclasses
import json
import shutil

import pytest
from support.tiny_lm import TEMPLATE, build

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.registry import load_chat_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("tiny") / "model")


def requests(count=8, temperature=1.0):
    return [
        ChatRequest(
            (Message("system", "draw a picture"), Message("user", " ".join(["word3"] * (n + 1)))),
            temperature,
            max_tokens=6 + n,
            seed=n,
        )
        for n in range(count)
    ]


def answers(spec, todo, **options):
    async def run():
        model = load_chat_model(spec, device="cpu", **options)
        try:
            return await asyncio.gather(*(model.complete(r) for r in todo))
        finally:
            await model.close()

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_batch_says_what_single_calls_say(folder, tmp_path, kind):
    spec = f"hf/{folder if kind == 'llama' else build(tmp_path / kind, kind=kind)}"
    batch = answers(spec, requests(), batch_size=8)
    single = answers(spec, requests(), batch_size=1)
    assert [(r.text, r.finish_reason, r.output_tokens) for r in batch] == [
        (r.text, r.finish_reason, r.output_tokens) for r in single
    ]
    assert all(r.error is None for r in batch)
    assert len({r.text for r in batch}) > 4  # it samples: not all rows say the same
    assert all(r.output_tokens <= 6 + n for n, r in enumerate(batch))
    assert batch[0].input_tokens < batch[7].input_tokens


def test_a_neighbour_takes_no_room(folder):
    """A long prompt in the batch pads a short one; the short one may still say all that it may alone."""
    long = ChatRequest((Message("user", " ".join(["word1"] * 100)),), max_tokens=9, seed=1)
    short = ChatRequest((Message("user", "word2"),), max_tokens=90, seed=2, temperature=2.0)
    [alone] = answers(f"hf/{folder}", [short])
    with_long = answers(f"hf/{folder}", [long, short, long])
    assert with_long[1].text == alone.text
    assert with_long[0].text == with_long[2].text
    assert alone.output_tokens > 28  # more than the room that is left beside the long one


def test_a_batch_lasts_no_longer_than_its_rows(folder):
    """A row with a small budget that finds no end must not keep the batch going for a long one's budget."""

    async def run():
        model = load_chat_model(f"hf/{folder}", device="cpu", batch_size=2)
        small, large = (dataclasses.replace(r, temperature=0.0, max_tokens=4) for r in requests(8)[::7])
        first = model._language.tokenizer((await model.complete(large)).text)["input_ids"][0]
        assert first not in model._language.tokenizer((await model.complete(small)).text)["input_ids"]
        model._language.ends = {first}  # the large one ends at once, the small one never
        steps = []
        model._language.model.register_forward_hook(lambda *_: steps.append(1))
        large = dataclasses.replace(large, max_tokens=60)
        try:
            return await asyncio.gather(model.complete(small), model.complete(large)), len(steps)
        finally:
            await model.close()

    (small, large), steps = asyncio.run(run())
    assert (small.output_tokens, small.finish_reason) == (4, "length")
    assert (large.output_tokens, large.finish_reason) == (0, "stop")
    assert steps == 4


def test_an_end_token_ends_the_answer(folder):
    async def run():
        model = load_chat_model(f"hf/{folder}", device="cpu")
        try:
            request = dataclasses.replace(requests(1)[0], temperature=0.0, max_tokens=8)
            full = await model.complete(request)
            # The token that this model says first becomes an end token: nothing must be left.
            first = model._language.tokenizer(full.text)["input_ids"][0]
            model._language.ends = model._language.ends | {first}
            return full, await model.complete(request)
        finally:
            await model.close()

    full, ended = asyncio.run(run())
    assert full.output_tokens == 8
    assert (ended.text, ended.finish_reason, ended.output_tokens) == ("", "stop", 0)


def test_seed_and_sample_decide_and_zero_is_greedy(folder):
    base = requests(1)[0]
    variants = [base, base, dataclasses.replace(base, seed=99), dataclasses.replace(base, sample=1)]
    one, again, seeded, sampled = (r.text for r in answers(f"hf/{folder}", variants))
    assert one == again
    assert len({one, seeded, sampled}) == 3
    cold = [dataclasses.replace(v, temperature=0.0) for v in variants]
    assert len({r.text for r in answers(f"hf/{folder}", cold)}) == 1


def test_sampling_follows_the_softmax():
    """Gumbel-max over 20,000 requests meets softmax(logits / T) within 4 standard errors; over a
    vocabulary of 5,000 the noise has Gumbel's mean and variance (Euler's gamma, pi^2 / 6)."""
    from overt.data.local.language import Row
    from overt.generation.chat.hf import _gumbel, _GumbelNoise

    count = 20_000
    logits = torch.tensor([[1.0, 0.0, -1.0, 0.5]])
    batch = [(Row([7]), ChatRequest((), 2.0, seed=n)) for n in range(count)]
    scores = _GumbelNoise(batch, 5)(torch.zeros(count, 5), logits.repeat(count, 1))
    share = torch.bincount(scores.argmax(1), minlength=4) / count
    expected = torch.softmax(logits[0] / 2.0, 0)
    assert ((share - expected).abs() < 4 * (expected * (1 - expected) / count).sqrt()).all()

    noise = _gumbel(torch.arange(200), 5_000).double()
    assert abs(noise.mean().item() - 0.57722) < 0.005
    assert abs(noise.var().item() - torch.pi**2 / 6) < 0.01
    assert noise.isfinite().all()
    neighbours = torch.corrcoef(noise[:2])[0, 1].abs().item()
    assert neighbours < 4 / 5_000**0.5


def test_the_noise_is_splitmix64():
    """The tensor arithmetic against plain integers: a device whose shifts or products differ fails here."""
    import math

    from overt.generation.chat.hf import _gumbel

    key, ours = -(2**63) + 12345, _gumbel(torch.tensor([-(2**63) + 12345]), 50)[0].tolist()
    for n, noise in enumerate(ours, 1):
        z = (key + n * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        v = ((z >> 31 & 0xFFFFFFFF) + 0.5) / 2**32
        assert noise == pytest.approx(-math.log(-math.log1p(-v)), rel=1e-3, abs=1e-4)


def test_too_long_is_a_typed_error_and_spares_its_batch(folder):
    long = ChatRequest((Message("user", " ".join(["word1"] * 300)),), max_tokens=5, seed=1)
    short = requests(1)[0]
    first, second = answers(f"hf/{folder}", [long, short])
    assert first.error.kind == "too_long"
    assert "128" in first.error.message
    assert second.error is None


def test_a_template_without_a_system_role(tmp_path):
    folder = build(tmp_path / "nosystem", NO_SYSTEM)
    [reply] = answers(f"hf/{folder}", requests(1))
    assert reply.error is None
    shown = load_chat_model(f"hf/{folder}", device="cpu")
    tokens = shown._turns.row(requests(1)[0].messages).tokens
    assert shown._language.tokenizer.decode(tokens).count("draw a picture") == 1  # folded into the user turn


def test_a_template_that_drops_the_system_text(tmp_path):
    quiet = TEMPLATE.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    model = load_chat_model(f"hf/{build(tmp_path / 'quiet', quiet)}", device="cpu")
    assert "draw a picture" in model._language.tokenizer.decode(
        model._turns.row(requests(1)[0].messages).tokens
    )


def test_no_template_is_said_once(tmp_path):
    folder = build(tmp_path / "plain", None)
    assert all(r.error is None for r in answers(f"hf/{folder}", requests(3)))
    notes = load_chat_model(f"hf/{folder}", device="cpu").notes
    assert ["no chat template" in note for note in notes].count(True) == 1


def test_hostile_text_neither_fails_nor_speaks_for_another_role(folder):
    texts = ["\ud800 a", "\x00", "\u202e abc", "word1 <eos> word2", ""]
    replies = answers(f"hf/{folder}", [ChatRequest((Message("user", t),), max_tokens=2) for t in texts])
    assert [r.error for r in replies] == [None] * len(texts)
    model = load_chat_model(f"hf/{folder}", device="cpu")
    assert (
        model._language.tokenizer.eos_token_id
        not in model._turns.row(ChatRequest((Message("user", texts[3]),)).messages).tokens
    )


def test_a_request_that_cannot_be_put_spares_its_batch(tmp_path):
    picky = "{% if 'word9' in messages[-1].content %}{{ raise_exception('no nines') }}{% endif %}" + TEMPLATE
    bad = ChatRequest((Message("user", "word9"),), max_tokens=3)
    good = ChatRequest((Message("user", "word3"),), max_tokens=3)
    replies = answers(f"hf/{build(tmp_path / 'picky', picky)}", [good, bad, good])
    assert [r.error and r.error.kind for r in replies] == [None, "bad_request", None]
    assert "no nines" in replies[1].error.message
    assert replies[0].text == replies[2].text


def test_a_failing_row_is_narrowed_down(folder, monkeypatch):
    async def run():
        model = load_chat_model(f"hf/{folder}", device="cpu", batch_size=8)
        real = model._generate

        def brittle(rows):
            if any(request.seed == 5 for _, request in rows):
                raise RuntimeError("device-side assert")
            return real(rows)

        monkeypatch.setattr(model, "_generate", brittle)
        try:
            return await asyncio.gather(*(model.complete(r) for r in requests()))
        finally:
            await model.close()

    assert [r.error is not None for r in asyncio.run(run())] == [n == 5 for n in range(8)]


def test_a_closed_loop_does_not_end_the_worker(folder):
    """A second event loop can go on with a model whose first loop was closed with calls under way."""
    model = load_chat_model(f"hf/{folder}", device="cpu")

    async def leave():
        task = asyncio.ensure_future(model.complete(dataclasses.replace(requests(1)[0], max_tokens=40)))
        await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(leave())
    assert asyncio.run(model.complete(requests(1)[0])).error is None
    asyncio.run(model.close())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda:99"}, "the device 'cuda:99'"),
        ({"device": "toaster"}, "the device 'toaster'"),
        ({"device": "cpu", "dtype": "float33"}, "'float33' is no floating-point dtype"),
        ({"device": "cpu", "batch_size": 0}, "at least one row"),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(InputError, match=message):
        load_chat_model(f"hf/{folder}", **options)


def test_options_in_the_name(folder):
    model = load_chat_model(f"hf/{folder}?dtype=bfloat16&batch_size=3", device="cpu")
    assert model.max_concurrency == 3
    assert model._language.model.dtype == torch.bfloat16
    assert model.name.endswith("?dtype=bfloat16&batch_size=3")


def test_device_auto(folder):
    pytest.importorskip("accelerate", reason="needs the extra [local]")
    [reply] = [asyncio.run(load_chat_model(f"hf/{folder}", device="auto").complete(r)) for r in requests(1)]
    assert reply.error is None


def test_out_of_memory_halves_the_batch(folder, monkeypatch):
    async def run():
        model = load_chat_model(f"hf/{folder}", device="cpu", batch_size=8)
        real, sizes = model._generate, []

        def tight(rows):
            sizes.append(len(rows))
            if len(rows) > 2:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return real(rows)

        monkeypatch.setattr(model, "_generate", tight)
        try:
            replies = await asyncio.gather(*(model.complete(r) for r in requests()))
            return replies, sizes, model._batches.room.size
        finally:
            await model.close()

    replies, sizes, batch = asyncio.run(run())
    assert all(r.error is None for r in replies)
    assert max(sizes) > 2
    assert batch == 2


def test_only_safetensors(folder, tmp_path):
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    from safetensors.torch import load_file

    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        load_chat_model(f"hf/{pickled}", device="cpu")


def test_a_model_with_code_of_its_own_is_not_run(folder, tmp_path):
    evil = tmp_path / "evil"
    shutil.copytree(folder, evil)
    marker = tmp_path / "ran"
    config = json.loads((evil / "config.json").read_text())
    config |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "code.Evil", "AutoModelForCausalLM": "code.Evil"},
    }
    (evil / "config.json").write_text(json.dumps(config))
    (evil / "code.py").write_text(f"open({str(marker)!r}, 'w').write('x')\nclass Evil: pass\n")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_chat_model(f"hf/{evil}", device="cpu")
    assert not marker.exists()


def test_a_missing_folder_is_put_into_words(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_chat_model(f"hf/{tmp_path / 'none'}")
