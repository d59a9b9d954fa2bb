"""The filters that ask a model: a moderation endpoint on a local server, tiny models that are built here."""

import base64
import dataclasses
import io
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.scripted import serving

from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.pictures import UnreadablePicture
from overt.data.provider.http import retry_after
from overt.registry import load_filter, parse
from overt.scoring.checkers.openai_moderation import OpenAIImageModeration
from overt.scoring.filters.guard import read_said
from overt.scoring.filters.guard_presets import PLAIN
from overt.scoring.filters.openai_moderation import OpenAIModeration, read_moderation
from overt.scoring.outgoing_pictures import outgoing

KEY = "sk-proj-not-to-be-shown-0123456789"


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def body(flagged, **scores):
    """As OpenAI's own, shortened to the categories that matter."""
    scores = {name.replace("_", "/"): value for name, value in scores.items()}
    return {
        "id": "modr-970d409ef3bef3b70c73d8232df86e7d",
        "model": "omni-moderation-latest",
        "results": [
            {
                "flagged": flagged,
                "categories": {name: value > 0.5 for name, value in scores.items()},
                "category_scores": scores,
                "category_applied_input_types": {name: ["text"] for name in scores},
            }
        ],
    }


# -- moderation ---------------------------------------------------------------------------------------------


def test_what_is_sent_and_what_is_read():
    with serving((200, {}, body(True, violence=0.91, harassment=0.62, sexual=0.01))) as server:
        moderation = load_filter(f"filter/openai-moderation?base_url={server.url}/v1")
        decision = moderation.decide("stab the half \ud83d pair")
    assert decision == FilterDecision(True, 0.91, "violence 0.91, harassment 0.62")
    [asked] = server.asked
    assert (asked.method, asked.path) == ("POST", "/v1/moderations")
    assert asked.json == {"model": "omni-moderation-latest", "input": "stab the half ? pair"}
    assert asked.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("option", "flagged", "score", "blocked"),
    [
        ("", False, 0.4, False),
        ("", True, 0.01, True),
        ("&threshold=0.3", False, 0.4, True),
        ("&threshold=0.4", False, 0.4, True),
        ("&threshold=0.5", False, 0.4, False),
        ("&threshold=0.5", True, 0.4, True),  # what the endpoint flags stays blocked
    ],
)
def test_flagged_or_over_the_threshold(option, flagged, score, blocked):
    with serving((200, {}, body(flagged, violence=score, hate=0.001))) as server:
        moderation = load_filter(f"filter/openai-moderation/text-m?base_url={server.url}/v1{option}")
        decision = moderation.decide("x")
    assert (decision.blocked, decision.score) == (blocked, score)
    assert bool(decision.reason) is blocked
    assert server.asked[0].json["model"] == "text-m"
    assert parse("overt.filters", moderation.name).model == "text-m"


@pytest.mark.parametrize(
    ("answer", "kind", "status", "wait"),
    [
        ((429, {"retry-after": "7"}, {"error": {"message": "slow down"}}), "rate_limit", 429, 7.0),
        ((429, {"retry-after-ms": "1500"}, {"error": {"message": "slow down"}}), "rate_limit", 429, 1.5),
        ((429, {}, {"error": {"message": "no", "code": "insufficient_quota"}}), "billing", 429, None),
        ((401, {}, {"error": {"message": f"Incorrect API key provided: {KEY}."}}), "auth", 401, None),
        ((403, {}, {"error": {"message": "no access"}}), "auth", 403, None),
        ((402, {}, {"detail": "pay first"}), "billing", 402, None),
        ((400, {}, {"error": {"message": "bad model", "param": "model"}}), "bad_request", 400, None),
        ((404, {}, b"nothing here"), "bad_request", 404, None),
        ((413, {}, b""), "too_long", 413, None),
        ((500, {"retry-after": "2"}, b"\xff\xfe"), "server", 500, 2.0),
        ((503, {}, b"<html>busy</html>"), "server", 503, None),
        ((200, {"content-type": "text/html"}, b"<html>login</html>"), "server", None, None),
        ((200, {"content-type": "application/json"}, b'{"results": ['), "server", None, None),
        ((200, {}, []), "server", None, None),
        ((200, {}, {}), "server", None, None),
        ((200, {}, {"results": []}), "server", None, None),
        ((200, {}, {"results": [None, 3]}), "server", None, None),
        ((200, {}, {"results": [{"category_scores": {"hate": 0.1}}]}), "server", None, None),
        ((200, {}, {"error": {"message": "wrapped", "code": 429}}), "rate_limit", 429, None),
        (None, "connection", None, None),
    ],
)
def test_a_fault_is_an_error_of_the_right_kind(answer, kind, status, wait):
    with serving(answer) as server:
        moderation = OpenAIModeration(base_url=f"{server.url}/v1", timeout=5)
        decision = moderation.decide("x")
    assert decision.blocked is None
    assert decision.error is not None
    assert (decision.error.kind, decision.error.status, decision.error.retry_after) == (kind, status, wait)
    assert len(server.asked) == 1  # the caller repeats, not the client
    assert KEY not in repr(decision)


def test_a_server_that_hangs():
    def slow(_):
        time.sleep(1.5)
        return 200, {}, body(False)

    with serving(slow) as server:
        decision = OpenAIModeration(base_url=server.url, timeout=0.3).decide("x")
    assert decision.error is not None
    assert decision.error.kind == "timeout"


@pytest.mark.parametrize(
    ("data", "threshold", "wanted"),
    [
        # a server that says no more than yes or no
        ({"results": [{"flagged": True}]}, None, FilterDecision(True, None, "flagged")),
        ({"results": [{"flagged": False}]}, 0.5, FilterDecision(False)),
        # flags without the verdict
        (
            {"results": [{"categories": {"hate": True, "self-harm": False}}]},
            None,
            FilterDecision(True, None, "hate"),
        ),
        # scores alone, decided by the threshold alone
        ({"results": [{"category_scores": {"hate": 0.7}}]}, 0.5, FilterDecision(True, 0.7, "hate 0.70")),
        # numbers that are none are left out, those beyond 1 are cut
        (
            {
                "results": [
                    {
                        "flagged": True,
                        "category_scores": {"a": "high", "b": True, "c": None, "d": 3, "e": 0.2},
                    }
                ]
            },
            None,
            FilterDecision(True, 1.0, "d 1.00, e 0.20"),
        ),
        # one input, several results: the worst counts
        (
            {
                "results": [
                    {"flagged": False, "category_scores": {"a": 0.1}},
                    {"flagged": True, "category_scores": {"a": 0.8}},
                ]
            },
            None,
            FilterDecision(True, 0.8, "a 0.80"),
        ),
    ],
)
def test_bodies_of_other_servers(data, threshold, wanted):
    assert read_moderation(data, threshold) == wanted


def test_a_hostile_category_does_not_fill_the_reason():
    scores = {"\x1b[31m" + "x" * 5000 + str(n): 0.9 for n in range(9)}
    decision = read_moderation({"results": [{"flagged": True, "category_scores": scores}]}, None)
    assert len(decision.reason) < 200
    assert decision.reason.isprintable()


def test_many_threads_share_one_filter():
    def by_text(asked):
        text = asked.json["input"]
        return 200, {}, body("bomb" in text, violence=len(text) / 100)

    texts = [f"{'bomb' if n % 3 == 0 else 'rose'} {'x' * n}" for n in range(40)]
    with serving(by_text) as server:
        moderation = OpenAIModeration(base_url=server.url)
        with ThreadPoolExecutor(8) as pool:
            decisions = list(pool.map(moderation.decide, texts))
        moderation.close()
        assert moderation.decide("bomb").blocked  # closed is not dead
    assert [d.blocked for d in decisions] == ["bomb" in text for text in texts]
    assert [d.score for d in decisions] == [len(text) / 100 for text in texts]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("filter/openai-moderation?threshold=2", "not a number from 0 to 1"),
        ("filter/openai-moderation?threshold=nan", "not a number from 0 to 1"),
        ("filter/openai-moderation?base_url=ftp://x/v1", "no http"),
        ("filter/openai-moderation?base_url=http://localhost/v1?code=hush", "may hold a secret"),
        ("filter/openai-moderation?api_key_env=NO_SUCH_KEY", "NO_SUCH_KEY is not set"),
        ("filter/openai-moderation?base_url=https://api.example.com/v1&api_key_env=NOPE", "NOPE is not set"),
    ],
)
def test_what_cannot_be_made_says_why(spec, words):
    with pytest.raises(InputError, match=words) as caught:
        load_filter(spec)
    assert "hush" not in caught.value.message()


def test_the_key_is_nowhere_to_be_seen():
    moderation = OpenAIModeration(
        base_url="http://127.0.0.1:9/v1", api_key_env="OPENAI_API_KEY", threshold=0.5
    )
    assert moderation.name == "filter/openai-moderation?threshold=0.5&base_url=http://127.0.0.1:9/v1"
    assert KEY not in moderation.name + repr(moderation) + repr(moderation.decide("x"))


def test_retry_after_as_a_date_and_as_nonsense():
    assert retry_after({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, now=1792567680.0) == 10.0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "99999999"}) is None


# -- pictures -----------------------------------------------------------------------------------------------


def picture(width=1600, height=900, mode="RGB"):
    from PIL import Image

    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    image.info["comment"] = b"SECRET-COMMENT"
    return image


def test_a_picture_goes_out_small_and_bare():
    from PIL import Image

    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "SECRET-EXIF"  # a description
    exif[0x0112] = 6  # turned by a quarter
    picture().save(file, "JPEG", exif=exif, comment=b"SECRET-COMMENT", dpi=(300, 300))
    assert file.getvalue().count(b"SECRET") == 2
    sent = outgoing(file.getvalue())
    assert b"SECRET" not in sent
    with Image.open(io.BytesIO(sent)) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert image.size == (432, 768)  # turned upright, then cut down
        assert not image.getexif()
        assert "comment" not in image.info
    assert b"SECRET" not in outgoing(picture(mode="RGBA"))
    with Image.open(io.BytesIO(outgoing(picture(100, 50)))) as image:
        assert image.size == (100, 50)  # never made larger
    with Image.open(io.BytesIO(outgoing(picture(4000, 3), side=64))) as image:
        assert image.size == (64, 1)
    with pytest.raises(UnreadablePicture):
        outgoing(b"<html>")


def test_the_image_checker():
    from PIL import Image

    with serving((200, {}, body(True, sexual=0.83, violence=0.4))) as server:
        alone = OpenAIImageModeration(base_url=server.url)
        both = OpenAIImageModeration(base_url=server.url, with_prompt=True, threshold=0.9)
        assert alone.check(picture(), "a nude") == FilterDecision(True, 0.83, "sexual 0.83")
        assert both.check(picture(), "a nude").blocked
        assert both.check(picture(), " ").blocked
    assert alone.name == f"checker/openai-moderation?base_url={server.url}"
    assert both.name == f"checker/openai-moderation?threshold=0.9&base_url={server.url}&with_prompt=true"
    first, second, third = [asked.json["input"] for asked in server.asked]
    assert [part["type"] for part in first] == ["image_url"]
    assert second[0] == {"type": "text", "text": "a nude"}
    assert [part["type"] for part in third] == ["image_url"]
    head, _, data = first[0]["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert max(image.size) == 768


def test_the_image_checker_in_trouble():
    with serving((429, {"retry-after": "3"}, {"error": {"message": "slow"}})) as server:
        decision = OpenAIImageModeration(base_url=server.url).check(picture(), "")
    assert (decision.blocked, decision.error.kind, decision.error.retry_after) == (None, "rate_limit", 3.0)


# -- classifiers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    pytest.importorskip("torch", reason="needs the extra [local]")
    pytest.importorskip("transformers", reason="needs the extra [local]")
    from support.tiny_filters import shared

    return shared


def test_a_single_label_classifier(tiny):
    classifier = load_filter(f"filter/hf/{tiny('single')}")
    assert classifier.name == f"filter/hf/{tiny('single')}"
    calm, bad = classifier.decide("a quiet harbour"), classifier.decide("a bomb at dawn")
    assert (calm.blocked, calm.reason) == (False, "")
    assert (bad.blocked, bad.reason) == (True, "toxic")
    assert 0 <= calm.score < 0.1 < 0.9 < bad.score <= 1


def test_the_scores_are_those_of_the_pipeline(tiny):
    from transformers import pipeline

    for kind, labels in (("single", "toxic"), ("multi", "bombs")):
        theirs = pipeline("text-classification", model=str(tiny(kind)), device="cpu", top_k=None)
        ours = load_filter(f"filter/hf/{tiny(kind)}?labels={labels}&device=cpu")
        texts = ["a bomb", "damn rose", "the old lamp", "red damn bomb"]
        wanted = [next(x["score"] for x in row if x["label"] == labels) for row in theirs(texts)]
        assert [d.score for d in ours.decide_many(texts)] == pytest.approx(wanted, abs=1e-4)


def test_a_multi_label_classifier_takes_the_likeliest_label(tiny):
    both = load_filter(f"filter/hf/{tiny('multi')}?labels=Bombs,curses")
    assert [(d.blocked, d.reason) for d in both.decide_many(["a bomb", "damn", "a rose"])] == [
        (True, "bombs"),
        (True, "curses"),
        (False, ""),
    ]
    curses = load_filter(f"filter/hf/{tiny('multi')}?labels=curses")
    assert [d.blocked for d in curses.decide_many(["a bomb", "damn", "damn bomb"])] == [False, True, True]


def test_the_threshold_decides(tiny):
    spec = f"filter/hf/{tiny('single')}?threshold="
    score = load_filter(spec + "0.5").decide("a rose").score
    assert load_filter(spec + "0").decide("a rose").blocked
    assert not load_filter(f"{spec}{score + 0.0001:.4f}").decide("a rose").blocked
    with pytest.raises(InputError, match="not a number from 0 to 1"):
        load_filter(spec + "half")


@pytest.mark.parametrize("place", [0, 30, 61, 62, 200, 399])
def test_a_word_is_found_wherever_it_hides(tiny, place):
    """The model reads 64 tokens at once; a pipeline would see the first of them alone."""
    classifier = load_filter(f"filter/hf/{tiny('single')}")
    words = ["rose"] * 400
    assert not classifier.decide(" ".join(words)).blocked
    words[place] = "bomb"
    assert classifier.decide(" ".join(words)).blocked


def test_windows_overlap_and_leave_nothing_out(tiny):
    classifier = load_filter(f"filter/hf/{tiny('single')}")
    vocabulary = classifier._tokenizer.get_vocab()
    words = sorted(w for w in vocabulary if w.isalpha())
    text = random.Random(3).choices(words, k=300)
    rows = [window["input_ids"] for window in classifier._windows(" ".join(text))]
    assert all(len(row) <= 64 for row in rows)
    ids, seen = [vocabulary[w] for w in text], 0
    for row in rows:
        inner = row[1:-1]  # between the special tokens
        start = next(s for s in range(seen, -1, -1) if ids[s : s + len(inner)] == inner)
        assert seen == 0 or seen - start >= 15
        seen = start + len(inner)
    assert seen == len(ids)


def test_positions_that_begin_after_the_padding(tiny, tmp_path):
    from support.tiny_filters import build_classifier

    classifier = load_filter(
        f"filter/hf/{build_classifier(tmp_path / 'r', ('toxic', 'safe'), 'roberta', 30)}"
    )
    assert classifier._limit == 30
    assert classifier.decide("rose " * 100 + "bomb").blocked
    assert not classifier.decide("rose " * 100).blocked


def test_a_batch_says_what_single_calls_say(tiny):
    classifier = load_filter(f"filter/hf/{tiny('single')}?batch_size=5")
    texts = ["rose " * n + ("bomb" if n % 3 == 0 else "") for n in range(0, 150, 7)]
    many, single = classifier.decide_many(texts), [classifier.decide(text) for text in texts]
    assert [(d.blocked, d.reason) for d in many] == [(d.blocked, d.reason) for d in single]
    assert [d.score for d in many] == pytest.approx([d.score for d in single], abs=2e-4)
    assert classifier.decide_many([]) == []


def test_out_of_memory_halves_the_batch(tiny):
    classifier = load_filter(f"filter/hf/{tiny('single')}?batch_size=8")
    real, sizes = classifier._verdicts, []

    def tight(windows):
        sizes.append(len(windows))
        if len(windows) > 2 or max(len(w["input_ids"]) for w in windows) > 20:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return real(windows)

    classifier._verdicts = tight
    texts = ["a bomb"] * 5 + ["rose " * 50] + ["a rose"] * 2
    decisions = classifier.decide_many(texts)
    assert [d.blocked for d in decisions] == [True] * 5 + [None] + [False] * 2
    assert decisions[5].error.kind == "too_long"
    assert sizes == [8, 4, 2, 2, 2, 2, 1, 1]  # smaller from there on


def test_a_row_that_fails_spares_the_others(tiny):
    classifier = load_filter(f"filter/hf/{tiny('single')}")
    real, broken = classifier._verdicts, classifier._windows("the old lamp")[0]

    def failing(windows):
        if broken in windows:
            raise IndexError("index out of range in self")
        return real(windows)

    classifier._verdicts = failing
    decisions = classifier.decide_many(["a bomb", "the old lamp", "a rose", "damn", "red rose"])
    assert [d.blocked for d in decisions] == [True, None, False, True, False]
    assert decisions[1].error.kind == "bad_request"
    assert "IndexError" in decisions[1].error.message


def test_a_tokenizer_in_python_makes_windows_too(tmp_path):
    pytest.importorskip("torch", reason="needs the extra [local]")
    transformers = pytest.importorskip("transformers", reason="needs the extra [local]")
    config = transformers.CanineConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_hash_buckets=64,
        local_transformer_stride=16,
        id2label={0: "safe", 1: "toxic"},
        label2id={"safe": 0, "toxic": 1},
    )
    transformers.CanineForSequenceClassification(config).save_pretrained(tmp_path)
    transformers.CanineTokenizer(model_max_length=64).save_pretrained(tmp_path)
    classifier = load_filter(f"filter/hf/{tmp_path}")
    assert not classifier._tokenizer.is_fast
    text = " ".join(f"word{n}" for n in range(40))
    rows = [window["input_ids"] for window in classifier._windows(text)]
    assert len(rows) > 4
    assert all(len(row) <= 64 for row in rows)
    pieces = ["".join(map(chr, row[1:-1])) for row in rows]
    assert all(piece in text for piece in pieces)
    assert pieces[0].startswith("word0")
    assert pieces[-1].endswith("word39")
    assert classifier.decide(text).error is None


def test_threads_do_not_disturb_one_another(tiny):
    classifier = load_filter(f"filter/hf/{tiny('single')}")
    texts = ["rose " * n + ("bomb" if n % 2 else "") for n in range(0, 120, 3)]
    with ThreadPoolExecutor(4) as pool:
        assert [d.blocked for d in pool.map(classifier.decide, texts)] == ["bomb" in t for t in texts]


@pytest.mark.parametrize(
    ("labels", "kind", "option", "words"),
    [
        (("safe", "toxic"), "single", "?labels=toxc", "no label 'toxc'"),
        (("safe", "toxic"), "single", "?labels=,", "names none"),
        (("safe", "toxic"), "single", "?labels=safe,toxic", "names all of them"),
        (("LABEL_0", "LABEL_1"), "multi", "", "cannot be told from their names: LABEL_0, LABEL_1"),
        (("toxic", "POSITIVE"), "multi", "", "cannot be told"),
    ],
)
def test_labels_that_do_not_fit(tiny, tmp_path, labels, kind, option, words):
    from support.tiny_filters import build_classifier

    folder = tiny("single") if labels == ("safe", "toxic") else build_classifier(tmp_path / "m", labels, kind)
    with pytest.raises(InputError, match=words) as caught:
        load_filter(f"filter/hf/{folder}{option}")
    assert all(label in caught.value.message() for label in labels)


@pytest.mark.parametrize(
    ("labels", "independent", "blocking"),
    [
        (("non-toxic", "Toxic"), False, {1}),
        (("SAFE", "unsafe"), False, {1}),
        (("nsfw", "sfw"), False, {0}),
        (("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"), True, set(range(6))),
        (("toxic", "obscene"), False, None),  # one of them always applies: there is no word for harmless
        (("0", "1"), False, None),
        (("toxic", "other"), False, None),
        (("safe", "neutral"), False, None),
    ],
)
def test_labels_are_guessed_only_where_there_is_no_doubt(labels, independent, blocking):
    torch = pytest.importorskip("torch", reason="needs the extra [local]")
    from types import SimpleNamespace

    from overt.scoring.labels import Asked, read_labels

    kind = "multi_label_classification" if independent else None
    config = SimpleNamespace(id2label=dict(enumerate(labels)), problem_type=kind)
    logits = torch.zeros(1, len(labels))
    if blocking is None:
        with pytest.raises(InputError, match="cannot be told"):
            read_labels("filter/hf/x", config, logits, Asked(), None)
    else:
        assert set(read_labels("filter/hf/x", config, logits, Asked(), None).blocking) == blocking


def test_weights_that_can_run_code_are_refused(tiny, tmp_path):
    import shutil

    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(tiny("single"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        load_filter(f"filter/hf/{folder}")
    assert "safetensors" in caught.value.message()


def test_a_folder_that_is_not_there(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra [local]")
    with pytest.raises(InputError, match="there is no such folder"):
        load_filter("filter/hf/./no/such/folder")
    with pytest.raises(InputError, match="cannot be used"):
        load_filter(f"filter/hf/{tmp_path}?device=abacus")


# -- guards -------------------------------------------------------------------------------------------------


def test_a_guard(tiny):
    guard = load_filter(f"filter/llama-guard/{tiny('guard')}")
    assert guard.name == f"filter/llama-guard/{tiny('guard')}"
    calm, bomb, curse = guard.decide_many(["a quiet harbour", "a bomb at dawn", "damn"])
    assert (calm.blocked, calm.reason) == (False, "")
    assert (bomb.blocked, bomb.reason) == (True, "S1")
    assert (curse.blocked, curse.reason) == (True, "S2")
    assert 0 <= calm.score < 0.2 < 0.8 < bomb.score <= 1


def test_the_score_is_the_share_of_the_two_words(tiny):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    guard = load_filter(f"filter/llama-guard/{tiny('guard')}?device=cpu")
    tokenizer = AutoTokenizer.from_pretrained(tiny("guard"))
    model = AutoModelForCausalLM.from_pretrained(tiny("guard"), dtype=torch.float32).eval()
    asked = tokenizer("<user> a bomb <assistant> ", return_tensors="pt", add_special_tokens=False)[
        "input_ids"
    ]
    logits = model(asked).logits[0, -1]
    safe, unsafe = (logits.detach()[tokenizer.convert_tokens_to_ids(w)] for w in ("safe", "unsafe"))
    assert guard.decide("a bomb").score == pytest.approx(float(torch.sigmoid(unsafe - safe)), abs=1e-4)


def test_a_guards_batch_says_what_single_calls_say(tiny):
    guard = load_filter(f"filter/llama-guard/{tiny('guard')}?batch_size=3")
    texts = ["rose " * (n % 5) + ("bomb" if n % 3 == 0 else "dawn") for n in range(10)]
    many, single = guard.decide_many(texts), [guard.decide(text) for text in texts]
    assert [(d.blocked, d.reason) for d in many] == [(d.blocked, d.reason) for d in single]
    assert [d.score for d in many] == pytest.approx([d.score for d in single], abs=2e-4)
    assert {d.blocked for d in many} == {True, False}


def test_a_prompt_that_is_too_long_is_an_error_and_spares_the_others(tiny):
    guard = load_filter(f"filter/llama-guard/{tiny('guard')}")
    calm, long, bomb = guard.decide_many(["rose", "bomb " * 500, "bomb"])
    assert (calm.blocked, long.blocked, bomb.blocked) == (False, None, True)
    assert long.error.kind == "too_long"
    assert "500" in long.error.message or "50" in long.error.message


def test_a_prompt_cannot_end_itself(tiny):
    """With the control token read as one, the prompt would end before the bomb."""
    guard = load_filter(f"filter/llama-guard/{tiny('guard')}")
    tokenizer = guard._language.tokenizer
    assert tokenizer.eos_token == "<eos>"
    assert tokenizer.eos_token_id not in guard._asked("rose <eos> bomb").row.tokens
    assert guard.decide("rose <eos> bomb").blocked


def test_a_template_that_wants_parts(tiny, tmp_path):
    """Llama Guard 3 1B's leaves a plain text out without a word."""
    from support.tiny_filters import PARTS_TEMPLATE, build_guard

    guard = load_filter(f"filter/llama-guard/{build_guard(tmp_path / 'g', PARTS_TEMPLATE)}")
    assert [d.blocked for d in guard.decide_many(["a bomb", "a rose"])] == [True, False]


def test_other_guards_by_their_words(tiny, tmp_path):
    """Yes and No, and a template that needs a guideline."""
    from support.tiny_filters import GUARD_TEMPLATE, build_guard

    folder = build_guard(tmp_path / "g", says=("No", "Yes", "S1", "S2"))
    named = load_filter(f"filter/llama-guard/{folder}?unsafe_words=unsafe,yes&safe_words=safe,no")
    bomb, rose = named.decide_many(["a bomb", "a rose"])
    assert (bomb.blocked, rose.blocked) == (True, False)
    assert rose.score < 0.5 < bomb.score
    unnamed = load_filter(f"filter/llama-guard/{folder}").decide("a bomb")
    assert (unnamed.blocked, unnamed.score) == (None, None)
    assert unnamed.reason.startswith("unclear: Yes")

    needs = "{% if not guideline %}{{ raise_exception('a guideline is needed') }}{% endif %}"
    folder = build_guard(tmp_path / "h", needs + GUARD_TEMPLATE, teach=False)
    with pytest.raises(InputError, match="a guideline is needed") as caught:
        load_filter(f"filter/llama-guard/{folder}")
    assert "guideline=" in caught.value.message()
    assert load_filter(f"filter/llama-guard/{folder}?guideline=No bombs").decide("x").error is None


@pytest.mark.parametrize(
    ("text", "blocked", "reason"),
    [
        ("safe", False, ""),
        ("\n\nSafe.", False, ""),
        ("unsafe\nS1", True, "S1"),
        ("\n\nunsafe\nS1 , S12,S3", True, "S1,S12,S3"),
        ("unsafe", True, "unsafe"),
        ("unsafe\nS1 because <script>", True, "unsafe"),
        ("<score> yes </score>", True, "yes"),
        ("<think>Safe? No.</think>\nunsafe\nS1", True, "S1"),
        ("No\n\nThe prompt asks for a picture of a harbour.", False, ""),
        ("safe or unsafe, who knows", None, "unclear: safe or unsafe, who knows"),
        ("I am sorry,\nunsafe", None, "unclear: I am sorry, unsafe"),
        ("", None, "unclear: it said nothing"),
        ("\x00\x1b[2J", None, "unclear: [2J"),
        ("x" * 9999, None, "unclear: " + "x" * 117 + "..."),
    ],
)
def test_reading_a_verdict(text, blocked, reason):
    preset = dataclasses.replace(PLAIN, unsafe=("unsafe", "yes"), safe=("safe", "no"))
    reading, why = read_said(preset, text)
    assert {"unsafe": True, "safe": False, None: None}[reading.verdict] is blocked
    said = {True: reading.detail or reading.word, False: "", None: f"unclear: {why}"}
    assert said[blocked] == reason


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("?unsafe_words=no&safe_words=no", "different words"),
        ("?safe_words=,", "different words"),
        ("?batch_size=0", "at least one text"),
    ],
)
def test_a_guard_that_cannot_be_made(tiny, option, words):
    with pytest.raises(InputError, match=words):
        load_filter(f"filter/llama-guard/{tiny('guard')}{option}")


def test_a_chat_model_without_a_template_is_no_guard(tiny, tmp_path):
    import shutil

    folder = tmp_path / "plain"
    shutil.copytree(tiny("guard"), folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        load_filter(f"filter/llama-guard/{folder}")


def test_a_gated_model_says_what_to_do(tiny, tmp_path):
    """A Hub that answers as the real one does for a licence that was not accepted."""

    def hub(_):
        headers = {"x-error-code": "GatedRepo", "x-error-message": "Access to model is restricted."}
        return 403, headers, {"error": "Access to model meta-llama/Llama-Guard-3-1B is restricted"}

    code = (
        "from overt.registry import load_filter\n"
        "from overt.data.errors import InputError\n"
        "try:\n    load_filter('filter/llama-guard')\n"
        "except InputError as error:\n    print(error.message())"
    )
    with serving(hub) as server:
        env = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        env.pop("HF_TOKEN", None)
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=True
        )
    assert server.asked
    assert "accept its licence at https://huggingface.co/meta-llama/Llama-Guard-3-1B" in done.stdout
    assert "HF_TOKEN" in done.stdout
