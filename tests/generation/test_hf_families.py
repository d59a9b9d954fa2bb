"""`hf/` on tiny models of many families, against the plain library: number for number, token for token."""

import asyncio
import logging

import pytest
from support import tiny_chat
from support.family_table import check_row
from support.tiny_chat import FAMILIES, FORMATS

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.data.replies import read_reply
from overt.registry import load_chat_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")
transformers = pytest.importorskip("transformers", reason="needs the extra [local]")

TEXTS = ("word1", "draw a picture of the quiet harbour", "word5 word6 word7", "word2 " * 14)
TOKENS = 8

# The format in which a family's models write; the others use ChatML here.
WRITES = {
    "Llama 3": "Llama 3",
    "Qwen 3": "Qwen 3",
    "Qwen 3 MoE": "QwQ",
    "Gemma 2": "Gemma",
    "Gemma 3 text": "Gemma",
    "Mistral": "Magistral",
    "Phi 3 and 4": "Phi",
    "GPT-OSS": "GPT-OSS",
    "DeepSeek V3": "DeepSeek R1",
    "Cohere 2": "Cohere",
    "Seed-OSS": "Seed",
}


def request(text, **more):
    return ChatRequest((Message("user", text),), **({"temperature": 0.0, "max_tokens": TOKENS} | more))


def answers(spec, requests, **options):
    async def run():
        model = load_chat_model(spec, device="cpu", **options)
        try:
            return model, await asyncio.gather(*(model.complete(r) for r in requests))
        finally:
            await model.close()

    return asyncio.run(run())


def ask(spec, text="word1", max_tokens=40, **options):
    return answers(spec, [request(text, max_tokens=max_tokens)], **options)[1][0]


def plain(folder, texts=TEXTS):
    """What the plain library says to each text alone, and its logits behind the prompt without a cache."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    said, first = [], []
    for text in texts:
        turns = [{"role": "user", "content": text}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            out = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False)
            first.append(model(ids["input_ids"], use_cache=False).logits[0, -1].float())
        said.append(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return said, first


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """format -> what became of a scripted answer with and without an end."""
    made = {}
    for name in {"ChatML", *WRITES.values()}:
        form, folder = FORMATS[name], tmp_path_factory.mktemp("format")
        tiny_chat.scripted(folder, form, _script(form))
        made[name] = ask(f"hf/{folder}")
    return made


def _script(form):
    return f"{form.thinks.replace('THOUGHT', 'word1 word2')} word3 word4 {form.stops or form.ends} word5"


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, tmp_path, formats):
    form = FORMATS[WRITES.get(family, "ChatML")]
    tiny_chat.build(tmp_path, family, form)
    todo = [request(text) for text in TEXTS]
    said, first = plain(tmp_path)
    model, batch = answers(f"hf/{tmp_path}", todo, batch_size=4)
    _, single = answers(f"hf/{tmp_path}", todo, batch_size=1)
    assert all(reply.error is None for reply in [*batch, *single])
    assert len({reply.text for reply in single}) > 2  # the model reads its prompt
    gap = _first_gap(model, todo, first)
    together = [reply.text for reply in batch] == [reply.text for reply in single]
    shares = {"any": "yes", "length": "yes, equal lengths share a batch", "none": "yes, one by one"}
    script = formats[WRITES.get(family, "ChatML")]
    parts = read_reply(script)
    apart = (parts.thinking, parts.answer.strip()) == ("word1 word2", "word3 word4")
    check_row(
        "Chat models",
        family,
        {
            "loads": "yes",
            "same tokens as the plain library": "yes" if [r.text for r in single] == said and gap < 1e-4 else "no",
            "batch 1 = 4": shares[model._language.sharing] if together else "no",
            "thinking apart": ("yes" if apart else "no") if form.thinks else "does not think",
            "ends by itself": "yes" if script.finish_reason == "stop" and apart == bool(form.thinks) else "no",
        },
    )


def _first_gap(model, todo, first):
    """The largest difference between the first step's logits of a batch of rows and the plain model's."""
    from overt.data.local.writing import write

    rows = [model._turns.row(r.messages) for r in todo]
    written = write(model._language, rows, [1] * len(rows), with_logits=True)
    return max(float((one.logits[0] - own).abs().max()) for one, own in zip(written, first, strict=True))
