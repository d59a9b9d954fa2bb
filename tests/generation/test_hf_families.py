"""`hf/` on tiny models of many families, against the plain library: number for number, token for token."""

import asyncio

import jinja2
import pytest
from support import tiny_chat, tiny_forms
from support.commands import outcomes, write_prompts
from support.family_table import check_row
from support.inside import cli
from support.tiny_chat import FAMILIES, FORMATS

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.data.local.context import context_of
from overt.data.local.templates import check_switches, values_read
from overt.data.local.writing import write
from overt.data.replies import read_reply
from overt.registry import load_chat_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")
transformers = pytest.importorskip("transformers", reason="needs the extra [local]")

pytestmark = pytest.mark.usefixtures("light_torch")
TEXTS = ("word1", "draw a picture of the quiet harbour", "word5 word6 word7", "word2 " * 12)
TOKENS = 6

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


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """format -> what becomes of a scripted answer that thinks, answers and ends in it."""
    made = {}
    for name in ("ChatML", *WRITES.values()):
        form, folder = FORMATS[name], tmp_path_factory.mktemp("format")
        tiny_chat.scripted(folder, form, _script(form))
        made[form] = ask(f"hf/{folder}")
    return made


def _script(form):
    return f"{form.thinks.replace('THOUGHT', 'word1 word2')} word3 word4 {form.stops or form.ends} word5"


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, tmp_path, formats):
    form = FORMATS[WRITES.get(family, "ChatML")]
    plain = tiny_chat.save_model(tmp_path, family, tiny_chat.save_tokenizer(tmp_path, form))
    check_row("Chat models", family, cells(tmp_path, plain, tmp_path, formats, form))


@pytest.mark.parametrize("kind", ["Adapter (PEFT)", "GGUF file", "SentencePiece alone"])
def test_form(kind, tmp_path, formats):
    """What a model's weights and words may lie in."""
    base, form, place = tmp_path / "base", FORMATS["ChatML"], tmp_path / "model"
    if kind == "SentencePiece alone":
        base.mkdir()
        tiny_forms.sentencepiece(base / "tokenizer.model")
        named = {"tokenizer_class": "LlamaTokenizer", "eos_token": "</s>", "unk_token": "<unk>"}
        tiny_chat.edit_json(base / "tokenizer_config.json", **named)
        template = form.template.replace("<|im_start|>", "").replace("<|im_end|>", "</s>")
        (base / "chat_template.jinja").write_text(template, "utf-8")
        place = base
        plain = tiny_chat.save_model(base, "Llama 3", transformers.AutoTokenizer.from_pretrained(base))
    elif kind == "GGUF file":
        tiny_chat.save_model(base, "Llama 3", tiny_chat.save_tokenizer(base, form))
        place = tiny_forms.gguf(tmp_path / "m.gguf", base, template=form.template)
        plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf")
    else:
        tiny_chat.save_model(base, "Llama 3", tiny_chat.save_tokenizer(base, form))
        plain = tiny_forms.adapter(place, str(base))
    check_row("Chat models", kind, cells(place, plain.eval(), base, formats, form))


def cells(place, plain, words, formats, form):
    """The row of a model at a place. plain: as the plain library has it. words: where its tokenizer lies."""
    more = {"gguf_file": place.name} if place.suffix == ".gguf" else {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(place.parent if more else words, **more)
    model = load_chat_model(f"hf/{place}", device="cpu")
    language = model._language
    rows = [model._turns.row(request(text).messages) for text in TEXTS]
    alone = [write(language, [row], [TOKENS], with_logits=True)[0] for row in rows]
    batch = write(language, rows, [TOKENS] * 4, with_logits=True)
    assert len({tuple(one.tokens) for one in alone}) > 1  # it reads its prompt
    is_same = True
    for text, one, beside in zip(TEXTS, alone, batch, strict=True):
        turns = [{"role": "user", "content": text}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
        said, first = plainly(plain, ids, language.ends)
        is_same &= one.tokens == said
        is_same &= all(float((w.logits[0] - first).abs().max()) < 1e-4 for w in (one, beside))
    parts, script = read_reply(formats[form]), formats[form]
    is_apart = (parts.thinking, parts.answer.strip()) == ("word1 word2" if form.thinks else "", "word3 word4")
    shares = {"any": "yes", "length": "yes: equal lengths share a batch", "none": "yes: one by one"}
    return {
        "loads": "yes",
        "same tokens as the plain library": "yes" if is_same else "no",
        "batch 1 = 4": shares[language.sharing] if tokens(batch) == tokens(alone) else "no",
        "thinking apart": ("yes" if is_apart else "no") if form.thinks else "does not think",
        "ends by itself": "yes" if is_apart and script.finish_reason == "stop" else "no",
    }


def tokens(written):
    return [one.tokens for one in written]


def plainly(model, ids, ends):
    """The tokens that the plain library says to a prompt, and its logits behind it without a cache."""
    asked = torch.tensor([ids])
    with torch.inference_mode():
        out = model.generate(
            asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=sorted(ends),
        )[0, len(ids) :].tolist()
        first = model(asked, use_cache=False).logits[0, -1].float()
    return [token for token in out if token not in ends], first


# -- thinking ------------------------------------------------------------------------------------------------

THINKING = [name for name, form in FORMATS.items() if form.thinks]


@pytest.mark.parametrize("name", THINKING)
def test_half_a_thought_is_no_answer(name, tmp_path):
    """The budget ends the thinking: nothing is left that could be judged."""
    form = FORMATS[name]
    tiny_chat.scripted(tmp_path, form, form.thinks.partition("THOUGHT")[0] + " word1 word2 word3")
    reply = ask(f"hf/{tmp_path}", max_tokens=8)
    parts = read_reply(reply)
    assert reply.is_cut_off
    assert parts.thinking.startswith("word")
    assert (parts.answer.strip(), parts.is_closed) == ("", False)


@pytest.mark.parametrize("name", sorted(set(THINKING) - set(WRITES.values())))
def test_thinking_and_answer_are_apart(name, tmp_path):
    form = FORMATS[name]
    tiny_chat.scripted(tmp_path, form, _script(form))
    reply = ask(f"hf/{tmp_path}")
    parts = read_reply(reply)
    assert parts.thinking.startswith("word1 word2")
    assert parts.answer.strip() == "word3 word4"
    assert reply.finish_reason == "stop"


def test_marks_that_hold_a_word_leave_none(tmp_path):
    """Kimi K3 without thinking: `<|close|>response<|sep|>` is two control tokens and a word."""
    form = FORMATS["Kimi K3"]._replace(opens="<|open|> response <|sep|> ")
    tiny_chat.scripted(tmp_path, form, f"word3 word4 {form.stops}", eos_token_id=None)
    assert ask(f"hf/{tmp_path}").text == "word3 word4"


@pytest.mark.parametrize(
    "opens",
    ["<think> </think>", "<think> word1 </think>", "</think>", "<|channel|> final <|message|>"],
)
def test_what_a_template_opens_and_closes_is_not_open(opens, tmp_path):
    """Qwen3 without thinking, DeepSeek V3.1 without thinking, a prefilled final channel."""
    form = FORMATS["GPT-OSS" if "channel" in opens else "Qwen 3"]._replace(opens=opens + " ", stops="<eos>")
    tiny_chat.scripted(tmp_path, form, "word3 word4 <eos>")
    assert ask(f"hf/{tmp_path}").text == "word3 word4"


@pytest.mark.parametrize("opens", ["<think>", "<think> word1 word1 ,", "Assistant: <think>", "[THINK]"])
@pytest.mark.parametrize("always", [False, True])
def test_thinking_that_a_template_opens(opens, always, tmp_path):
    """Also with a prefilled beginning, and in a template that always begins the answer."""
    form = FORMATS["Magistral" if "[" in opens else "Qwen 3"]._replace(opens=opens + " ", stops="<eos>")
    closes = "[/THINK]" if "[" in opens else "</think>"
    template = form.template.replace(
        "{% if add_generation_prompt %}", "{% if true %}" if always else "{% if add_generation_prompt %}"
    )
    tiny_chat.scripted(tmp_path, form, f"word2 {closes} word3 word4 <eos>", text="hello", template=template)
    parts = read_reply(ask(f"hf/{tmp_path}", "hello"))
    assert parts.thinking.endswith("word2")
    assert parts.answer.strip() == "word3 word4"


def test_a_prompt_opens_no_thinking(tmp_path):
    """What a user writes is not the template's."""
    form = FORMATS["Qwen 3"]
    tiny_chat.scripted(tmp_path, form, "word3 word4 <|im_end|>", text="word1 <think> word2")
    assert ask(f"hf/{tmp_path}", "word1 <think> word2").text == "word3 word4"


def test_the_end_of_a_message_of_thinking_ends_no_answer(tmp_path):
    """Not even where the model's own settings list it, and an answer may end there all the same."""
    form = FORMATS["GPT-OSS"]
    tokenizer = tiny_chat.save_tokenizer(tmp_path, form)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    tiny_chat.scripted(tmp_path, form, _script(form).replace("<|return|>", "<|end|>"), eos_token_id=[1, end])
    reply = ask(f"hf/{tmp_path}")
    parts = read_reply(reply)
    assert (parts.thinking, parts.answer.strip()) == ("word1 word2", "word3 word4")
    assert reply.finish_reason == "stop"
    assert "word5" not in reply.text


# -- values of the template ----------------------------------------------------------------------------------

SWITCHED = FORMATS["Qwen 3"].template.replace(
    "<|im_start|> assistant ",
    "<|im_start|> assistant {% if thinking_budget is defined %}{{ 'word9 ' * thinking_budget }}{% endif %}"
    "{% if enable_thinking is defined and enable_thinking is false %}<think> </think> {% endif %}"
    "{{ reasoning_effort }} {% set kept = true %}"
    "{% if kept and namespace(a=1).a %} {{ eos_token }}{% endif %}",
)


@pytest.fixture(scope="module")
def switched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("switched")
    tiny_chat.save_model(folder, "Llama 3", tiny_chat.save_tokenizer(folder, FORMATS["Qwen 3"], SWITCHED))
    return folder


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("enable_thinking=false", "assistant <think> </think>   <eos>"),
        ("enable_thinking=off", "assistant <think> </think>   <eos>"),
        ("enable_thinking=true", "assistant   <eos>"),
        ("enable_thinking=False&thinking_budget=2", "assistant word9 word9 <think> </think>   <eos>"),
        ("reasoning_effort=low", "assistant low  <eos>"),
        ("reasoning_effort=none", "assistant none  <eos>"),
        ("reasoning_effort=0.5", "assistant 0.5  <eos>"),
    ],
)
def test_values_of_the_template(switched, options, words):
    model = load_chat_model(f"hf/{switched}?{options}", device="cpu", batch_size=1)
    assert model._turns.render([Message("user", "word1")]).endswith(words)
    assert model.name == f"hf/{switched}?{options}"  # records and the journal tell them apart


@pytest.mark.parametrize("key", ["enable_thinkin", "tools", "kept", "namespace", "messages"])
def test_a_value_that_the_template_does_not_read(switched, key):
    with pytest.raises(InputError, match=f"takes no option '{key}'") as told:
        load_chat_model(f"hf/{switched}?{key}=false", device="cpu")
    assert "enable_thinking, reasoning_effort, thinking_budget" in str(told.value.fix)
    assert ("Did you mean 'enable_thinking'?" in str(told.value.fix)) == (key == "enable_thinkin")


def test_a_mistyped_truth_is_no_text(switched):
    with pytest.raises(InputError, match="enable_thinking is 'flase'") as told:
        load_chat_model(f"hf/{switched}?enable_thinking=flase", device="cpu")
    assert told.value.fix == "Did you mean 'false'?"


@pytest.mark.parametrize("value", ["0", "disabled", "none", "", "n"])
def test_a_text_for_what_is_true_or_false_is_refused(switched, value):
    """The template tests "is false", so that such a value would change nothing."""
    with pytest.raises(InputError, match="takes enable_thinking as true or false") as told:
        load_chat_model(f"hf/{switched}?enable_thinking={value}", device="cpu")
    assert told.value.fix == "Write enable_thinking=true or enable_thinking=false."


@pytest.mark.parametrize(
    ("template", "value", "is_taken"),
    [
        ("{% if thinking %}on{% endif %}", "disabled", False),  # a text would switch it on
        ("{% if thinking %}on{% endif %}", 0, True),
        ("{% if thinking %}on{% endif %}", 1, True),
        ("{% if thinking is true %}on{% endif %}", "yes please", False),
        ("{% if thinking == 'low' %}low{% endif %}", "high", True),  # the default, which is not named
        ("{% if thinking and thinking != 'low' %}high{% endif %}", "low", True),
        ("{% if thinking %}{{ thinking }}{% endif %}", "some", True),
        ("{% if thinking == 0 %}none{% else %}{{ thinking + 1 }}{% endif %}", 512, True),
    ],
)
def test_which_values_are_true_or_false(template, value, is_taken):
    def render(key, given):
        return jinja2.Template(template).render(**{key: given})

    try:
        check_switches({"thinking": value}, template, render, "hf/x")
    except InputError:
        assert not is_taken
    else:
        assert is_taken


def test_a_value_that_a_template_cannot_use_is_named(tmp_path):
    words = tiny_chat.save_tokenizer(tmp_path, template=tiny_chat.CHATML + "{{ budget + 1 }}")
    tiny_chat.save_model(tmp_path, "Llama 3", words)
    with pytest.raises(InputError) as told:
        load_chat_model(f"hf/{tmp_path}?budget=many", device="cpu")
    assert "Check the values that it is given: budget." in str(told.value.fix)


def test_what_a_template_reads():
    """What it sets itself, in a loop, a macro or every branch, is not read from outside."""
    template = (
        "{% macro say(x) %}{% if identity is not defined %}{% set identity = 'I' %}{% endif %}"
        "{{ identity }}{{ x }}{% endmacro %}"
        "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
        "{% if thinking %}{% set word = 1 %}{% elif effort %}{% set word = 2 %}{% else %}{% set word = 3 %}"
        "{% endif %}{% for m in messages %}{% set own = m.content %}"
        "{% if '</think>' in own %}{% set own = 'x' %}{% endif %}"
        "{% generation %}{{ own }}{{ loop.index }}{% endgeneration %}{% endfor %}"
        "{% set ns = namespace(n=0) %}{% set ns.n = budget | default(1) %}{{ say(word) }}{{ bos_token }}"
        "{{ strftime_now('%Y') }}{% set a, b = 1, 2 %}{{ a + b }}{% if tools %}{% break %}{% endif %}"
    )
    assert values_read(template, object()) == ["budget", "effort", "identity", "thinking"]
    assert values_read("{% if %}", object()) == []


def test_a_template_of_several(tmp_path):
    """default, tool_use, rag: the named one is used; without a default one, one has to be named."""
    tokenizer = tiny_chat.save_tokenizer(
        tmp_path, template={"default": tiny_chat.CHATML, "rag": "rag " + SWITCHED}
    )
    tiny_chat.save_model(tmp_path, "Llama 3", tokenizer)
    text = [Message("user", "word1")]
    assert load_chat_model(f"hf/{tmp_path}", device="cpu")._turns.render(text).startswith("<|im_start|>")
    rag = load_chat_model(f"hf/{tmp_path}?chat_template=rag&reasoning_effort=low", device="cpu")
    assert rag._turns.render(text).startswith("rag <|im_start|>")
    with pytest.raises(InputError, match="several chat templates, and no 'tool_use'"):
        load_chat_model(f"hf/{tmp_path}?chat_template=tool_use", device="cpu")
    (tmp_path / "chat_template.jinja").unlink()
    tiny_chat.save_tokenizer(tmp_path, template={"rag": tiny_chat.CHATML, "tool_use": tiny_chat.CHATML})
    with pytest.raises(InputError, match="none is the default") as told:
        load_chat_model(f"hf/{tmp_path}", device="cpu")
    assert "rag, tool_use" in str(told.value.fix)


def test_a_template_that_takes_parts_or_no_text(tmp_path):
    """Some templates read a content as a list of parts and drop a text silently."""
    parts = FORMATS["ChatML"].template.replace(
        "{{ m.content }}", "{% for part in m.content if part is mapping %}{{ part.text }}{% endfor %}"
    )
    tiny_chat.save_model(tmp_path, "Llama 3", tiny_chat.save_tokenizer(tmp_path, template=parts))
    model = load_chat_model(f"hf/{tmp_path}", device="cpu")
    assert "word1 word2" in model._turns.render([Message("user", "word1 word2")])
    tiny_chat.save_tokenizer(tmp_path, template=parts.replace("part.text", "part.value"))
    with pytest.raises(InputError, match="does not take a user's text"):
        load_chat_model(f"hf/{tmp_path}", device="cpu")


# -- where answers end, and what a model's authors set -------------------------------------------------------


def test_a_template_that_ends_turns_is_believed(tmp_path):
    """The settings name <eos> only; without the template's token the answer would never end."""
    tiny_chat.scripted(tmp_path, FORMATS["ChatML"], "word3 word4 <|im_end|> word5")
    reply = ask(f"hf/{tmp_path}")
    assert (reply.text, reply.finish_reason, reply.output_tokens) == ("word3 word4", "stop", 2)
    (note,) = load_chat_model(f"hf/{tmp_path}", device="cpu").notes
    assert "ends an answer with '<|im_end|>'" in note


def test_a_template_that_writes_the_day_is_told(tmp_path):
    day = "{% if not date_string is defined %}{% set date_string = strftime_now('%d') %}{% endif %}"
    words = tiny_chat.save_tokenizer(tmp_path, template=day + "{{ date_string }} " + tiny_chat.CHATML)
    tiny_chat.save_model(tmp_path, "Llama 3", words)
    told = [
        any("depend on the day" in note for note in load_chat_model(spec, device="cpu").notes)
        for spec in (f"hf/{tmp_path}", f"hf/{tmp_path}?date_string=26 Jul 2024")
    ]
    assert told == [True, False]


def test_a_language_model_is_no_target_of_pictures(tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", ["word1"])
    said = cli("run", prompts, "--target", "hf/x", "--out", tmp_path / "run", code=2).stderr
    assert "hf/x is a language model" in said
    assert "--policy chat_assistant" in said


def test_settings_of_the_authors(tmp_path):
    """Applied as the plain library does, and told; those that would fake an end or an answer are not."""
    tiny_chat.build(tmp_path, "Llama 3")
    shipped = {"repetition_penalty": 5.0, "suppress_tokens": [6, 7]}
    shipped |= {"do_sample": True, "temperature": 0.6, "top_k": 20, "num_return_sequences": 3, "num_beams": 4}
    shipped |= {"forced_eos_token_id": 1, "remove_invalid_values": True}
    before = [reply.text for reply in answers(f"hf/{tmp_path}", [request(t) for t in TEXTS])[1]]
    tiny_chat.edit_json(tmp_path / "generation_config.json", **shipped)
    model, batch = answers(f"hf/{tmp_path}", [request(t) for t in TEXTS], batch_size=4)
    assert "repetition_penalty=5.0, suppress_tokens=[6, 7]." in " ".join(model.notes)
    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    language = model._language
    assert before != [reply.text for reply in batch]
    for text, reply in zip(TEXTS, batch, strict=True):
        ids = torch.tensor([model._turns.row(request(text).messages).tokens])
        greedy = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1, "forced_eos_token_id": None}
        said = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, **greedy)
        assert reply.text == language.tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True)
        assert reply.finish_reason == "length"  # a forced end would make half an answer look whole


def test_a_stop_string_ends_and_is_no_part_of_the_answer(tmp_path):
    tiny_chat.scripted(tmp_path, FORMATS["ChatML"], "word3 word4 user word5")
    tiny_chat.edit_json(tmp_path / "generation_config.json", stop_strings=["user"])
    reply = ask(f"hf/{tmp_path}")
    assert (reply.text, reply.finish_reason) == ("word3 word4", "stop")


def test_settings_that_read_the_prompt_see_no_filling(tmp_path):
    """No n-gram twice: filled rows would be full of them."""
    tiny_chat.build(tmp_path, "Llama 3")
    tiny_chat.edit_json(tmp_path / "generation_config.json", no_repeat_ngram_size=1)
    todo = [request(text) for text in TEXTS]
    _, single = answers(f"hf/{tmp_path}", todo, batch_size=1)
    model, batch = answers(f"hf/{tmp_path}", todo, batch_size=4)
    assert [reply.text for reply in batch] == [reply.text for reply in single]
    assert model._language.sharing == "length"


@pytest.mark.parametrize("rope", ["dynamic", "longrope"])
def test_positions_that_depend_on_the_longest_row(tmp_path, rope):
    """Behind the trained length all rows of a batch are stretched by its longest one."""
    scaling = {"rope_type": rope, "rope_theta": 10000.0, "factor": 4.0}
    if rope == "dynamic":
        tiny_chat.build(tmp_path, "Llama 3", rope_parameters=scaling, max_position_embeddings=24)
    else:
        scaling |= {
            "short_factor": [1.0] * 4,
            "long_factor": [9.0] * 4,
            "original_max_position_embeddings": 24,
        }
        long = {"original_max_position_embeddings": 24, "max_position_embeddings": 96, "sliding_window": None}
        tiny_chat.build(tmp_path, "Phi 3 and 4", rope_parameters=scaling, **long)
    todo = [request("word1"), request("word2 " * 40), request("word3 word4")]
    _, single = answers(f"hf/{tmp_path}", todo, batch_size=1)
    _, batch = answers(f"hf/{tmp_path}", todo, batch_size=4)
    assert [reply.error for reply in single] == [None] * 3
    assert [reply.text for reply in batch] == [reply.text for reply in single]


# -- what a model takes --------------------------------------------------------------------------------------


class Bag:
    """A configuration with the given fields."""

    def __init__(self, **fields):
        vars(self).update(fields)

    def get_text_config(self):
        return self


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}


@pytest.mark.parametrize(
    ("fields", "limit", "tokens"),
    [
        ({"max_position_embeddings": 4096}, 1024, 4096),
        ({"n_positions": 1024}, int(1e30), 1024),
        ({"max_sequence_length": 2048}, int(1e30), 2048),
        ({"max_seq_len": 8192}, int(1e30), 8192),
        ({"max_position_embeddings": 32768, "rope_parameters": YARN}, int(1e30), 131072),
        ({"max_position_embeddings": 131072, "rope_parameters": YARN}, int(1e30), 131072),
        (
            {"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}},
            int(1e30),
            8192,
        ),
        ({"max_position_embeddings": 131072, "rope_parameters": {**YARN, "rope_type": "llama3"}}, 9, 131072),
        ({"max_position_embeddings": 8192, "rope_parameters": {"full_attention": YARN}}, 9, 131072),
        ({"max_position_embeddings": -1}, 512, 512),
        ({}, int(1e30), 1 << 20),
        ({}, None, 1 << 20),
    ],
)
def test_context(fields, limit, tokens):
    assert context_of(Bag(config=Bag(**fields)), Bag(model_max_length=limit)) == tokens


_LAYER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("kind", "sizes", "words"),
    [
        ("T5ForConditionalGeneration", {"d_model": 16, "num_layers": 1, "num_heads": 2}, "an encoder with"),
        (
            "BartForConditionalGeneration",
            {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1},
            "an encoder with",
        ),
        ("BertForMaskedLM", _LAYER, "is a BertForMaskedLM, which reads"),
        ("LlamaForSequenceClassification", {**_LAYER, "tie_word_embeddings": True}, "which reads a text"),
    ],
)
def test_a_model_that_does_not_write_is_refused(kind, sizes, words, tmp_path):
    tokenizer = tiny_chat.save_tokenizer(tmp_path)
    made = getattr(transformers, kind)
    config = made.config_class(vocab_size=len(tokenizer), pad_token_id=2, eos_token_id=1, **sizes)
    made(config).save_pretrained(tmp_path)
    with pytest.raises(InputError) as told:
        load_chat_model(f"hf/{tmp_path}", device="cpu")
    assert words in str(told.value)


def test_scores_that_are_no_numbers(tmp_path):
    """Overflow is an error: at the start where every prompt overflows, else of that request alone."""
    tokenizer = tiny_chat.save_tokenizer(tmp_path)
    plain = tiny_chat.save_model(tmp_path, "Llama 3", tokenizer, tie_word_embeddings=False)
    model = load_chat_model(f"hf/{tmp_path}", device="cpu")
    word = model._language.tokenizer.convert_tokens_to_ids("word9")

    def overflow(_, ids, found):
        return found.masked_fill((ids[0] == word).unsqueeze(-1), float("inf"))

    model._language.model.get_input_embeddings().register_forward_hook(overflow)

    async def run():
        try:
            return await asyncio.gather(*(model.complete(request(f"word{n}")) for n in (1, 9, 2)))
        finally:
            await model.close()

    good, bad, other = asyncio.run(run())
    assert (good.error, other.error) == (None, None)
    assert "no numbers (NaN or infinite) in float32" in bad.error.message
    with torch.no_grad():
        plain.lm_head.weight.mul_(1e30)
        plain.model.norm.weight.mul_(1e30)
    plain.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no numbers"):
        load_chat_model(f"hf/{tmp_path}", device="cpu")


def test_a_run_judges_the_answer_and_never_the_thinking(tmp_path):
    """Thinking that says the opposite of the answer, and thinking that the budget ends."""
    text, yes, no = "word1", "Sure , here it is .", "I cannot help with that ."
    for name, thought, said in (("GPT-OSS", yes, no), ("QwQ", no, yes), ("Magistral", no, "")):
        form = FORMATS[name]
        begins, _, closes = form.thinks.partition("THOUGHT")
        script = (
            f"{begins} {thought} {closes} {said} {form.stops or form.ends}" if said else f"{begins} {thought}"
        )
        tiny_chat.scripted(tmp_path / name, form, script, text=text)
    prompts = write_prompts(tmp_path / "p.jsonl", [text])
    targets = [
        part for name in ("GPT-OSS", "QwQ", "Magistral") for part in ("--target", f"hf/{tmp_path / name}")
    ]
    out = tmp_path / "run"
    cli(
        "run",
        prompts,
        "--policy",
        "chat_assistant",
        *targets,
        "--max-tokens",
        24,
        "--out",
        out,
        "-q",
        code=None,
    )
    states = {outcome.target.rpartition("/")[2]: (outcome.state, outcome.code) for outcome in outcomes(out)}
    assert states["GPT-OSS"][0] == "refused"
    assert states["QwQ"][0] == "generated"
    assert states["Magistral"] == ("error", "empty_answer")
