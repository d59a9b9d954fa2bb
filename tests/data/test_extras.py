"""What a prompt carries beside its text: pictures and earlier turns, from every kind of table."""

import base64
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from overt.calls.target_channel import TargetChannel, TargetRequest
from overt.data.asked import prompts_to_ask
from overt.data.errors import InputError
from overt.data.prompts import read_prompts
from overt.data.records import Prompt, Turn, from_json, prompt_id, to_json
from overt.data.run.images import ImageStore
from overt.data.tables.extras import illustrated, read_pictures


def picture(shade=7, size=(32, 24)):
    buffer = io.BytesIO()
    noise = Image.effect_noise(size, 90).convert("RGB")
    noise.putpixel((0, 0), (shade, 1, 1))
    noise.save(buffer, "PNG")
    return buffer.getvalue()


DATA = picture()


def jsonl(folder, *rows):
    path = folder / "edits.jsonl"
    path.write_text("\n".join(json.dumps({"label": "benign", **row}) for row in rows))
    return str(path)


@pytest.mark.parametrize("form", ["file", "data address", "folder", "Parquet of the Hub", "Parquet of bytes"])
def test_a_picture_in_each_form(tmp_path, form):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(DATA)
    (tmp_path / "a.png").write_bytes(DATA)
    address = "data:image/png;base64," + base64.b64encode(DATA).decode()
    named = {"file": "a.png", "folder": "in/a.png", "data address": address}
    if form in named:
        source = jsonl(tmp_path, {"text": "add a knife", "input_image": named[form]})
    else:
        value = {"bytes": DATA, "path": "a.png"} if "Hub" in form else DATA
        table = pa.Table.from_pylist([{"text": "add a knife", "label": "benign", "input_image": value}])
        source = str(tmp_path / "edits.parquet")
        pq.write_table(table, source)
    loaded = read_prompts([source])
    (prompt,) = loaded.prompts
    assert loaded.pictures == {prompt.image: DATA}
    assert prompt.image == ImageStore(tmp_path / "run").put(DATA)
    assert prompt.id == prompt_id("add a knife", prompt.image) != prompt_id("add a knife")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("gone.png", "cannot be read"),
        ("../outside.png", "leads out of the folder"),
        ("/etc/hostname", "leads out of the folder"),
        ("https://example.org/a.png", "not fetched"),
        ("data:image/png;base64,????", "not base64"),
        ("broken.png", "cannot be read"),
        ("page.png", "cannot be read"),
        (17, "no picture"),
    ],
)
def test_what_is_no_picture_is_told_with_its_line(tmp_path, value, said):
    (tmp_path / "table").mkdir()
    (tmp_path / "outside.png").write_bytes(DATA)
    (tmp_path / "table" / "broken.png").write_bytes(DATA[:40])
    (tmp_path / "table" / "page.png").write_text("<html>")
    with pytest.raises(InputError) as caught:
        read_prompts([jsonl(tmp_path / "table", {"text": "one"}, {"text": "two", "input_image": value})])
    assert said in caught.value.what
    assert "line 2" in caught.value.where
    assert "input_image" in caught.value.where


def test_a_link_that_leads_out_is_not_followed(tmp_path):
    (tmp_path / "table").mkdir()
    (tmp_path / "outside.png").write_bytes(DATA)
    (tmp_path / "table" / "a.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InputError, match="leads out"):
        read_prompts([jsonl(tmp_path / "table", {"text": "one", "input_image": "a.png"})])


TURNS = (Turn("user", "I have a process"), Turn("assistant", "Good."))


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "I have a process"}, {"role": "assistant", "content": "Good."}],
        [{"from": "human", "value": "I have a process"}, {"from": "gpt", "value": "Good."}],
        ["I have a process", "Good."],
        json.dumps(["I have a process", "Good."]),
    ],
)
def test_turns_in_each_form(tmp_path, value):
    # The first row has no such column: rows of JSONL may lack what not all of them carry.
    loaded = read_prompts(
        [jsonl(tmp_path, {"text": "how are you"}, {"text": "and kill it?", "turns": value})]
    )
    alone, follows = loaded.prompts
    assert alone.turns is None
    assert alone.id == prompt_id("how are you")
    assert follows.turns == TURNS
    assert follows.id == prompt_id("and kill it?", None, TURNS)
    assert from_json(Prompt, json.loads(json.dumps(to_json(follows)))) == follows


@pytest.mark.parametrize(
    "value", ["[not json", [{"role": "tool", "content": "x"}], [{"role": "user"}], 3, "words"]
)
def test_what_are_no_turns_is_told(tmp_path, value):
    with pytest.raises(InputError) as caught:
        read_prompts([jsonl(tmp_path, {"text": "go on", "turns": value})])
    assert "line 1" in caught.value.where


def test_a_prompt_of_text_alone_is_what_it_was(tmp_path):
    (prompt,) = read_prompts([jsonl(tmp_path, {"text": "a knife on a table"})]).prompts
    assert prompt.id == "prompt-789d474b26736792"  # as in every earlier version
    assert not {"image", "turns"} & to_json(prompt).keys()
    channel = TargetChannel("a/b", object(), None, ImageStore(tmp_path))
    assert channel.plain(TargetRequest("a knife", 3, 0)) == {"prompt": "a knife", "seed": 3, "sample": 0}
    assert channel.plain(TargetRequest("a knife", 3, 0, "images/x.png")).keys() == {
        "prompt", "seed", "sample", "image"
    }  # fmt: skip


def made(text, **more):
    return Prompt(prompt_id(text), text, "violence", "benign", "direct", "w", "", **more)


def test_pairs_and_versions_get_the_same_picture(tmp_path):
    for n in range(5):
        (tmp_path / f"{n}.png").write_bytes(picture(n))
    (tmp_path / "notes.txt").write_text("no picture")
    names = sorted(read_pictures([str(tmp_path)]))
    assert len(names) == 5
    first = made("put a knife here", pair_id="pair-1")
    prompts = [
        first,
        made("put a bloody knife here", pair_id="pair-1"),
        made("put an old man's knife here", pair_id="pair-1", variant_of=first.id, group="age: old"),
        *(made(f"another {n}", pair_id=f"pair-x{n}") for n in range(40)),
    ]
    shown = illustrated(prompts, names)
    assert len({p.image for p in shown[:3]}) == 1
    assert shown[2].variant_of == shown[0].id != first.id
    assert {p.image for p in shown} == set(names)
    assert illustrated(shown, names) == shown  # a picture of its own stays
    assert illustrated(prompts, names) == shown


def test_a_folder_without_pictures_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match="no picture in this folder"):
        read_pictures([str(tmp_path)])
    with pytest.raises(InputError, match="no such picture"):
        read_pictures([str(tmp_path / "gone.png")])
    with pytest.raises(InputError, match="cannot be read"):
        read_pictures([str(Path(tmp_path) / "notes.txt")])


def test_a_picture_that_makes_two_prompts_one_is_asked_once(tmp_path):
    picture = tmp_path / "a.png"
    Image.effect_noise((24, 24), 60).save(picture)
    Image.effect_noise((24, 24), 10).save(tmp_path / "b.png")
    rows = [
        {"text": "add a knife", "label": "benign", "input_image": "a.png"},
        {"text": "add a knife", "label": "benign"},
    ]
    data = tmp_path / "rows.jsonl"

    def asked(*pictures):
        data.write_text("\n".join(map(json.dumps, rows)))
        return prompts_to_ask(
            (str(data),), suite=None, label=None, category=(), limit=None, pictures=tuple(map(str, pictures))
        )

    found = asked(picture)
    assert len(found.prompts) == len(found.pictures) == 1
    assert any("1 prompts stand" in note for note in found.notes)
    assert len(asked(tmp_path / "b.png").prompts) == 2
    rows[1]["label"] = "unsafe"
    with pytest.raises(InputError, match="labelled benign and unsafe"):
        asked(picture)
    # A picture that no prompt is given is no part of the run.
    rows[1:] = [{"text": "add a lamp", "label": "benign", "input_image": "b.png"}]
    assert set(asked(tmp_path / "b.png").pictures) == {p.image for p in asked().prompts}
    Image.effect_noise((24, 24), 33).save(tmp_path / "c.png")
    assert len(asked(tmp_path / "c.png").pictures) == 2
