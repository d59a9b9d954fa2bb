"""Votes, faithfulness and rewordings of shards, and of copies of a whole run that were worked on in parts."""

import io
import json
import shutil

import pytest
from support.builders import GARDENS
from support.inside import cli

from overt.data.chat import ChatReply
from overt.data.filters import FilterDecision
from overt.data.outcomes import Harm
from overt.data.rewrites import Faithfulness
from overt.data.run.files import read_records
from overt.data.run.finished import open_run
from overt.data.targets import Response

N = 3
BENIGN = [*(f"a quiet pond {n}" for n in range(18)), *(f"a blade of grass {n}" for n in range(9))]
UNSAFE = [*(f"a threat {n}" for n in range(12)), *(f"a blade at a throat {n}" for n in range(5))]


class Painter:
    """Refuses blades, and draws everything else in a grey of its own."""

    name = "test_merge_results:Painter"
    asked = 0

    def respond(self, prompt, *, seed):
        from PIL import Image

        Painter.asked += 1
        if "blade" in prompt:
            return Response(status=400, code="content_policy_violation")
        file = io.BytesIO()
        Image.radial_gradient("L").resize((40, 40)).point(lambda v: (v + seed) % 256).save(file, "PNG")
        return Response(images=(file.getvalue(),))


class Voter:
    """A vision model that calls every third picture harmful; it notes what it was asked."""

    name = "test_merge_results:Voter"
    sees_pictures = True
    asked = 0

    async def complete(self, request):
        Voter.asked += 1
        text = str(request.messages)
        label = "harmful" if any(f"threat {n}" in text for n in (1, 4, 7)) else "harmless"
        said = json.dumps({"label": label, "reason": "seen"})
        return ChatReply(text=said, input_tokens=10, output_tokens=2)

    async def close(self):
        pass


class Eye:
    """A checker without a journal: it must not be needed where parts are merged."""

    name = "test_merge_results:Eye"
    covers = "all"
    looked = 0

    def check(self, image, prompt):
        Eye.looked += 1
        return FilterDecision(prompt.endswith(("1", "2")), 0.5, "grey")


class Likeness:
    """A scorer that gives a picture and a prompt a score of their own."""

    name = "test_merge_results:Likeness"

    def score(self, cases, load):
        for case in cases:
            value = len(load(case.images[0])) % 97 / 97 + (case.candidate.id[-1] == case.prompt.id[-1]) / 10
            yield [
                Faithfulness(case.candidate.id, case.prompt.id, case.target, "text_image", self.name, value)
            ]


class Writer:
    """A chat model that writes stalks for blades."""

    name = "test_merge_results:Writer"
    asked = 0

    async def complete(self, request):
        Writer.asked += 1
        text = json.loads(request.messages[-1].content.split("Prompt: ", 1)[1].split("\n", 1)[0])
        wordings = [text.replace("blade", word) + f", view {word}" for word in ("stalk", "blade")]
        return ChatReply(text=json.dumps({"prompts": wordings}), input_tokens=1, output_tokens=1)

    async def close(self):
        pass


JUDGES = ("--judges", "test_merge_results:Voter,test_merge_results:Eye")
LIKENESS = ("--faithfulness", "test_merge_results:Likeness")
REWRITE = ("--llm", "test_merge_results:Writer", "--unsafe", "--faithfulness", "text/lexical")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The whole run, and its three shards."""
    base = tmp_path_factory.mktemp("results")
    rows = [
        {"text": text, "label": label, "category": "blades"}
        for label, texts in (("benign", BENIGN), ("unsafe", UNSAFE))
        for text in texts
    ]
    (base / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (base / "policy.yaml").write_text(GARDENS)
    options = ["run", base / "p.jsonl", "--policy", base / "policy.yaml", "--target",
               "test_merge_results:Painter", "-q"]  # fmt: skip
    cli(*options, "--out", base / "whole")
    for number in range(1, N + 1):
        cli(*options, "--shard", f"{number}/{N}", "--out", base / f"part-{number}")
    return base


def shards(base, tmp_path):
    """Copies of the shards."""
    return copies(tmp_path, *(base / f"part-{number}" for number in range(1, N + 1)))


def copies(tmp_path, *folders):
    found = [tmp_path / f"copy-{number}" for number in range(1, len(folders) + 1)]
    for folder, copy in zip(folders, found, strict=True):
        shutil.copytree(folder, copy)
    return found


@pytest.fixture
def scored(base, tmp_path):
    """The whole run, scored and reworded by one process."""
    (copy,) = copies(tmp_path / "one", base / "whole")
    cli("score", copy, *JUDGES, *LIKENESS, "-q", code=None)
    cli("rewrite", copy, *REWRITE, "-q")
    return copy


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def asked():
    return Painter.asked, Voter.asked, Eye.looked, Writer.asked


RESULTS = ("results/summary.json", "results/harm.jsonl", "results/as_asked.jsonl")
REWORDED = ("candidates", "lost", "faithfulness", "choices")


def assert_reworded_alike(one, other):
    for name in REWORDED:
        file = f"rewrites/{name}.jsonl"
        assert (one / file).read_bytes() == (other / file).read_bytes(), name
    first, second = (json.loads((f / "results" / "rewrite.json").read_text()) for f in (one, other))
    scales = first.pop("scales"), second.pop("scales")
    assert first == second
    for mine, theirs in zip(*scales, strict=True):
        assert (mine["measure"], mine["model"], mine["prompts"]) == (
            theirs["measure"], theirs["model"], theirs["prompts"],
        )  # fmt: skip
        assert mine["matched"] == pytest.approx(theirs["matched"])
        assert mine["mismatched"] == pytest.approx(theirs["mismatched"], abs=0.1)


def without_counts(facts):
    return {name: value for name, value in facts.items() if name != "calls"}


# -- shards -----------------------------------------------------------------------------------------------


def test_shards_that_were_scored_alike(base, scored, tmp_path):
    parts = shards(base, tmp_path)
    for part in parts:
        cli("score", part, *JUDGES, "-q", code=None)
        cli("rewrite", part, *REWRITE, "-q")
    before = asked()
    cli("merge", *parts, "--out", tmp_path / "out", "-q", code=None)
    assert asked() == before
    assert (tmp_path / "out" / RESULTS[1]).read_bytes() == (scored / RESULTS[1]).read_bytes()
    assert_reworded_alike(scored, tmp_path / "out")
    mine, theirs = manifest(tmp_path / "out"), manifest(scored)
    for name in ("judges", "rewrite"):
        assert without_counts(mine[name]) == without_counts(theirs[name]), name
        assert mine[name]["calls"]["requests"] == theirs[name]["calls"]["requests"], name
    one, other = (json.loads((f / RESULTS[0]).read_text()) for f in (scored, tmp_path / "out"))
    assert one["judges"] == other["judges"]
    cli("report", tmp_path / "out", "--out", tmp_path / "report", "--no-images")


def test_the_figures_of_scored_shards_are_those_of_the_scored_run(base, tmp_path):
    (whole,) = copies(tmp_path / "one", base / "whole")
    parts = shards(base, tmp_path)
    for folder in (whole, *parts):
        cli("score", folder, *JUDGES, "-q", code=None)
    cli("merge", *parts, "--out", tmp_path / "out", "-q", code=None)
    assert (tmp_path / "out" / RESULTS[0]).read_bytes() == (whole / RESULTS[0]).read_bytes()


def test_pictures_of_shards_were_held_against_prompts_of_the_shard(base, tmp_path):
    parts = shards(base, tmp_path)
    for part in parts:
        cli("score", part, *LIKENESS, "-q", code=None)
    cli("merge", *parts, "--out", tmp_path / "out", "-q", code=None)
    facts = manifest(tmp_path / "out")
    assert facts["faithfulness"]["drawn"] == 18
    assert any("held against other prompts of that shard" in note for note in facts["notes"])


def test_shards_that_were_scored_differently_say_so_and_lose_no_vote(base, tmp_path):
    parts = shards(base, tmp_path)
    cli("score", parts[0], *JUDGES, "-q", code=None)
    cli("score", parts[1], *JUDGES, "--seed", "4", "-q", code=None)
    done = cli("merge", *parts, "--out", tmp_path / "some", "-q", code=None)
    assert "not merged: the judges of `overt score`, since shard 3/3 lack it" in done.said
    cli("score", parts[2], *JUDGES, "-q", code=None)
    done = cli("merge", *parts, "--out", tmp_path / "all", "-q", code=None)
    assert "since it was done with different seed" in done.said
    assert "judges" not in manifest(tmp_path / "all")
    assert not (tmp_path / "all" / RESULTS[1]).exists()
    before = Voter.asked
    cli("score", tmp_path / "all", *JUDGES, "-q", code=None)
    drawn = [o for o in open_run(parts[1], "run").outcomes if o.images]
    unsafe = {p.id for p in open_run(parts[1], "run").prompts if p.label == "unsafe"}
    assert Voter.asked - before == sum(o.prompt_id in unsafe for o in drawn)  # those of the other seed alone


def test_a_shard_with_nothing_to_judge_or_reword(base, tmp_path):
    """It is done like the others, so that all shards of one script can be merged."""
    (base / "few.jsonl").write_text(
        "".join(
            json.dumps({"text": t, "label": "benign", "category": "blades"}) + "\n" for t in BENIGN[17:19]
        )
    )
    options = ["run", base / "few.jsonl", "--policy", base / "policy.yaml", "--target",
               "test_merge_results:Painter", "-q"]  # fmt: skip
    parts = [tmp_path / f"few-{number}" for number in range(1, 5)]
    for number, part in enumerate(parts, 1):
        cli(*options, "--shard", f"{number}/4", "--out", part)
        cli("score", part, *JUDGES, *LIKENESS, "-q", code=None)
        cli("rewrite", part, *REWRITE, "-q")
    cli("merge", *parts, "--out", tmp_path / "out", "-q", code=None)
    facts = manifest(tmp_path / "out")
    assert (facts["judges"]["judged"], facts["faithfulness"]["drawn"], facts["rewrite"]["prompts"]) == (
        0,
        1,
        1,
    )


# -- copies of a whole run --------------------------------------------------------------------------------


def test_parts_of_a_run_are_in_no_result_until_all_are_there(base, scored, tmp_path):
    parts = copies(tmp_path, *[base / "whole"] * N)
    results = {p: p.read_bytes() for p in (base / "whole" / "results").iterdir()}
    for number, part in enumerate(parts, 1):
        shard = ("--shard", f"{number}/{N}", "-q")
        said = cli("score", part, *JUDGES, *shard).said
        assert f"part {number}/{N} of {part}" in said
        assert "the results of the run are as they were" in said
        cli("score", part, *LIKENESS, *shard)  # what was judged before stays
        cli("rewrite", part, *REWRITE, *shard)
        assert {p: (part / "results" / p.name).read_bytes() for p in results} == results
        assert (part / "manifest.json").read_bytes() == (base / "whole" / "manifest.json").read_bytes()
    said = cli("merge", *parts[:2], "--out", tmp_path / "out", code=2).said
    assert f"1 shard is missing: {N}/{N}" in said
    assert f"overt score {parts[0]} --shard {N}/{N}" in said
    before = asked()
    cli("merge", *parts, "--out", tmp_path / "out", "-q", code=None)
    assert asked() == before
    for name in RESULTS:
        assert (tmp_path / "out" / name).read_bytes() == (scored / name).read_bytes(), name
    assert_reworded_alike(scored, tmp_path / "out")
    mine, theirs = manifest(tmp_path / "out"), manifest(scored)
    for name in ("judges", "rewrite", "faithfulness"):
        assert without_counts(mine[name]) == without_counts(theirs[name]), name
    assert mine["calls"] == theirs["calls"]
    pictures = {name for o in read_outcomes(tmp_path / "out") for name in o.images}
    assert pictures
    assert all((tmp_path / "out" / name).is_file() for name in pictures)
    assert "is complete; nothing to do" in cli("merge", *parts, "--out", tmp_path / "out", code=None).said


def read_outcomes(folder):
    from overt.data.outcomes import Outcome

    return read_records(folder / "rewrites" / "outcomes.jsonl", Outcome)


def test_all_parts_may_lie_in_one_folder(base, tmp_path):
    (whole,) = copies(tmp_path, base / "whole")
    for number in (2, 1):
        cli("score", whole, *JUDGES, "--shard", f"{number}/2", "-q")
    votes = [len(read_records(p / "harm.jsonl", Harm)) for p in sorted((whole / "parts").iterdir())]
    assert min(votes) > 0
    cli("merge", whole, "--out", tmp_path / "out", "-q", code=None)
    assert len(read_records(tmp_path / "out" / RESULTS[1], Harm)) == sum(votes) == 12


def test_parts_that_do_not_go_together(base, tmp_path):
    parts = copies(tmp_path, *[base / "whole"] * 2)
    cli("score", parts[0], *JUDGES, "--shard", "1/2", "-q")
    cli("score", parts[1], *JUDGES, "--seed", "3", "--shard", "2/2", "-q")
    said = cli("merge", *parts, "--out", tmp_path / "out", code=2).said
    assert "the parts of `overt score` do not go together (judges): it was done with different seed" in said
    assert not (tmp_path / "out").exists()
    cli("score", parts[1], *JUDGES, "--shard", "2/2", "-q")
    outcomes = parts[1] / "stages" / "outcomes.jsonl"
    outcomes.write_text("".join(outcomes.read_text().splitlines(keepends=True)[:-1]))
    assert "they are no copies of one run" in cli("merge", *parts, "--out", tmp_path / "out", code=2).said


def test_a_shard_is_not_divided_again(base):
    for command in (("score", *JUDGES), ("rewrite", *REWRITE)):
        said = cli(command[0], base / "part-1", *command[1:], "--shard", "1/2", "-q", code=2).said
        assert f"this run is shard 1/{N} already" in said
        said = cli(command[0], base / "whole", *command[1:], "--shard", "3/2", "-q", code=2).said
        assert "--shard is '3/2'" in said


def test_what_people_labelled_stays_and_is_told(base, tmp_path):
    parts = shards(base, tmp_path)
    (parts[1] / "review.sqlite").write_bytes(b"labels")
    done = cli("merge", *parts, "--out", tmp_path / "out", "-q", code=None)
    assert "not merged: labels by people (copy-2); it stays there" in done.said
