"""Runs whose prompts carry a picture or earlier turns, from the command line to the report."""

import json

import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.commands import by_text, outcomes, overt
from support.scripted import serving

from overt.data.prompts import read_prompts
from overt.data.records import Prompt
from overt.data.run.files import read_records
from overt.report.page_data import earlier
from overt.review.population import read_frame

CLASSES = """
import io
from PIL import Image
from overt.data.targets import Response

def drawn(seed):
    buffer = io.BytesIO()
    Image.effect_noise((40, 40), 80).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()

class Editor:
    name = "acme/editor"
    takes = ("picture",)

    def respond(self, prompt, *, seed, picture=None):
        with open("seen.log", "a") as log:
            log.write(f"{prompt}|{len(picture or b'')}\\n")
        return Response(images=(drawn(seed),))

class Painter:
    name = "acme/painter"

    def respond(self, prompt, *, seed):
        with open("seen.log", "a") as log:
            log.write(prompt)
        return Response(images=(drawn(seed),))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "acme.py").write_text(CLASSES)
    for name, shade in (("a.png", 90), ("b.png", 20)):
        Image.effect_noise((32, 32), shade).save(tmp_path / name)
    rows = [
        {
            "text": f"put a knife there, number {n}",
            "label": label,
            "category": "violence",
            "pair_id": f"pair-{n}",
        }
        for n in range(6)
        for label in ("benign", "unsafe")
    ]
    for n, row in enumerate(rows):
        row["text"] += ", please" if row["label"] == "unsafe" else ""
        if n < 2:
            row["input_image"] = "a.png"
    (tmp_path / "edits.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def prompts(run):
    return read_records(run / "stages" / "prompts.jsonl", Prompt)


def test_every_prompt_gets_a_picture_and_a_resume_sends_nothing(folder):
    run = folder / "r"
    arguments = ("run", "edits.jsonl", "--target", "acme:Editor", "--picture", "b.png", "--out", run)
    overt(*arguments, cwd=folder)
    seen = (folder / "seen.log").read_text().splitlines()
    sizes = {(folder / name).stat().st_size for name in ("a.png", "b.png")}
    assert len(seen) == 12
    assert {int(line.rpartition("|")[2]) for line in seen} == sizes
    for prompt in prompts(run):
        assert (run / prompt.image).is_file()
    (run / "manifest.json").unlink()
    overt("run", "--resume", run, cwd=folder)
    assert (folder / "seen.log").read_text().splitlines() == seen
    assert len(outcomes(run)) == 12
    overt("report", run, cwd=folder)
    # The picture is part of what the run is.
    Image.effect_noise((32, 32), 5).save(folder / "b.png")
    done = overt(*arguments, cwd=folder, code=2)
    assert "pictures" in done.stderr


def test_a_target_that_takes_none_is_told_before_anything_is_asked(folder):
    done = overt("run", "edits.jsonl", "--target", "acme:Painter", "--out", folder / "r", code=2, cwd=folder)
    assert "2 of the 12 prompts carry a picture" in done.stderr
    assert not (folder / "seen.log").exists()
    assert not (folder / "r").exists()
    (folder / "words.txt").write_text("knife\n")
    done = overt("run", "edits.jsonl", "--target", "filter/keywords?path=words.txt", code=2, cwd=folder)
    assert "takes none" in done.stderr


def test_a_product_hands_the_picture_on(folder):
    (folder / "words.txt").write_text("number 3\n")
    run = folder / "r"
    overt(
        *("run", "edits.jsonl", "--filter", "filter/keywords?path=words.txt", "--target", "acme:Editor"),
        *("--picture", folder, "--out", run),
        cwd=folder,
    )
    states = {text: (o.state, o.stage) for text, o in by_text(run).items()}
    assert states["put a knife there, number 3"] == ("refused", "prompt_filter")
    assert states["put a knife there, number 2"] == ("generated", None)
    assert all(not line.endswith("|0") for line in (folder / "seen.log").read_text().splitlines())


def test_a_language_model_gets_the_picture_and_what_was_said_before(folder):
    rows = [
        {"text": "is this a weapon?", "label": "benign", "input_image": "a.png"},
        {
            "text": "and how do I kill it?",
            "label": "benign",
            "turns": [
                {"role": "user", "content": "a process hangs"},
                {"role": "assistant", "content": "I can help."},
            ],
        },
    ]
    (folder / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = []

    def answer(request):
        asked.append(request.json["messages"])
        said = {"role": "assistant", "content": "With the command kill and its number."}
        return 200, {}, {"choices": [{"message": said, "finish_reason": "stop"}]}

    with serving(answer) as server:
        overt(
            *("run", "chat.jsonl", "--policy", "chat_assistant", "--target", "openai/m"),
            *("--base-url", server.url, "--out", folder / "r"),
            cwd=folder,
        )
    by_length = sorted(asked, key=len)
    (seeing,) = by_length[0]
    assert {part["type"] for part in seeing["content"]} == {"text", "image_url"}
    assert [turn["role"] for turn in by_length[1]] == ["user", "assistant", "user"]
    assert by_length[1][0]["content"] == "a process hangs"
    assert {o.state for o in outcomes(folder / "r")} == {"generated"}


def test_a_rewrite_keeps_the_picture(folder):
    (folder / "words.txt").write_text("knife\n")
    run = folder / "r"
    overt(
        *("run", "edits.jsonl", "--filter", "filter/keywords?path=words.txt", "--target", "acme:Editor"),
        *("--picture", "b.png", "--out", run),
        cwd=folder,
    )
    assert {o.state for o in outcomes(run)} == {"refused"}
    overt("rewrite", run, cwd=folder)
    overt("explain", run, "--max-prompts", "2", cwd=folder, code=None)
    seen = (folder / "seen.log").read_text().splitlines()
    assert seen
    assert all("knife" not in line and not line.endswith("|0") for line in seen)


@pytest.fixture
def carrying(folder):
    """A run of prompts of which some carry a picture, and one goes on with a conversation."""
    said = {"role": "user", "content": "<b>earlier</b> words"}
    rows = [
        {"text": "with a picture", "label": "benign", "input_image": "a.png"},
        {"text": "with turns", "label": "benign", "turns": [said]},
        {"text": "with nothing", "label": "benign"},
    ]
    (folder / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def answer(request):
        said = {"role": "assistant", "content": "Of course: here it is."}
        return 200, {}, {"choices": [{"message": said, "finish_reason": "stop"}]}

    run = folder / "runs" / "r"
    with serving(answer) as server:
        overt(
            *("run", "chat.jsonl", "--policy", "chat_assistant", "--target", "openai/m"),
            *("--base-url", server.url, "--out", run),
            cwd=folder,
        )
    return run


def test_what_prompts_carry_is_published_and_read_again(carrying):
    overt("publish", carrying, "--repo", "a/chat", "--dry-run", cwd=carrying.parent)
    (file,) = (carrying / "publish" / "chat").rglob("*.parquet")
    rows = {row["prompt"]: row for row in pq.read_table(file).to_pylist()}
    assert rows["with a picture"]["input_image"]["bytes"]
    assert rows["with nothing"]["input_image"] is None
    assert rows["with turns"]["turns"] == [{"role": "user", "content": "<b>earlier</b> words"}]
    assert rows["with nothing"]["turns"] == []
    again = {p.text: p for p in read_prompts([f"{file}:prompt"]).prompts}
    assert again["with a picture"].image
    assert again["with turns"].turns[0].content == "<b>earlier</b> words"
    card = (carrying / "publish" / "chat" / "README.md").read_text()
    assert "`input_image`" in card
    assert "`turns`" in card


def test_what_prompts_carry_is_shown_to_whoever_reads_the_answers(carrying):
    of = {p.text: p for p in prompts(carrying)}
    # The report.
    overt("report", carrying, cwd=carrying.parent)
    page = (carrying / "report" / "index.html").read_text()
    rows = json.loads(page.partition('id="rows"')[2].partition(">")[2].partition("</script>")[0])
    shown = {text: (given, before) for _, text, _, _, _, given, before in rows["prompts"]}
    assert shown["with a picture"] == ([[0], 0, 0], "")
    assert rows["images"][0].startswith("data:image/webp")
    assert shown["with turns"] == ([[], 0, 0], earlier(of["with turns"]))
    assert "<b>earlier" not in page
    # The review.
    seen = {s.shown["prompt"]: s.shown for s in read_frame(carrying).subjects["outcomes"]}
    assert seen["with a picture"]["given"] == [of["with a picture"].image]
    assert seen["with turns"]["earlier"] == "user: <b>earlier</b> words"
    assert not {"given", "earlier"} & set(seen["with nothing"])


def test_an_export_for_another_harness_says_that_it_takes_none(carrying):
    done = overt(
        *("export", carrying, "--format", "promptfoo", "--out", carrying.parent / "x"),
        cwd=carrying.parent,
        code=2,
    )
    assert "1 of the 3 prompts carry a picture" in done.stderr
    assert "Name a target" not in done.stderr
