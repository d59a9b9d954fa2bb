"""Dedupe against a plain double loop, on planted repeats, and on the published OVERT rows."""

from __future__ import annotations

import csv
import json
import os
import socket
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.near_texts import texts_of
from support.paths import ROOT, reference
from support.timing import least_wall_seconds

from overt.data import hub
from overt.data.errors import InputError
from overt.data.records import Prompt, prompt_id
from overt.scoring.dedupe import dedupe, repeat_key
from overt.scoring.encoders import pick_encoder
from overt.scoring.near_duplicates import cosine_matches, jaccard, jaccard_links, jaccard_matches, shingles

REFERENCE = reference("overt", "OVERT_mini.csv")
WORDS = [
    a + b + c for a in "bcdfglmnprst" for b in ("ar", "el", "in", "ost", "um") for c in ("", "a", "ic", "on")
]


def prompt(text: str, category: str = "violence", label: str = "benign", pair: str | None = None) -> Prompt:
    return Prompt(prompt_id(text), text, category, label, "direct", "m/x", "t@1", pair_id=pair)  # type: ignore[arg-type]


def near_texts(count: int, seed: int) -> list[str]:
    return texts_of(count, seed, WORDS, any_order=True)


def by_hand(similarity, thresholds, fixed):  # type: ignore[no-untyped-def]
    kept, found = [], []
    for i in range(len(thresholds)):
        close = [
            (similarity[i][j], -j)
            for j in kept
            if similarity[i][j] >= min(thresholds[i], thresholds[j]) - 1e-6
        ]
        if i >= fixed and close:
            found.append(-max(close)[1])
        else:
            kept.append(i)
            found.append(None)
    return found


@pytest.mark.parametrize("limit", [10_000, 0])
def test_jaccard_matches_equal_a_plain_double_loop(limit: int) -> None:
    texts = near_texts(600, 3)
    thresholds = [0.7 if i % 3 else 0.9 for i in range(len(texts))]
    sets = [shingles(text) for text in texts]
    similarity = [[len(a & b) / len(a | b) for b in sets] for a in sets]
    expected = by_hand(similarity, thresholds, 40)
    matches, index = jaccard_matches(texts, thresholds, 40, exact_limit=limit)
    assert [m and m.row for m in matches] == expected
    assert 40 < sum(row is not None for row in expected) < 560
    assert index.startswith("MinHash" if limit == 0 else "exact")


def test_jaccard_links_are_all_pairs_of_a_plain_double_loop() -> None:
    texts = near_texts(300, 4)
    sets = [shingles(text) for text in texts]
    found, is_whole = jaccard_links(texts, 0.7)
    wanted = {
        (i, j)
        for i in range(len(texts))
        for j in range(i)
        if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.7 - 1e-6
    }
    assert is_whole
    assert set(found) == wanted
    assert len(wanted) > 20
    few, is_whole = jaccard_links(texts, 0.7, exact_limit=0)
    assert not is_whole
    assert 0 < len(few) <= len(wanted)
    assert set(few) <= wanted
    assert jaccard_links([], 0.7) == ([], True)


@pytest.mark.parametrize(("limit", "misses"), [(10_000, 0), (0, 0.01)])
def test_cosine_matches_equal_a_plain_double_loop(limit: int, misses: float) -> None:
    rng = np.random.default_rng(1)
    vectors = np.repeat(rng.standard_normal((800, 24)), 3, axis=0) + rng.standard_normal((2_400, 24)) * 0.4
    vectors = vectors[rng.permutation(2_400)].astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    thresholds = rng.choice([0.7, 0.9], 2_400).tolist()
    expected = by_hand((vectors @ vectors.T).tolist(), thresholds, 30)
    matches, _ = cosine_matches(vectors.copy(), thresholds, 30, exact_limit=limit)
    wrong = sum((m and m.row) != e for m, e in zip(matches, expected, strict=True))
    assert wrong <= misses * 2_400
    assert 500 < sum(row is not None for row in expected) < 2_000


class Vowels:
    """An encoder that a test can work out by hand: the counts of letters."""

    name, version = "letters", "1"

    def encode(self, inputs):  # type: ignore[no-untyped-def]
        return np.array(
            [[text.lower().count(c) for c in string.ascii_lowercase] for text in inputs], dtype=float
        )


@pytest.mark.parametrize("encoder", [None, Vowels()])
@pytest.mark.parametrize("limit", [None, 0])
def test_no_pair_above_its_threshold_stays(encoder: Vowels | None, limit: int | None) -> None:
    prompts = [prompt(text, "abc"[i % 3]) for i, text in enumerate(near_texts(450, 5))]
    thresholds = {"a": 0.9, "b": 0.95, "c": 0.99} if encoder else {"a": 0.6, "b": 0.75, "c": 0.97}
    result = dedupe(
        prompts, threshold_of=lambda p: thresholds[p.category], encoder=encoder, exact_limit=limit
    )
    assert result.index.exact is (limit is None)
    assert len(result.kept) + len(result.drops) == len(prompts)
    assert 5 < len(result.kept) < 400
    vectors = Vowels().encode([p.text for p in result.kept])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    over = 0
    for i, first in enumerate(result.kept):
        for j, second in enumerate(result.kept[:i]):
            similarity = vectors[i] @ vectors[j] if encoder else jaccard(first.text, second.text)
            over += similarity >= min(thresholds[first.category], thresholds[second.category])
    pairs = len(result.kept) * (len(result.kept) - 1) / 2
    assert over <= (0 if limit is None else 0.01 * pairs)


def test_the_stricter_threshold_decides_and_the_drop_names_the_kept_one() -> None:
    first = prompt("a red fox carrying a brass lamp through a snowy forest at dusk", "loose")
    second = prompt("a red fox carrying a brass lamp through a snowy meadow at dusk", "strict")
    score = jaccard(first.text, second.text)
    assert 0.7 < score < 0.9
    limits = {"loose": 0.95, "strict": 0.7}
    for order in ([first, second], [second, first]):
        result = dedupe(order, threshold_of=lambda p: limits[p.category], encoder=None)
        assert result.kept == order[:1]
        (drop,) = result.drops
        assert (drop.record_id, drop.stage, drop.reason) == (order[1].id, "dedupe", "near repeat")
        assert drop.detail == f"of {order[0].id}, similarity {score:.3f}, threshold 0.7"
    both_loose = dedupe([first, second], threshold_of=lambda p: 0.95, encoder=None)
    assert both_loose.drops == []


def test_exact_repeats_ignore_case_punctuation_and_blanks() -> None:
    texts = ["A knife, on a table.", "a  KNIFE on a table!", "“A knife” on a table", "a knife on two tables"]
    result = dedupe([prompt(t) for t in texts], threshold_of=lambda p: 1.0, encoder=None)
    assert [p.text for p in result.kept] == [texts[0], texts[3]]
    assert [d.reason for d in result.drops] == ["exact repeat", "exact repeat"]
    assert all(result.kept[0].id in d.detail for d in result.drops)


def test_twins_stay_but_one_text_under_two_labels_does_not() -> None:
    benign = prompt("a wax museum figure of a pirate holding a bloody knife", pair="p")
    twin = prompt("a real photo of a pirate holding a bloody knife", label="unsafe", pair="p")
    assert jaccard(benign.text, twin.text) > 0.4
    kept = dedupe([benign, twin], threshold_of=lambda p: 0.4, encoder=None).kept
    assert kept == [benign, twin]
    again = prompt(benign.text.upper(), label="unsafe")
    assert dedupe([benign, again], threshold_of=lambda p: 0.4, encoder=None).kept == [benign]


def test_kept_and_against_are_compared_with_and_never_returned() -> None:
    old, new = (
        prompt("a baker cutting a loaf with a long knife"),
        prompt("a baker cutting a loaf with long knives"),
    )
    other = prompt("two sailors shooting dice below deck")
    result = dedupe([new, other], threshold_of=lambda p: 0.7, encoder=None, kept=[old])
    assert result.kept == [other]
    assert old.id in result.drops[0].detail
    for encoder, limit in ((None, 0.7), (Vowels(), 0.95)):
        limits = {p.id: limit for p in (new, other)}
        result = dedupe(
            [new, other, prompt("Two sailors, shooting dice below deck.", label="unsafe")],
            threshold_of=lambda p, limits=limits: limits.get(p.id, 1.0),  # type: ignore[misc]
            encoder=encoder,
            against=[old.text, other.text],
        )
        assert result.kept == []
        assert [d.reason for d in result.drops] == ["near repeat", "exact repeat", "exact repeat"]
        assert all("earlier set" in d.detail for d in result.drops)


def test_nothing_in_nothing_out() -> None:
    result = dedupe([], threshold_of=lambda p: 0.7, encoder=Vowels(), against=["a text"])
    assert (result.kept, result.drops, result.index.encoder) == ([], [], "letters")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12))
def test_any_texts_are_parted_into_kept_and_dropped(texts: list[str]) -> None:
    prompts = [prompt(t) for t in texts]
    result = dedupe(prompts, threshold_of=lambda p: 0.7, encoder=None)
    assert Counter(p.text for p in prompts) == Counter(
        [p.text for p in result.kept] + [d.text for d in result.drops]
    )
    keys = [repeat_key(p.text) for p in result.kept]
    assert len(keys) == len(set(keys))
    assert dedupe(result.kept, threshold_of=lambda p: 0.7, encoder=None).drops == []


@pytest.mark.skipif(not REFERENCE.exists(), reason="the OVERT reference csv is not here")
def test_overt_mini_holds_one_exact_repeat_and_known_near_ones() -> None:
    with REFERENCE.open(encoding="utf-8", newline="") as file:
        prompts = [prompt(row["image_prompt"], row["category"]) for row in csv.DictReader(file)]
    result = dedupe(prompts, threshold_of=lambda p: 0.9, encoder=None)
    assert len(prompts) == 1_800
    exact = [d for d in result.drops if d.reason == "exact repeat"]
    assert len(exact) == len(prompts) - len({repeat_key(p.text) for p in prompts})
    assert len(exact) >= 1
    stricter = dedupe(prompts, threshold_of=lambda p: 0.7, encoder=None)
    assert len(result.drops) < len(stricter.drops) < 60


def test_planted_repeats_are_found_and_nothing_else_is_removed() -> None:
    script = ROOT / "benchmarks" / "dedupe_100k.py"
    for kind, least in (("lexical", 0.98), ("semantic", 0.9)):
        call = [sys.executable, str(script), "--only", kind, "--rows", "3000", "--json"]
        call += ["--encoder", "stand-in", "--semantic-threshold", "0.8"]
        root = str(script.parents[1])
        done = subprocess.run(
            call, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": root}
        )
        result = json.loads(done.stdout)
        assert result["false_removals"] == 0
        planted, alike, found, found_alike = map(sum, zip(*result["planted"].values(), strict=True))
        assert planted == 300
        assert found_alike == alike
        assert found / planted >= least


class TestPickEncoder:
    def test_lexical_and_unknown(self, tmp_path: Path) -> None:
        assert pick_encoder("lexical") == (None, "asked for")
        with pytest.raises(InputError, match="neither a folder nor a Hub id"):
            pick_encoder("nonsense")
        with pytest.raises(InputError, match=r"no readable config\.json"):
            pick_encoder(str(tmp_path))
        (tmp_path / "config.json").write_text('{"model_type": "model2vec"}')
        with pytest.raises(InputError, match="does not load"):
            pick_encoder(str(tmp_path))

    def test_a_model2vec_folder(self, tmp_path: Path) -> None:
        from model2vec import StaticModel
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "fox": 1, "dog": 2}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        StaticModel(np.eye(3, dtype=np.float32), tokenizer).save_pretrained(str(tmp_path))
        encoder, why = pick_encoder(str(tmp_path))
        assert encoder is not None
        assert why == "asked for"
        assert len(encoder.version) == 16
        kept = dedupe(
            [prompt("fox fox"), prompt("fox"), prompt("dog")], threshold_of=lambda p: 0.9, encoder=encoder
        ).kept
        assert [p.text for p in kept] == ["fox fox", "dog"]

    def test_no_code_and_no_pickle_of_a_folder_is_run(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        import overt.scoring.encoders as encoders

        monkeypatch.setattr(encoders, "_installed", lambda module: True)
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        (tmp_path / "modules.json").write_text('[{"type": "mine.Module", "path": ""}]')
        (tmp_path / "mine.py").write_text("raise SystemExit('ran')")
        with pytest.raises(InputError, match=r"code of its own to be run: 'mine\.Module'"):
            pick_encoder(str(tmp_path))
        (tmp_path / "modules.json").write_text("{")
        with pytest.raises(InputError, match=r"no readable modules\.json"):
            pick_encoder(str(tmp_path))

    def test_weights_are_taken_as_safetensors_only(self, tmp_path: Path) -> None:
        pytest.importorskip("sentence_transformers", reason="needs the extra [local]")
        torch = pytest.importorskip("torch")
        from transformers import BertConfig, BertModel

        sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        model = BertModel(BertConfig(vocab_size=8, **sizes))
        model.save_pretrained(tmp_path)
        (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfox\ndog\ncat\n")
        (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
        encoder, _ = pick_encoder(str(tmp_path))
        assert encoder is not None
        assert encoder.encode(["fox"]).shape == (1, 8)
        (tmp_path / "model.safetensors").unlink()
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        with pytest.raises(InputError, match="does not load"):
            pick_encoder(str(tmp_path))

    def test_a_hub_that_is_away_is_known_at_once(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        # A port that takes connections and never says a word: the worst kind of away.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
            monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
            said = []
            assert least_wall_seconds(lambda: said.append(hub.hub_answers(patience=0.5)), 3) < 3
        answers, why = said[-1]
        assert not answers
        assert "127.0.0.1" in why

    def test_auto_falls_back_to_words_and_says_why(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import overt.scoring.encoders as encoders

        def none_cached(repo: str) -> Path:
            raise hub.NotCached(repo)

        monkeypatch.setattr(encoders, "cached_snapshot", none_cached)
        monkeypatch.setattr(encoders, "_installed", lambda module: False)
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        said = []
        assert least_wall_seconds(lambda: said.append(pick_encoder("auto")), 3.5) < 3.5
        encoder, why = said[-1]
        assert encoder is None
        assert "cannot be reached" in why
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert pick_encoder("auto") == (
            None,
            "minishlab/potion-base-8M cannot be had: HF_HUB_OFFLINE is set",
        )
        with pytest.raises(InputError, match="not in the Hub's cache"):
            pick_encoder("someone/some-encoder")
        assert capfd.readouterr() == ("", "")


def test_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys; import overt.scoring.dedupe, overt.scoring.encoders, overt.scoring.select, "
        "overt.scoring.diversity, overt.data.seeds, overt.data.export; "
        "heavy = ('numpy', 'torch', 'datasets', 'pyarrow', 'ray', 'jinja2'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    root = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    assert done.stdout.strip() == "[]", done.stderr
