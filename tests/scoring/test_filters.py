"""The built-in text filters: what they block, and that the quick ways say what the slow ones say."""

import random

import pytest
from support.timing import least_cpu_seconds

from overt.data.errors import InputError
from overt.data.filters import FilterDecision, TextFilter, decide_all
from overt.registry import load_filter


@pytest.fixture
def listed(tmp_path):
    def make(*lines):
        path = tmp_path / "words.txt"
        path.write_text("\n".join(lines), "utf-8")
        return load_filter(f"filter/keywords?path={path}")

    return make


@pytest.mark.parametrize(
    ("term", "text", "hit"),
    [
        ("kill", "KILL the lights", True),
        ("kill", "a killer whale", False),
        ("kill", "overkill", False),
        ("kill", "kill_switch", False),  # an underscore is a letter here, as in programs
        ("kill", "to-kill-list", True),
        ("kill switch", "a kill \n\t switch", True),
        ("Straße", "STRASSE", True),
        ("İstanbul", "İSTANBUL", True),
        ("café", "cafe\u0301 noir", True),
        ("cafe", "cafe\u0301 noir", False),
        ("ＢＯＭＢ", "a bomb", True),
        ("bomb", "a bo\u00admb", True),
        ("bomb", "a b\u200bomb", True),
        ("don't", "I don’t know", True),
        ("c++", "written in C++.", True),
        ("c++", "written in c+", False),
        ("c++", "abc++", False),
        ("@ss", "an @ss here", True),
        ("@ss", "me@ss.org", False),
        ("++", "a ++ b", True),
        ("暴力", "这是暴力的画面", True),
        ("爆弾", "手作りの爆弾です", True),
        ("ระเบิด", "มีระเบิดอยู่", True),
        ("бомба", "Бомба!", True),
        ("бомба", "бомбардир", False),
        ("बल", "बल है", True),
        ("बल", "बला है", False),  # a vowel sign belongs to its word
        ("قنبلة", "\u202eقنبلة\u202c", True),
        (".*", "anything", False),
        ("a|b", "a", False),
        ("x", "", False),
    ],
)
def test_keywords(listed, term, text, hit):
    assert listed(term).decide(text).blocked is hit


def test_keywords_says_which(listed):
    words = listed("# weapons", "", "  Kill  ", "kill switch", "Gun", "爆弾")
    assert words.decide("pull the kill switch").reason == "kill switch"
    assert words.decide("a gun, then kill").reason == "gun"
    assert words.decide("a gun next to 爆弾").reason == "gun"
    assert words.decide("爆弾 and a gun").reason == "爆弾"
    assert words.decide("nothing") == FilterDecision(False, None, "")
    assert words.decide("weapons # weapons") == FilterDecision(False, None, "")


def test_a_long_list_and_a_long_text_are_quick(listed):
    rng = random.Random(1)
    terms = ["".join(rng.choices("abcdefgh", k=7)) + f" x{n}" for n in range(50_000)]
    words = listed(*terms)

    def work():
        assert not words.decide(" ".join(term.split()[0] for term in terms[:20_000])).blocked
        assert words.decide("word " * 20_000 + terms[77]).reason == terms[77]

    assert least_cpu_seconds(work, 5) < 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the word list"),
        (b"\xff\xfe\x00", "cannot read the word list"),
        (b"# only a comment\n\n", "holds no term"),
        ("\u200b\n".encode(), "holds no term"),
    ],
)
def test_a_bad_list(tmp_path, content, words):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        load_filter(f"filter/keywords?path={path}")
    assert str(path) in error.value.message()


def test_a_byte_order_mark_and_any_line_ends(tmp_path):
    path = tmp_path / "w.txt"
    path.write_bytes("\ufeffbomb\r\ngun\r\n".encode())
    words = load_filter(f"filter/keywords?path={path}")
    assert [words.decide(t).blocked for t in ("bomb", "gun", "rose")] == [True, True, False]


def test_the_name_of_a_list_with_odd_characters(tmp_path):
    path = tmp_path / "a&b 100% ü?.txt"
    path.write_text("bomb")
    quoted = str(path).replace("%", "%25").replace("&", "%26")
    words = load_filter(f"filter/keywords?path={quoted}")
    assert load_filter(words.name).decide("bomb").blocked
    assert load_filter(words.name).name == words.name


# -- better-profanity ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def better():
    pytest.importorskip("better_profanity", reason="needs the extra [filters]")
    return load_filter("filter/better-profanity")


def disguised(rng, package, word):
    return "".join(rng.choice(package.CHARS_MAPPING.get(c, (c,))) for c in word)


def test_better_profanity_says_what_the_package_says(better):
    """On every word of its list, plain and disguised, on near misses, and on texts of several words."""
    from better_profanity import Profanity

    rng, package = random.Random(7), Profanity()
    words = sorted(str(w) for w in package.CENSOR_WORDSET)
    slow, quick = list(package.CENSOR_WORDSET), better._words
    near = [w + "x" for w in words[::9]] + [w[1:] for w in words[::9]] + ["", " ", "é", "*", "a*"]
    spelt = words + [disguised(rng, package, w) for w in words for _ in range(3)] + near
    assert [s in quick for s in spelt] == [s in slow for s in spelt]

    plain = ["a", "quick", "fox", "draws", "museum", "posters", "of", "an", "old", "knife", "in", "1944"]
    texts = []
    for _ in range(150):
        parts = [rng.choice(plain) for _ in range(rng.randint(1, 8))]
        if rng.random() < 0.6:
            word = disguised(rng, package, rng.choice(words))
            word = rng.choice([word, word.upper(), word[:2] + rng.choice(" _-./") + word[2:], word + "s"])
            parts.insert(rng.randint(0, len(parts)), word)
        texts.append(rng.choice([" ", "  ", ", ", "_", "\n"]).join(parts))
    ours = [better.decide(t).blocked for t in texts]
    assert ours == [package.contains_profanity(t) for t in texts]
    assert 20 < sum(ours) < 130


def test_better_profanity_names_the_word(better):
    assert better.decide("what the H3LL, damn") == FilterDecision(True, None, "h3ll")
    assert better.decide("a quiet harbour") == FilterDecision(False, None, "")


def test_a_later_packages_longer_disguises():
    """A disguise of two characters is no character class: such words are compared as they are."""
    varying = pytest.importorskip("better_profanity.varying_string", reason="needs the extra [filters]")
    from overt.scoring.filters.better_profanity import _Indexed

    words = _Indexed(
        [varying.VaryingString("awful", char_map={"w": ("w", "vv")}), varying.VaryingString("bad")]
    )
    assert [w in words for w in ("awful", "avvful", "bad", "avful", 5)] == [True, True, True, False, False]


def test_better_profanity_does_not_hoard_texts(better):
    import tracemalloc

    tracemalloc.start()
    for n in range(20):
        better.decide(f"{n}" + "a" * 50_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 500_000


def test_better_profanity_from_two_threads(better):
    from concurrent.futures import ThreadPoolExecutor

    texts = ["damn it", "oh hell", "a rose"] * 200
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(better.decide, texts)) == [better.decide(t) for t in texts]


# -- profanity-check ----------------------------------------------------------------------------------------


def test_profanity_check():
    package = pytest.importorskip("profanity_check", reason="needs the extra [filters]")
    texts = ["you idiot", "a quiet harbour", "what the hell is this crap", "", "stupid"]
    half, low = load_filter("filter/profanity-check"), load_filter("filter/profanity-check?threshold=0.2")
    assert [half.decide(t).blocked for t in texts] == [bool(x) for x in package.predict(texts)]
    scores = [half.decide(t).score for t in texts]
    assert scores == [float(x) for x in package.predict_prob(texts)]
    assert [low.decide(t).blocked for t in texts] == [score >= 0.2 for score in scores]
    assert sum(score >= 0.5 for score in scores) not in (0, len(texts))
    assert half.name == "filter/profanity-check?threshold=0.5"
    assert low.name == "filter/profanity-check?threshold=0.2"


# -- many at once -----------------------------------------------------------------------------------------


class Counting:
    name = "counting"

    def __init__(self):
        self.sizes = []

    def decide(self, text):
        return FilterDecision(len(text) > 3)

    def decide_many(self, texts):
        self.sizes.append(len(texts))
        return [self.decide(t) for t in texts]


def test_many_are_asked_in_chunks_and_lazily():
    counting = Counting()
    texts = ["x" * n for n in range(10)]
    assert list(decide_all(counting, iter(texts), chunk=4)) == [FilterDecision(n > 3) for n in range(10)]
    assert counting.sizes == [4, 4, 2]
    next(decide_all(counting, texts, chunk=4))
    assert counting.sizes == [4, 4, 2, 4]
    assert list(decide_all(counting, [])) == []


def test_a_batch_that_loses_a_text_is_found_out():
    counting = Counting()
    counting.decide_many = lambda texts: [FilterDecision(True)]
    with pytest.raises(ValueError, match="counting: 2 texts, 1 decisions"):
        list(decide_all(counting, ["a", "b"]))


def test_the_protocol_is_checked_at_run_time():
    assert isinstance(Counting(), TextFilter)
