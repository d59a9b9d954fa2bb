"""`hf/` on vision-language models: tiny ones of each family, against the plain library, number for number."""

import asyncio
import io
import json
import re
import shutil

import pytest
from support.family_table import check_row
from support.tiny_vlm import FAMILIES, PARTS, build, llava, picture
from support.tiny_vlm_latest import LATEST
from support.tiny_vlm_more import MORE, chameleon

from overt.data.chat import ChatRequest, Message
from overt.data.errors import InputError
from overt.registry import load_chat_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

A, B, C = picture(1), picture(2, (90, 20)), picture(3)
STEPS = 4
# Families whose processor is called with a text that their authors document, for want of a template of parts.
WORDED = {
    "Chameleon": "{images}{text}",
    "PaliGemma": "{images}{text}",
    "Phi-4 multimodal": "<|user|>{images}{text}<|end|><|assistant|>",
}
NEEDS_PICTURES = {"PaliGemma"}


pytestmark = pytest.mark.usefixtures("light_torch")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(family):
        if family not in made:
            made[family] = build(family, tmp_path_factory.mktemp("vlm") / "model")
        return made[family]

    return folder


def ask(model, requests):
    async def run():
        try:
            return await asyncio.gather(*(model.complete(r) for r in requests))
        finally:
            await model.close()

    return asyncio.run(run())


def request(text, *pictures, system=None, **options):
    messages = [Message("user", text, pictures)]
    if system:
        messages.insert(0, Message("system", system))
    return ChatRequest(tuple(messages), **{"temperature": 0.0, "max_tokens": STEPS, **options})


def opened(encoded):
    from PIL import Image

    image = Image.open(io.BytesIO(encoded)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


class Plain:
    """The model as its card shows it: AutoProcessor, apply_chat_template, generate."""

    def __init__(self, family, folder):
        import transformers

        self.family = family
        self.processor = transformers.AutoProcessor.from_pretrained(folder)
        kind = "AutoModelForMultimodalLM" if family.startswith("Phi") else "AutoModelForImageTextToText"
        self.model = getattr(transformers, kind).from_pretrained(folder).eval()
        if family == "Llama 4":  # a fault of transformers 5.24: without this no call comes back
            self.model.language_model.register_forward_hook(lambda m, i, o: setattr(o, "image_outputs", None))

    def __call__(self, text, *pictures):
        """The prompt's tokens, the answer's tokens and the logits of each step."""
        images = [opened(one) for one in pictures]
        if self.family in WORDED:
            marks = str(self.processor.image_token) * len(images)
            worded = WORDED[self.family].format(images=marks, text=text)
            inputs = self.processor(text=worded, images=images or None, return_tensors="pt")
        else:
            parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]
            inputs = self.processor.apply_chat_template(
                [{"role": "user", "content": parts}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        inputs.pop("labels", None)
        inputs = inputs.to(self.model.dtype)  # some processors give bfloat16
        with torch.inference_mode():
            out = self.model.generate(
                **inputs, do_sample=False, max_new_tokens=STEPS, return_dict_in_generate=True,
                output_logits=True,
            )  # fmt: skip
        prompt = inputs["input_ids"][0].tolist()
        return prompt, out.sequences[0, len(prompt) :].tolist(), torch.cat(out.logits).float()


def ours(model, text, *pictures):
    from overt.data.local.writing import write

    row = model._turns.row((Message("user", text, pictures),))
    [written] = write(model._language, [row], [STEPS], with_logits=True)
    return row.tokens, written.tokens, written.logits, written.text


def same(one, other):
    prompts, answers, logits = zip(one[:3], other[:3], strict=True)
    steps = min(map(len, logits))
    ended = answers[1][: len(answers[0])]
    close = torch.allclose(logits[0][:steps], logits[1][:steps], atol=1e-4, rtol=1e-4)
    return prompts[0] == prompts[1] and answers[0] == ended and close


@pytest.mark.parametrize("family", [*FAMILIES, *MORE, *LATEST])
def test_family(family, folders):
    if family == "SmolVLM":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs it")
    plain, model = Plain(family, folders(family)), load_chat_model(f"hf/{folders(family)}", device="cpu")
    assert model.sees_pictures is True
    cases = {"A": (A,), "B": (B,), "C": (C,), "AB": (A, B), "BA": (B, A)}
    if family not in NEEDS_PICTURES:
        cases |= {"none": ()}
    seen = {key: ours(model, "what is it?", *pictures) for key, pictures in cases.items()}
    alike = {
        key: same(seen[key], plain("what is it?", *pictures)) for key, pictures in cases.items() if key != "C"
    }
    longer = "what is it, a longer question?"
    todo = [request("what is it?", *pictures) for pictures in cases.values()] + [request(longer, A, B)]
    alone = [text for *_, text in (*seen.values(), ours(model, longer, A, B))]
    together = ask(model, todo)
    assert [reply.error for reply in together] == [None] * len(todo)
    check_row(
        "Vision-language models",
        family,
        {
            "loads": "yes",
            "as the plain library, one picture": yes(alike["A"] and alike["B"]),
            "two pictures": yes(alike["AB"] and alike["BA"]),
            "text only": yes(alike["none"]) if "none" in alike else "refused: its processor needs a picture",
            "batch 1 = 4": yes(alone == [reply.text for reply in together]),
            "the picture changes the scores": yes(differ(seen["A"], seen["C"])),
            "a typed placeholder is text": yes(typed_is_text(model)),
        },
    )


def yes(value):
    return "yes" if value else "no"


def differ(one, other):
    """Whether the first token's scores differ."""
    return not torch.allclose(one[2][0], other[2][0], atol=1e-4)


def typed_is_text(model):
    """A prompt that spells the model's own placeholders has as many pictures as are attached."""
    eyes = model._language.eyes
    typed = f"say {eyes.image_token} and {' '.join(sorted(eyes.marks)[:8])} now"
    counts = []
    for text in ("say now", typed):
        tokens = model._turns.row((Message("user", text, (A,)),)).tokens
        counts.append([tokens.count(one) for one in media(model)])
    return counts[0] == counts[1]


def media(model):
    words = model._language.tokenizer
    return [words.convert_tokens_to_ids(mark) for mark in model._language.eyes.marks]


# -- one family stands for all -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sighted(folders):
    return load_chat_model(f"hf/{folders('LLaVA 1.5')}", device="cpu")


@pytest.mark.parametrize("family", ["LLaVA-NeXT", "Qwen2.5-VL", "Mistral 3"])
def test_pictures_of_any_size_and_mode(family, folders):
    """What is seen is the picture in RGB, transparent parts in white. What a processor or its model does not
    take is an error, never an answer."""
    model, plain = load_chat_model(f"hf/{folders(family)}", device="cpu"), Plain(family, folders(family))
    taken = 0
    for size, mode in (
        ((1, 1), "RGB"), ((64, 64), "RGBA"), ((50, 40), "L"), ((640, 480), "RGB"), ((900, 3), "RGB")
    ):  # fmt: skip
        odd = picture(5, size, mode)
        [reply] = ask(model, [request("what is it?", odd)])
        if reply.error is None:
            taken += 1
            assert same(ours(model, "what?", odd), plain("what?", odd)), (size, mode)
        else:
            assert not reply.text
            with pytest.raises(Exception, match=re.escape(reply.error.message.partition(": ")[2][:40])):
                plain("what?", odd)
    assert taken >= 3


def test_a_broken_picture_spares_its_batch(sighted):
    good = request("what is it?", A)
    first, broken, last = ask(sighted, [good, request("what is it?", b"no picture"), good])
    assert broken.error.kind == "bad_request"
    assert not broken.text
    assert first.text == last.text
    assert first.error is None


def test_pictures_stay_in_their_message(sighted):
    """A picture of the first turn comes before that turn's text, and the answer in between is kept."""
    turns = (Message("user", "first", (A,)), Message("assistant", "word"), Message("user", "second", (C,)))
    row = sighted._turns.row(turns)
    assert row.sight.text == "USER: <image>\nfirst ASSISTANT: word USER: <image>\nsecond ASSISTANT:"
    assert [one.tobytes() for one in row.sight.pictures] == [opened(A).tobytes(), opened(C).tobytes()]


def test_the_system_text_moves_where_a_template_takes_none_beside_a_picture(folders):
    model = load_chat_model(f"hf/{folders('Llama 3.2 Vision')}", device="cpu")
    row = model._turns.row(request("what is it?", A, system="be brief").messages)
    assert "user\n<|image|>be brief\n\nwhat is it?" in row.sight.text


def test_a_template_writes_no_python_list(folders):
    """Pixtral's template takes a system's and an assistant's content as a text."""
    model = load_chat_model(f"hf/{folders('Pixtral')}", device="cpu")
    turns = (Message("system", "be brief"), Message("user", "one", (A,)), Message("assistant", "two"))
    text = model._turns.row((*turns, Message("user", "three"))).sight.text
    assert text == "<s>be brief</s>[INST][IMG]one[/INST]two</s>[INST]three[/INST]"


def test_a_template_that_leaves_pictures_out_is_told(tmp_path):
    folder = llava(tmp_path / "m", PARTS.replace("IMAGE\n", ""))
    model = load_chat_model(f"hf/{folder}", device="cpu")
    assert (model.sees_pictures, model.why_blind) == (False, "its chat template leaves pictures out")


def test_a_template_of_the_processor_alone(folders, tmp_path):
    """Older folders keep it in chat_template.json, which tokenizers do not read."""
    folder = tmp_path / "old"
    shutil.copytree(folders("Qwen2-VL"), folder)
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    old, new = (load_chat_model(f"hf/{one}", device="cpu") for one in (folder, folders("Qwen2-VL")))
    assert old.sees_pictures
    assert same(ours(old, "what?", A), ours(new, "what?", A))


def test_a_folder_without_its_processor(folders, tmp_path):
    folder = tmp_path / "bare"
    shutil.copytree(folders("LLaVA 1.5"), folder)
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    model = load_chat_model(f"hf/{folder}", device="cpu")
    assert model.sees_pictures is False
    assert any("is asked text only" in note for note in model.notes)
    [reply] = ask(model, [request("what is it?", A)])
    assert reply.error.kind == "bad_request"
    assert "sees no pictures" in reply.error.message


def test_a_processor_that_lacks_a_package_says_which(folders, monkeypatch):
    import transformers

    def load(*given, **more):
        raise ImportError("Package `num2words` is required")  # as for SmolVLM

    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", load)
    model = load_chat_model(f"hf/{folders('Idefics 3')}", device="cpu")
    assert model.why_blind == "its processor cannot be loaded: Package `num2words` is required"
    assert any("asked text only" in note for note in model.notes)


def test_a_model_that_needs_a_picture_says_so_at_load(folders):
    model = load_chat_model(f"hf/{folders('PaliGemma')}", device="cpu")
    assert any("It answers no text alone" in note for note in model.notes)
    [reply] = ask(model, [request("hello")])
    assert "a text without a picture" in reply.error.message


def test_a_typed_placeholder_beside_no_picture(folders):
    """It would otherwise be a place without a picture, and the request an error."""
    for family in ("LLaVA 1.5", "Qwen2-VL", "Gemma 3", "Pixtral"):
        model = load_chat_model(f"hf/{folders(family)}", device="cpu")
        typed = " ".join(model._language.eyes.marks)
        [reply] = ask(model, [request(f"say {typed} now")])
        assert reply.error is None, family


def test_a_text_model_gives_no_answer_about_a_picture(tmp_path):
    from support.tiny_lm import build as text_model

    model = load_chat_model(f"hf/{text_model(tmp_path / 'text')}", device="cpu")
    blind, plain = ask(model, [request("word1", A), request("word1")])
    assert "sees no pictures" in blind.error.message
    assert not blind.text
    assert plain.error is None


def test_the_text_part_of_a_vision_model_sees_nothing(folders, tmp_path):
    """`Llama4ForCausalLM` and the like: saved alone, with a configuration of their own."""
    import transformers

    folder = tmp_path / "text"
    config = transformers.AutoConfig.from_pretrained(folders("Gemma 3")).text_config
    transformers.Gemma3ForCausalLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(folders("Gemma 3")).save_pretrained(folder)
    model = load_chat_model(f"hf/{folder}", device="cpu")
    assert type(model._language.model).__name__ == "Gemma3ForCausalLM"
    assert model.sees_pictures is False


def test_missing_weights_of_the_part_that_sees(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "m"
    shutil.copytree(folders("LLaVA 1.5"), folder)
    kept = {k: v for k, v in load_file(folder / "model.safetensors").items() if "projector" not in k}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="multi_modal_projector"):
        load_chat_model(f"hf/{folder}", device="cpu")


# -- Chameleon, the paper's surrogate ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def surrogate(tmp_path_factory):
    return load_chat_model(f"hf/{chameleon(tmp_path_factory.mktemp('chameleon') / 'm')}", device="cpu")


def test_chameleon_reads_turns_as_its_processor_makes_them(surrogate):
    """Turns end with its separator, which the processor adds to the last; no roles are spelled out."""
    row = surrogate._turns.row((Message("system", "be brief"), Message("user", "draw")))
    words = surrogate._language.tokenizer
    assert words.decode(row.tokens) == "<s>be brief\n\ndraw<reserved08706>"
    turns = (Message("user", "one"), Message("assistant", "two"), Message("user", "three"))
    text = words.decode(surrogate._turns.row(turns).tokens)
    assert text == "<s>one<reserved08706>two<reserved08706>three<reserved08706>"


def test_chameleon_says_no_picture(surrogate):
    """A quarter of its vocabulary are parts of pictures; the model rules them out of its answers."""
    pictures = set(surrogate._language.model.model.vocabulary_mapping.image_tokens)
    replies = ask(surrogate, [request(f"word {n}", temperature=5.0, seed=n, max_tokens=40) for n in range(8)])
    tokens = [t for r in replies for t in surrogate._language.tokenizer(r.text)["input_ids"]]
    assert len(pictures) == 8
    assert not pictures & set(tokens)
    assert all(r.error is None and r.output_tokens for r in replies)
    single = [
        ask(surrogate, [request(f"word {n}", temperature=5.0, seed=n, max_tokens=40)])[0] for n in range(8)
    ]
    assert [r.text for r in single] == [r.text for r in replies]


def test_an_encoder_decoder_is_no_chat_model(tmp_path):
    import transformers

    config = transformers.Florence2Config(
        text_config={"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
                     "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16,
                     "vocab_size": 300},
        vision_config={"embed_dim": [8], "depths": [1], "num_heads": [1], "num_groups": [1],
                       "patch_size": [7], "patch_stride": [4], "patch_padding": [3], "patch_prenorm": [False],
                       "projection_dim": 16},
    )  # fmt: skip
    folder = tmp_path / "m"
    transformers.Florence2ForConditionalGeneration(config).save_pretrained(folder)
    from support.tiny_vlm import tokenizer

    tokenizer().save_pretrained(folder)
    with pytest.raises(InputError, match="an encoder with a decoder"):
        load_chat_model(f"hf/{folder}", device="cpu")


def test_the_class_is_found_by_the_configuration(folders, tmp_path):
    """A configuration of another kind, or none that can be read, is left to the loader's own words."""
    from overt.data.local.vision import model_class

    assert model_class(str(folders("Qwen2-VL")), trust_remote_code=False) == "AutoModelForImageTextToText"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nobody-knows"}))
    assert model_class(str(tmp_path), trust_remote_code=False) == "AutoModelForCausalLM"
