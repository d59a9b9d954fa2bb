"""The smallest edit of a prompt, found on targets whose rule is known; and the counting over prompts."""

import itertools
import random

import pytest
from support.builders import make_prompt

from overt.data.outcomes import Outcome, outcome_id
from overt.data.results.explanation import Cause, ExplainedTarget, Term
from overt.scoring.explain.changes import term_changes
from overt.scoring.explain.search import Found, Reply, Search
from overt.scoring.explain.terms import Asked, explained_target
from overt.scoring.explain.units import Swap, contains, edited, key_of, tokens_of, units_of
from overt.scoring.stats.unpaired import group_difference

# -- words ---------------------------------------------------------------------------------------------------


def cut(text, **more):
    return [text[unit.begin : unit.end] for unit in units_of(text, **more)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A man's gun, a sh1t-show.", ["A", "man's", "gun", "a", "sh1t", "show"]),
        ("f**k @ss C++ #gun $5", ["f**k", "@ss", "C++", "#gun", "$5"]),
        ("an AK-47 in 'quotes' don't", ["an", "AK", "47", "in", "quotes", "don't"]),
        ("画一把枪", ["画", "一", "把", "枪"]),
        ("चाकू से वार", ["चाकू", "से", "वार"]),
        ("a \N{PISTOL} x\u200bgun", ["a", "\N{PISTOL}", "x\u200bgun"]),
        ("... --- !!!", []),
        ("", []),
    ],
)
def test_words_are_what_a_filter_may_take_for_one(text, found):
    assert [text[a:b] for a, b in tokens_of(text)] == found


def test_terms_of_several_prompts_are_joined_by_folded_words():
    assert key_of("Kill-Switch") == key_of("kill  switch") == "kill switch"
    assert key_of("the GUN's") == "the gun"
    assert key_of("#Gun") == "gun"
    assert contains(key_of("A kill switch, red"), "kill switch")
    assert not contains(key_of("a skill switch"), "kill switch")
    assert not contains(key_of("begun"), "gun")


def test_what_is_taken_out_leaves_no_double_blanks_and_nothing_else_changes():
    text = "A red  gun, on a\ntable of wood."
    units = units_of(text)
    without = {text[u.begin : u.end]: edited(text, [u]) for u in units}
    assert without["gun"] == "A red , on a\ntable of wood." or without["gun"] == "A red, on a\ntable of wood."
    assert without["A"] == "red  gun, on a\ntable of wood."
    assert without["table"] == "A red  gun, on a\nof wood."
    assert without["wood"] == "A red  gun, on a\ntable of."
    assert edited(text, []) == text


def test_phrases_begin_at_punctuation_and_small_words():
    text = "An oil painting of a knight with a bloody sword over fallen enemies, at dusk"
    assert cut(text, granularity="spans") == [
        "An oil painting", "of a knight", "with a bloody sword", "over fallen enemies", "at dusk",
    ]  # fmt: skip
    assert cut("刀", granularity="spans") == ["刀"]


@pytest.mark.parametrize("granularity", ["words", "spans"])
def test_a_neutral_wording_is_one_unit_with_its_article(granularity):
    text = "a boy with a kill switch in hand"
    start = text.index("kill")
    swap = Swap(start - 2, start, start + len("kill switch"), "an off switch")
    units = units_of(text, granularity, [swap])
    (unit,) = [u for u in units if u.new]
    assert edited(text, [unit]) == "a boy with an off switch in hand"
    assert all(a.end <= b.begin for a, b in itertools.pairwise(units)), "units do not overlap"
    kept = [w for u in units if not u.new for w in text[u.begin : u.end].split()]
    assert kept == ["a", "boy", "with", "in", "hand"]


# -- the search ----------------------------------------------------------------------------------------------


def searched(text, decide, *, units=None, again=1, most=200, score=None, **more):
    """Runs a search on a target; `decide(text, draw)` gives a verdict, a Reply, or True for a refusal."""

    def reply(text, draw):
        said = decide(text, draw)
        if isinstance(said, Reply):
            return said
        return Reply(said if isinstance(said, str) else "refused" if said else "accepted", "list")

    search = Search(text, reply(text, 0), units or [units_of(text)], again=again, most=most, **more)
    asked = []
    steps, replies = search.steps(), None
    try:
        while True:
            trials = steps.send(replies)
            asked += trials
            replies = [reply(t.text, t.draw) for t in trials]
    except StopIteration:
        pass
    assert len(asked) == len(set(asked)), "nothing is asked twice"
    return search.found, asked


def listed(*terms):
    """A filter that blocks whole words and phrases."""

    def decide(text, draw):
        return any(contains(key_of(text), key_of(term)) for term in terms)

    return decide


def terms(found):
    return sorted(cause.term for cause in found.causes)


@pytest.mark.parametrize(
    ("text", "blocked", "expected"),
    [
        ("a man holds a gun at dusk", ["gun"], ["gun"]),
        ("a Gun, and a KNIFE beside the gun", ["gun", "knife"], ["Gun", "KNIFE", "gun"]),
        ("press the kill switch on the wall", ["kill switch"], ["kill switch"]),
        ("press the kill-switch on the wall", ["kill switch"], ["kill-switch"]),
        ("press the kill switch on the wall", ["kill switch", "kill"], ["kill"]),
        ("an ice pick and a kill switch", ["ice pick", "kill switch"], ["ice pick", "kill switch"]),
        ("one two three four five six", ["two three four"], ["two three four"]),
        ("gun at the start", ["gun"], ["gun"]),
        ("at the end a gun", ["gun"], ["gun"]),
        ("画一把枪在桌子上", ["枪"], ["枪"]),
        ("the man's gun's barrel", ["gun"], ["gun"]),
    ],
)
def test_a_word_list_is_found_again(text, blocked, expected):
    found, _ = searched(text, listed(*blocked))
    assert found.status == "explained"
    assert terms(found) == sorted(expected)
    assert all(text[c.start : c.end] == c.text and c.alone and c.layer == "list" for c in found.causes)
    assert not listed(*blocked)(found.edited, 0)


def test_every_edit_is_1_minimal():
    """On random filters: any of several sets of words, wherever they stand, suffices for a refusal."""
    chance = random.Random(7)
    words = [f"w{n}" for n in range(20)]
    for _ in range(60):
        sets = [set(chance.sample(words, chance.randint(1, 3))) for _ in range(chance.randint(1, 4))]

        def decide(text, draw, sets=sets):
            return any(one <= set(text.split()) for one in sets)

        found, asked = searched(" ".join(words), decide)
        assert found.status == "explained"
        taken = {cause.text for cause in found.causes}
        assert not decide(" ".join(w for w in words if w not in taken), 0)
        for word in taken:
            assert decide(" ".join(w for w in words if w not in taken - {word}), 0), "one too many"
        assert len(asked) == found.calls


def test_a_single_cause_among_many_words_takes_few_calls():
    text = " ".join(f"w{n}" for n in range(64))
    found, _ = searched(text, listed("w37"), again=0)
    assert terms(found) == ["w37"]
    assert found.calls < 30  # and not one for each of 64 words


def test_the_trigger_is_tried_first():
    found, asked = searched("a long prompt with a gun in it", listed("gun"), hints=["gun"], again=0)
    assert [trial.text for trial in asked] == ["a long prompt with a in it", "gun"]
    assert terms(found) == ["gun"]


def test_words_that_need_each_other_wherever_they_stand_are_named_in_context():
    def decide(text, draw):
        return {"teen", "beach"} <= set(text.split())

    found, _ = searched("a teen who walks all alone along the long beach", decide)
    assert found.status == "explained"
    assert len(found.causes) == 1, "either of the two"
    assert found.causes[0].alone is False
    assert found.causes[0].term in ("teen", "beach")


def test_a_gap_that_joins_its_neighbours_makes_no_cause():
    def decide(text, draw):  # as better-profanity does: words count joined too
        words = text.split()
        joined = {a + b for a, b in itertools.pairwise(words)}
        return "dummy" in words or "testis" in joined

    found, _ = searched("a crash test dummy is in a car", decide)
    assert terms(found) == ["dummy"]
    assert found.edited == "a crash test something is in a car"


def test_where_nothing_flips_it_says_so():
    found, _ = searched("a b c d", lambda text, draw: True)
    assert (found.status, found.causes) == ("nothing flips", ())
    found, _ = searched("gun", listed("gun"))
    assert found.status == "nothing flips", "an empty prompt cannot be asked"


def test_a_target_that_answers_at_random_is_unstable():
    chance = random.Random(1)
    statuses = []
    for n in range(40):
        text = f"a b c d e f g {n}"

        def decide(asked, draw, text=text):  # the run itself saw a refusal
            return (draw == 0 and asked == text) or chance.random() < 0.5

        statuses.append(searched(text, decide, again=4)[0].status)
    assert statuses.count("unstable") >= 36
    assert statuses.count("explained") <= 2


def test_a_flip_that_another_draw_takes_back_is_unstable():
    text = "a man holds a gun"

    def decide(asked, draw):
        return "gun" in asked or (draw > 0)

    found, _ = searched(text, decide, again=2)
    assert found.status == "unstable"


def test_an_error_is_never_a_flip():
    def decide(text, draw):
        return True if "gun" in text else "missing"

    found, _ = searched("a man holds a gun", decide, again=0)
    assert (found.status, found.causes) == ("unanswered", ())
    assert found.missing > 0


def test_the_unchanged_prompt_without_an_answer_is_not_searched():
    found, asked = searched("a man holds a gun", lambda text, draw: "missing" if draw else "gun" in text)
    assert (found.status, found.calls, len(asked)) == ("unanswered", 1, 1)


def test_an_error_where_a_word_is_put_back_leaves_it_open_whether_it_could_stay():
    def decide(text, draw):
        if "knife" in text and "gun" not in text:
            return "missing"
        return "gun" in text or "knife" in text

    found, _ = searched("a gun and a knife here", decide, again=0)
    assert found.status == "unanswered"
    assert {cause.text for cause in found.causes} >= {"gun", "knife"}


def test_what_the_floor_forbids_is_neither_asked_nor_a_flip():
    def decide(text, draw):
        return True if "gun" in text else "forbidden"

    found, _ = searched("a man holds a gun", decide, again=0)
    assert (found.status, found.missing) == ("not asked", 0)
    assert found.forbidden > 0


def test_a_prompt_has_so_many_calls_and_no_more():
    text = " ".join(f"w{n}" for n in range(40))
    decide = listed("w3", "w17", "w30")
    whole, _ = searched(text, decide)
    assert whole.status == "explained"
    for most in (1, 2, 5, 10):
        found, asked = searched(text, decide, most=most)
        assert found.status == "capped"
        assert len(asked) <= most
    # Only the names may be missing: the edit itself is known.
    found, asked = searched(text, decide, most=whole.calls - 1)
    assert (found.status, len(asked)) == ("explained", whole.calls - 1)
    assert {cause.text for cause in found.causes} == {"w3", "w17", "w30"}
    assert any(cause.alone is None for cause in found.causes)


def test_neutral_wordings_are_tried_before_words_are_taken_out():
    text = "a boy with a gun in hand"
    swap = Swap(text.index("a gun"), text.index("gun"), text.index("gun") + 3, "an umbrella")
    plans = [units_of(text, "words", [swap]), units_of(text)]
    found, _ = searched(text, listed("gun"), units=plans)
    (cause,) = found.causes
    assert (cause.text, cause.replaced_by, found.edited) == (
        "gun",
        "an umbrella",
        "a boy with an umbrella in hand",
    )
    found, _ = searched(text, listed("gun", "umbrella"), units=plans)
    (cause,) = found.causes
    assert (cause.text, cause.replaced_by, found.edited) == ("gun", "", "a boy with a in hand")


def test_scores_lead_the_search_and_every_fall_is_kept():
    weights = {"blood": 0.4, "gun": 0.3, "red": 0.05}

    def decide(text, draw):
        score = sum(weights.get(word, 0.01) for word in text.split())
        return Reply("refused" if score >= 0.6 else "accepted", "linear", score=score)

    text = "a red gun in the blood of a knight"
    found, _ = searched(text, decide)
    assert [cause.text for cause in found.causes] == ["blood"]
    falls = dict(found.falls)
    assert falls["blood"] == pytest.approx(0.4)
    assert falls["red"] == pytest.approx(0.05)
    assert found.score_after == pytest.approx(decide(text, 0).score - 0.4)


# -- over prompts --------------------------------------------------------------------------------------------


def rows_of(texts, refused, *, score=None):
    prompts = [make_prompt(text, pair_id=f"p{n // 2}") for n, text in enumerate(texts)]
    return [
        (p, Outcome(outcome_id("t", p.id, 0), p.id, "t", 0, "refused" if refused(p.text) else "generated",
                    score=score))
        for p in prompts
    ]  # fmt: skip


def test_terms_are_counted_over_prompts_with_their_layers():
    texts = [f"a gun number {n}" for n in range(12)] + [f"a quiet pond number {n}" for n in range(60)]
    texts += ["a gun and a knife"]
    rows = rows_of(texts, lambda text: "gun" in text or "knife" in text)
    found = []
    for prompt, outcome in rows:
        if outcome.state == "refused":
            words = [w for w in ("gun", "knife") if w in prompt.text]
            causes = tuple(
                Cause(0, 3, w.upper(), w.upper(), layer="list" if w == "gun" else "model", alone=True)
                for w in words
            )
            found.append((prompt, outcome, Found("explained", causes)))
    target = explained_target(Asked("t", "none", "remove", rows, found))
    gun, knife = target.terms
    assert (gun.term, gun.causes, gun.explained, gun.refused, gun.alone) == ("gun", 13, 13, 13, 13)
    assert (gun.rate.k, gun.rate.n, gun.rate_without.k) == (13, 13, 0)
    assert gun.difference.low_holm > 0.5
    assert gun.difference.p_holm < 0.001
    assert (knife.causes, knife.layers) == (1, {"model": 1})
    assert knife.difference.low_holm < 0 < knife.difference.high_holm, "one prompt proves nothing"
    assert target.layers == {"list": 13, "model": 1}
    assert target.statuses == {"explained": 13}


def test_only_what_is_explained_makes_terms():
    rows = rows_of(["a gun", "a pond"], lambda text: "gun" in text)
    (prompt, outcome), _ = rows
    cause = Cause(2, 5, "gun", "gun")
    for status in ("unstable", "unanswered", "capped", None):
        target = explained_target(
            Asked("t", "none", "remove", rows, [(prompt, outcome, Found(status, (cause,)))])
        )
        assert target.terms == ()
        assert target.statuses == {status or "not reached": 1}


def test_falls_of_the_score_are_means_over_prompts():
    rows = rows_of(["a gun", "the gun", "a pond"], lambda text: "gun" in text, score=0.8)
    cause = Cause(2, 5, "gun", "gun")
    found = [
        (prompt, outcome, Found("explained", (cause,), falls=[("gun", fall), ("a", 0.0)]))
        for (prompt, outcome), fall in zip(rows[:2], (0.5, 0.7), strict=True)
    ]
    target = explained_target(Asked("t", "none", "remove", rows, found))
    assert target.terms[0].score_fall.mean == pytest.approx(0.6)
    assert [row.word for row in target.falls] == ["gun", "a"]


def test_a_new_version_s_terms_are_told_with_what_they_refuse():
    texts = [f"a knife {n}" for n in range(5)] + ["a gun", "a pond"]
    old = rows_of(texts, lambda text: "gun" in text)
    new = rows_of(texts, lambda text: "knife" in text)

    def target(term):
        counts = {"causes": 1, "explained": 1, "refused": 1, "alone": 1, "rate": None, "rate_without": None}
        return ExplainedTarget(
            name="t", kind="none", benign=7, refused=1, tried=1, edit="remove",
            terms=(Term(term=term, key=term, **counts),),
        )  # fmt: skip

    prompts = [prompt for prompt, _ in old]
    sides = [(target(term), [o for _, o in rows]) for term, rows in (("gun", old), ("knife", new))]
    added, lost = term_changes(prompts, *sides)
    assert (added.term, added.added, added.prompts, added.refused_a, added.refused_b) == (
        "knife",
        True,
        5,
        0,
        5,
    )
    assert (lost.term, lost.added, lost.prompts, lost.refused_a, lost.refused_b) == ("gun", False, 1, 1, 0)


# -- the difference of two groups ----------------------------------------------------------------------------


def test_a_difference_by_hand():
    """8 of 10 against 20 of 100, no two rows in one cluster: Agresti and Caffo's by hand."""
    values = [1] * 8 + [0] * 2 + [1] * 20 + [0] * 80
    marks = [1] * 10 + [0] * 100
    found = group_difference(values, marks, range(110))
    assert found.difference == pytest.approx(0.6)
    assert found.centre == pytest.approx(9 / 12 - 21 / 102)
    inside, outside = 0.75 * 0.25 / 11, (21 / 102) * (81 / 102) / 101
    assert found.error == pytest.approx((inside + outside) ** 0.5)
    assert found.low < 0.6 < found.high
    assert found.low > 0.1


def test_interval_and_test_agree_and_clusters_cost():
    chance = random.Random(3)
    for _ in range(200):
        n = chance.randint(4, 60)
        marks = [1, 0] + [chance.randint(0, 1) for _ in range(n - 2)]
        values = [int(chance.random() < (0.7 if m else 0.3)) for m in marks]
        found = group_difference(values, marks, [chance.randint(0, 9) for _ in range(n)])
        for level in (0.8, 0.95, 0.99):
            low, high = found.at(level)
            assert (found.p_value < 1 - level) == (low > 0 or high < 0)
    values, marks = [1] * 20 + [0] * 100, [1] * 20 + [0] * 100
    alone = group_difference(values, marks, range(120))
    together = group_difference(values, marks, [0] * 20 + list(range(1, 101)))
    assert together.low < 0 < alone.low, "twenty prompts of one seed tell as much as one"
    with pytest.raises(ValueError, match="needs a row"):
        group_difference([1, 0], [1, 1], [0, 1])
