"""Presets of well-known classifiers: the table itself, how one is found, and what it does to a model."""

from types import SimpleNamespace

import pytest

from overt.data.errors import InputError
from overt.scoring.classifiers import find_preset, plain, presets
from overt.scoring.covers import known_kinds
from overt.scoring.labels import Asked, read_labels

TABLE = presets()


def config_of(names, problem_type=None):
    return SimpleNamespace(id2label=dict(enumerate(names)), problem_type=problem_type)


def test_there_are_more_than_twenty_of_both_kinds_with_their_sources():
    assert len(TABLE) > 20
    assert sum(preset.reads == "picture" for preset in TABLE.values()) >= 8
    ids = [known.casefold() for preset in TABLE.values() for known in preset.hub]
    assert len(set(ids)) == len(ids)
    for preset in TABLE.values():
        assert preset.sources
        assert set(preset.covers) <= set(known_kinds())
        assert set(preset.blocks) <= set(preset.labels)


@pytest.mark.parametrize("name", TABLE)
def test_a_preset_reads_its_model_and_refuses_another(name):
    torch = pytest.importorskip("torch", reason="needs the extra [local]")
    preset = TABLE[name]
    found = find_preset("x", preset.hub[0], preset.reads, None)
    assert found.preset is preset
    logits = torch.linspace(-2, 1, len(preset.labels)).unsqueeze(0)
    read = read_labels("x", config_of(preset.labels), logits, Asked(), found)
    assert set(read.wanted) == set(preset.blocks)
    assert read.threshold == (preset.threshold or 0.5)
    assert read.covers == preset.covers
    assert f"preset {name}" in read.notes[0]
    shares = torch.sigmoid(logits) if preset.activation == "sigmoid" else logits.softmax(-1)
    chosen = shares[0, list(read.blocking)]
    wanted = float(chosen.max() if preset.activation == "sigmoid" else chosen.sum())
    [verdict] = read.read(logits)
    assert verdict.score == pytest.approx(1 - wanted if preset.inverted else wanted, abs=1e-6)
    # In another order, the labels keep their meaning; the model's own are asked for by their names.
    backwards = read_labels("x", config_of(preset.labels[::-1]), logits, Asked(), found)
    assert set(backwards.wanted) == set(preset.blocks)
    others = [f"other {n}" for n in range(len(preset.labels))]
    with pytest.raises(InputError, match=f"the preset {name} .* is of a model with the labels"):
        read_labels("x", config_of(others), logits, Asked(), found)
    unnamed = config_of([f"LABEL_{n}" for n in range(len(preset.labels))])
    if preset.in_order:
        assert set(read_labels("x", unnamed, logits, Asked(), found).wanted) == set(preset.blocks)
    else:
        with pytest.raises(InputError, match="is of a model with the labels"):
            read_labels("x", unnamed, logits, Asked(), found)


def test_options_win_over_a_preset():
    torch = pytest.importorskip("torch", reason="needs the extra [local]")
    found = find_preset("x", "LukeJacob2023/nsfw-image-detector", "picture", None)
    names = ("drawings", "hentai", "neutral", "porn", "sexy")
    read = read_labels("x", config_of(names), torch.zeros(1, 5), Asked("porn", None, 0.25), found)
    assert (read.wanted, read.threshold, read.covers) == (("porn",), 0.25, ("sexual",))
    assert read.read(torch.zeros(1, 5))[0].score == pytest.approx(0.2)
    found = find_preset("x", "unitary/toxic-bert", "text", None)
    unnamed = config_of([f"LABEL_{n}" for n in range(6)])
    read = read_labels("x", unnamed, torch.zeros(1, 6), Asked("LABEL_3"), found)
    assert read.wanted == ("threat",)
    assert read_labels("x", unnamed, torch.zeros(1, 6), Asked("Threat"), found).wanted == ("threat",)


def test_a_preset_is_named_or_found_by_the_models_id(tmp_path):
    assert find_preset("x", "UNITARY/toxic-bert", "text", None).preset.name == "toxic-bert"
    assert find_preset("x", "unitary/toxic-bert", "picture", None) is None
    assert find_preset("x", "unitary/toxic-bert", "text", "none") is None
    assert find_preset("x", "some/other", "text", None) is None
    assert find_preset("x", "some/other", "text", "unitary/toxic-bert").preset.name == "toxic-bert"
    with pytest.raises(InputError, match="no preset 'toxicbert'") as caught:
        find_preset("x", "a/b", "text", "toxicbert")
    assert "Did you mean toxic-bert?" in caught.value.fix
    with pytest.raises(InputError, match="the preset toxic-bert reads a text"):
        find_preset("x", "a/b", "picture", "toxic-bert")
    cached = tmp_path / "models--unitary--toxic-bert" / "snapshots" / "0123"
    cached.mkdir(parents=True)
    assert find_preset("x", str(cached), "text", None).is_named
    (tmp_path / "config.json").write_text('{"_name_or_path": "martin-ha/toxic-comment-model"}')
    found = find_preset("x", str(tmp_path), "text", None)
    assert (found.preset.name, found.is_named) == ("toxic-comment-model", False)
    (tmp_path / "config.json").write_text("[1, 2")
    assert find_preset("x", str(tmp_path), "text", None) is None


def test_a_folder_made_from_a_known_model_with_labels_of_its_own_is_asked():
    torch = pytest.importorskip("torch", reason="needs the extra [local]")
    found = find_preset("x", "Falconsai/nsfw_image_detection", "picture", None)
    origin = type(found)(found.preset, "its config.json names it", False)
    config = config_of(("normal", "self_harm"))
    with pytest.raises(InputError, match="is of a model with the labels normal, nsfw"):
        read_labels("x", config, torch.zeros(1, 2), Asked(), origin)
    read = read_labels("x", config, torch.zeros(1, 2), Asked("self_harm"), origin)
    assert (read.wanted, read.notes) == (("self_harm",), ())


def test_a_model_with_a_preset_end_to_end(tmp_path):
    pytest.importorskip("transformers", reason="needs the extra [local]")
    from support import tiny_classifiers as tiny
    from transformers import pipeline

    from overt.registry import load_checker, load_filter

    six = TABLE["toxic-bert"].labels
    folder = tiny.text(tmp_path / "t", labels=six)
    judge = load_filter(f"filter/hf/{folder}?preset=toxic-bert", device="cpu")
    pipe = pipeline("text-classification", model=str(folder), device="cpu", top_k=None)
    wanted = max(x["score"] for x in pipe(["the old lamp"], function_to_apply="sigmoid")[0])
    assert judge.decide("the old lamp").score == pytest.approx(wanted, abs=1e-4)
    tiny.change_config(folder, _name_or_path="unitary/toxic-bert")
    assert "its config.json names" in load_filter(f"filter/hf/{folder}", device="cpu").notes[0]

    marqo = tiny.timm(tmp_path / "p")
    checker = load_checker(f"checker/hf/{marqo}?preset=marqo-nsfw", device="cpu")
    assert (checker.labels, checker.covers) == (("NSFW",), ("sexual",))
    assert checker.name == f"checker/hf/{marqo}?labels=NSFW&threshold=0.5&preset=marqo-nsfw"
    assert load_checker(checker.name, device="cpu").name == checker.name
    with pytest.raises(InputError, match="the preset falconsai-nsfw"):
        load_checker(f"checker/hf/{marqo}?preset=falconsai-nsfw", device="cpu")


@pytest.mark.parametrize("name", TABLE)
def test_spellings_of_a_table_are_unambiguous(name):
    spelt = [spelling for spellings in TABLE[name].spellings for spelling in spellings]
    assert len(set(spelt)) == len(spelt)
    assert all(plain(label) for label in TABLE[name].labels)
