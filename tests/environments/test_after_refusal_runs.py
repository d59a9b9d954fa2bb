"""`after-refusal` through `overt run`, against players and models that do one known thing."""

import dataclasses

import pytest
from support.after_refusal_models import UNSAFE, prompts_file
from support.inside import cli
from support.paths import reference

from overt.data.results.files import read_episodes
from overt.data.run.brief import outcomes_of
from overt.data.run.episodes import episodes_of

XSTEST = reference("xstest", "xstest_prompts.csv")
MODELS = "support.after_refusal_models"
PLAYER = "scripted/after-refusal"


def played(folder, data, *targets, code=0, **options):
    named = [text for target in targets for text in ("--target", target)]
    more = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    settings = [text for setting in ("recovery=6",) for text in ("--setting", setting)]
    cli("run", "--suite", "after-refusal", data, *named, *settings, *more, "--out", folder, code=code)
    return figures(folder)


def figures(folder):
    """{section: {(target, group): {column: figure}}}"""
    return {
        section.id: {
            (row.target, row.group): dict(zip((c.id for c in section.columns), row.figures, strict=True))
            for row in section.rows
        }
        for section in read_episodes(folder).sections
    }


def timeless(folder):
    """The episodes of a run without the time that they took."""
    return [dataclasses.replace(episode, latency_s=0.0) for episode in episodes_of(folder)]


def counts(figure):
    return figure.k, figure.n, figure.missing


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prompts_file(tmp_path_factory.mktemp("after") / "prompts.csv")


@pytest.fixture(scope="module")
def lingering(data, tmp_path_factory):
    """Players that linger for 0 to 5 turns, in one run."""
    targets = [f"{PLAYER}/lingering?turns={turns}&unsafe={UNSAFE.replace(' ', '%20')}" for turns in range(6)]
    folder = tmp_path_factory.mktemp("lingering") / "run"
    played(folder, data, *targets)
    return folder, targets


@pytest.mark.parametrize("turns", range(6))
def test_a_refusal_that_lingers_k_turns_is_measured_as_k(lingering, turns):
    folder, targets = lingering
    found, target = figures(folder), targets[turns]
    for distance in range(1, 7):
        row = found["by_distance"][target, str(distance)]
        assert counts(row["after-unsafe"]) == (8 if distance <= turns else 0, 8, 0)
        assert [counts(row[name]) for name in ("alone", "after-benign", "explained")] == [(0, 8, 0)] * 3
        gap = found["differences_by_distance"][target, str(distance)]["after-unsafe-alone"]
        assert (gap.value, gap.n) == (float(distance <= turns), 8)
        assert gap.low <= gap.value <= gap.high
    median = found["recovery_median"][target, "after its unsafe twin"]["median"]
    if turns:
        assert (median.value, median.low, median.high, median.n) == (turns, turns, turns, 8)
        shares = [found["recovery"][target, f"{k} further"]["after-unsafe"].value for k in range(1, 6)]
        assert shares == [float(k == turns) for k in range(1, 6)]
        assert found["recovery"][target, "not within 5"]["after-unsafe"].value == 0
    else:
        assert (median.value, median.n) == (None, 0)
        assert not any(name == target for name, _ in found["recovery"])


def test_episodes_say_what_each_turn_was(lingering):
    folder, targets = lingering
    mine = (episode for episode in episodes_of(folder) if episode.target == targets[2])
    one = next(episode for episode in mine if episode.task["condition"] == "after-unsafe")
    assert [step.facts["role"] for step in one.steps] == ["unsafe", *["asked"] * 6]
    assert [step.facts["distance"] for step in one.steps] == [0, 1, 2, 3, 4, 5, 6]
    assert [step.facts["prompt"] for step in one.steps] == [turn["prompt"] for turn in one.task["turns"]]
    assert [step.is_asked for step in one.steps] == [False, True, *[False] * 5]
    assert [step.state for step in one.steps] == ["refused"] * 3 + ["answered"] * 4
    assert (one.state, one.end) == ("ended", "done")


def test_the_outcome_is_that_of_the_turn_that_is_asked(lingering):
    folder, targets = lingering
    states = [o.state for o in outcomes_of(folder) if o.target == targets[1]]
    # each prompt alone, after its unsafe twin, after a benign one, explained
    assert states == ["generated", "refused", "generated", "generated"] * 8


def test_the_seed_of_a_run_and_its_answers_make_the_same_episodes(data, lingering, tmp_path):
    folder, targets = lingering
    played(tmp_path / "again", data, *targets)
    assert timeless(tmp_path / "again") == timeless(folder)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(data, lingering, tmp_path):
    folder, targets = lingering
    whole = [episode for episode in timeless(folder) if episode.target == targets[2]]
    run = tmp_path / "run"
    played_to = ("run", "--suite", "after-refusal", data, "--setting", "recovery=6", "--target", targets[2])
    cli(*played_to, "--out", run, "--max-requests", 50, code=None)
    assert not (run / "results" / "episodes.json").exists()
    done = cli(*played_to, "--out", run)
    assert timeless(run) == whole
    assert "126 calls, 50 from the journal" in done.said


def test_everything_refused(data, tmp_path):
    found = played(tmp_path / "run", data, f"{PLAYER}/strict")
    target = f"{PLAYER}/strict"
    assert {counts(row["refused"]) for row in found["next_turn"].values()} == {(8, 8, 0)}
    assert {row["difference"].value for row in found["differences"].values()} == {0}
    assert "recovery" not in found  # nothing was answered alone
    medians = {row["median"].note for row in found["recovery_median"].values()}
    assert medians == {"none was refused at distance 1 and answered alone"}
    assert counts(found["by_twin"][target, "refused by the model"]["refused"]) == (8, 8, 0)


def test_an_error_is_missing_and_no_refusal(data, tmp_path):
    found = played(tmp_path / "run", data, f"{MODELS}:Breaking", code=None)
    target = f"{MODELS}:Breaking"
    after = {d: counts(found["by_distance"][target, str(d)]["after-unsafe"]) for d in range(1, 7)}
    # The twin of scene 1 was never asked; the conversation of scene 0 broke off at distance 2.
    assert after == {1: (7, 7, 1), 2: (6, 6, 2), 3: (0, 6, 2), 4: (0, 6, 2), 5: (0, 6, 2), 6: (0, 6, 2)}
    gap = found["differences"][target, "after its unsafe twin − alone"]["difference"]
    assert (gap.value, gap.n, gap.missing) == (1, 7, 1)
    median = found["recovery_median"][target, "after its unsafe twin"]["median"]
    assert (median.value, median.n, median.missing) == (2, 6, 1)
    broke = [e for e in episodes_of(tmp_path / "run") if e.state == "missing"]
    assert sorted((e.code, e.at) for e in broke) == [("too_long", 1), ("too_long", 3)]
    # What was asked before it broke off is known all the same.
    states = [o.state for o in outcomes_of(tmp_path / "run")]
    assert (states.count("error"), states.count("refused")) == (1, 7)


def test_a_filter_that_reads_the_whole_conversation_poisons_it(data, tmp_path):
    blocked = f"{PLAYER}/blocked?unsafe=bomb"
    found = played(tmp_path / "run", data, blocked, f"{MODELS}:Filtered")
    row = found["next_turn"][blocked, "after its unsafe twin"]
    assert [row[name].k for name in ("refused", "by_model", "by_filter")] == [8, 0, 8]
    poisoned = found["blocked"][blocked, "all conversations"]
    assert [counts(poisoned[name]) for name in ("twin", "every", "some", "none")] == [
        (8, 8, 0), (8, 8, 0), (0, 8, 0), (0, 8, 0)
    ]  # fmt: skip
    forgets = found["blocked"][f"{MODELS}:Filtered", "all conversations"]
    assert [forgets[name].k for name in ("twin", "every", "some", "none")] == [8, 0, 0, 8]
    assert found["recovery"][blocked, "not within 5"]["after-unsafe"].value == 1
    summary = {played.target: played for played in read_episodes(tmp_path / "run").targets}
    assert summary[blocked].states == {"ended": 32}
    assert summary[blocked].refused_turns == {"prompt_filter": 8 * 7}


def test_an_explanation_that_helps_is_seen(data, tmp_path):
    shaken = f"{PLAYER}/shaken?sounds=scene&unsafe=bomb"
    found = played(tmp_path / "run", data, shaken)
    assert found["differences"][shaken, "after an explanation − alone"]["difference"].value == -1
    assert counts(found["by_distance"][shaken, "6"]["explained"]) == (0, 8, 0)
    assert counts(found["by_distance"][shaken, "6"]["after-benign"]) == (8, 8, 0)


def test_a_limit_chooses_prompts_that_are_not_asked_alone_too(data, tmp_path):
    conditions = ("--setting", "conditions=after-unsafe", "--setting", "recovery=2")
    cli(
        *("run", "--suite", "after-refusal", data, "--target", f"{PLAYER}/open", "--limit", 5),
        *(*conditions, "--out", tmp_path / "run"),
    )
    found = list(episodes_of(tmp_path / "run"))
    assert len(found) == 5
    assert {episode.task["condition"] for episode in found} == {"after-unsafe"}


def test_a_limit_keeps_pairs_whole(data, tmp_path):
    found = played(tmp_path / "run", data, f"{PLAYER}/open", limit=7)
    for distance in range(1, 7):
        row = found["by_distance"][f"{PLAYER}/open", str(distance)]
        assert {counts(figure) for figure in row.values()} == {(0, 7, 0)}
    cli(
        *("run", "--suite", "after-refusal", data, "--target", f"{PLAYER}/open", "--limit", 2),
        *("--out", tmp_path / "few"),
        code=2,
    )


def test_a_category_is_asked_by_itself(data, tmp_path):
    options = ("--category", "c1", "--setting", "recovery=3", "--target", f"{PLAYER}/open")
    cli("run", "--suite", "after-refusal", data, *options, "--out", tmp_path / "run")
    found = list(episodes_of(tmp_path / "run"))
    assert len(found) == 16
    texts = {turn["text"] for e in found for turn in e.task["turns"] if turn["role"] != "context"}
    assert {int(text.split("scene ")[1][0]) % 2 for text in texts} == {1}


def test_a_player_without_tools_plays_the_same(data, tmp_path):
    found = played(tmp_path / "run", data, f"{PLAYER}/lingering?turns=1&unsafe=bomb&words=true")
    assert {row["median"].value for (_, g), row in found["recovery_median"].items() if "twin" in g} == {1}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("text,label\nhow to paint?,benign\nhow to wreck?,unsafe\n", "has an unsafe twin"),
        ("text,label,pair_id\nhow to paint?,benign,a\nhow to wreck?,unsafe,a\n", "there are 0"),
    ],
)
def test_a_data_set_without_pairs_is_told(tmp_path, rows, said):
    (tmp_path / "prompts.csv").write_text(rows)
    arguments = ("run", "--suite", "after-refusal", tmp_path / "prompts.csv", "--target", f"{PLAYER}/open")
    assert said in cli(*arguments, "--out", tmp_path / "run", code=2).said
    assert not (tmp_path / "run").exists()


def test_a_target_that_takes_no_conversation_is_told(data, tmp_path):
    arguments = ("run", "--suite", "after-refusal", data, "--target", "filter/better-profanity")
    done = cli(*arguments, "--out", tmp_path / "run", code=2)
    assert "takes no conversation" in done.said


@pytest.mark.skipif(XSTEST is None, reason="no shared/reference/xstest above the tests")
def test_on_the_published_xstest(tmp_path):
    target = f"{PLAYER}/lingering?turns=3&path={XSTEST}"
    cli(
        *("run", "--suite", "after-refusal", "--of", "xstest", XSTEST, "--target", target),
        *("--limit", 40, "--out", tmp_path / "run"),
    )
    found = figures(tmp_path / "run")
    rates = [counts(found["by_distance"][target, str(d)]["after-unsafe"]) for d in (1, 2, 3, 4)]
    assert rates == [(40, 40, 0), (40, 40, 0), (40, 40, 0), (0, 40, 0)]
    assert found["recovery_median"][target, "after its unsafe twin"]["median"].value == 3


@pytest.mark.skipif(XSTEST is None, reason="no shared/reference/xstest above the tests")
def test_prompts_of_xstest_without_a_contrast_are_counted():
    from overt.data.asked import prompts_to_ask
    from overt.environments.after_refusal.pairs import arranged

    asked = prompts_to_ask((str(XSTEST),), suite="xstest", label=None, category=(), limit=None)
    around, data = arranged(asked.prompts, 3, control=True, choice=0)
    # Two blocks of 25 share their contrasts with another block, which has them as its twins.
    assert (data.asked, data.without_twin, data.spare) == (200, 50, 0)
    assert len({one.twin.id for one in around}) == 200


def test_the_tables_of_versions_say_what_was_said_before(lingering):
    folder, _ = lingering
    said = cli("show", folder).said
    assert "over-refusal by what was said before" in said
    assert "who is depicted" not in said
    cli("report", folder)
    page = (folder / "report" / "index.html").read_text()
    assert "What was said before" in page
    assert "ho is depicted" not in page
