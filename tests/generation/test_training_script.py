"""examples/train_refusal_tokens.py and the parts of benchmarks/refusal_tokens.py, on models of 30 kB."""

import json
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
from support.paths import ROOT, reference
from support.tiny_lm import TEMPLATE, build

from overt.data.answer_then_check import written
from overt.data.errors import InputError
from overt.data.records import Prompt
from overt.data.refusal_tokens import REFUSE, RESPOND, Tokens
from overt.data.refusal_tokens_file import SINGLE, read_tokens, write_tokens
from overt.data.results.calibration import BySide, TokenFacts
from overt.data.results.summary import Rate
from overt.data.splits import SPLITS, leaks
from overt.data.training import Example, Placed

torch = pytest.importorskip("torch", reason="needs the extra [local]")
pytest.importorskip("transformers", reason="needs the extra [local]")

pytestmark = pytest.mark.usefixtures("light_torch")

REFERENCE = reference("xstest", "xstest_prompts.csv")
STRIPS = TEMPLATE.replace("{{ m.content }}", "{{ m.content | trim }}")
EACH = Tokens(" [respond]", {"quiet_harbour": " [quiet harbour]", "picture": " [picture]"})


@pytest.fixture(scope="module")
def tools():
    """The script and the modules of the benchmark."""
    patch = pytest.MonkeyPatch()
    for folder in ("benchmarks", "examples"):
        patch.syspath_prepend(str(ROOT / folder))
    import refusal_tokens
    import resa
    import train_refusal_tokens
    import upper_layers

    yield SimpleNamespace(script=train_refusal_tokens, bench=refusal_tokens, upper=upper_layers, resa=resa)
    patch.undo()
    for name in ("refusal_tokens", "resa", "train_refusal_tokens", "upper_layers"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Folders of a model with two matrices, and of one whose input and output share theirs."""
    base = tmp_path_factory.mktemp("tiny")
    return {kind: str(build(base / kind, template=STRIPS, kind=kind)) for kind in ("llama", "gpt2")}


def row(prompt, answer):
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": answer}],
    }


# -- the script ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_new_rows_start_from_words_and_no_other_row_changes(tools, tiny, kind, tmp_path):
    tokenizer, model = tools.script.load(tiny[kind])
    before = [matrix.detach().clone() for matrix in tools.script.matrices(model)]
    assert len(before) == {"llama": 2, "gpt2": 1}[kind]
    known = len(tokenizer)
    ids = tools.script.add_tokens(model, tokenizer, EACH)
    assert sorted(ids.values()) == [known, known + 1, known + 2]
    words = tokenizer.encode("Sorry quiet harbour")
    assert len(set(words)) == 3
    for old, new in zip(before, tools.script.matrices(model), strict=True):
        assert torch.equal(old, new[:known])
        assert torch.allclose(new[ids["quiet_harbour"]], old[words].mean(0))
        assert not torch.allclose(new[ids["quiet_harbour"]], new[ids[RESPOND]])
    tools.script.save(model, tokenizer, tmp_path)
    again, loaded = tools.script.load(str(tmp_path))
    assert {name: again.encode(text) for name, text in EACH.all.items()} == {n: [i] for n, i in ids.items()}
    text = torch.tensor([[3, 4, ids[RESPOND]]])
    assert torch.equal(loaded(text).logits, model(text).logits)


def test_rows_at_the_mean_are_possible_to_see_what_that_does(tools, tiny):
    tokenizer, model = tools.script.load(tiny["gpt2"])
    mean = tools.script.matrices(model)[0].detach().mean(0)
    ids = tools.script.add_tokens(model, tokenizer, SINGLE, mean_start=True)
    for id_ in ids.values():
        assert torch.allclose(tools.script.matrices(model)[0][id_], mean)


def test_the_token_is_the_first_that_is_learnt_although_the_template_strips_answers(tools, tiny):
    tokenizer, model = tools.script.load(tiny["llama"])
    ids = tools.script.add_tokens(model, tokenizer, SINGLE)
    (one,) = tools.script.encoded([row("draw word3", " [refuse]quiet harbour")], tokenizer, 99)
    place = one["completion_mask"].index(1)
    assert one["input_ids"][place] == ids[REFUSE]
    assert one["input_ids"][-1] == tokenizer.eos_token_id
    assert sum(one["completion_mask"]) == 4 == len(one["completion_mask"]) - place
    opened = tokenizer.apply_chat_template(
        [{"role": "user", "content": "draw word3"}], add_generation_prompt=True, return_dict=False
    )
    assert one["input_ids"][:place] == opened
    (cut,) = tools.script.encoded([row("draw word3", " [refuse]quiet harbour")], tokenizer, place + 2)
    assert cut["input_ids"] == one["input_ids"][: place + 2]
    assert tools.script.encoded([row("draw word3", " [refuse]quiet")], tokenizer, place) == []


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_what_learns(tools, tiny, kind):
    tokenizer, model = tools.script.load(tiny[kind])
    if kind == "gpt2":  # its layers have another name
        model.get_decoder().layers = model.transformer.h
    ids = tools.script.add_tokens(model, tokenizer, SINGLE)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    body, matrix = tools.script.choose_weights(model, 1, list(ids.values()))
    optimizer = torch.optim.AdamW([*body, *matrix], lr=0.01, weight_decay=0.0)
    for _ in range(3):
        text = torch.tensor([[3, 4, ids[REFUSE], 5]])
        model(text, labels=text).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert any(".1." in name for name in changed), "the upper layer"
    assert not any(".0." in name for name in changed), "the lower layer"
    for old, new in zip(
        [before["lm_head.weight"], before["model.embed_tokens.weight"]]
        if kind == "llama"
        else [before["transformer.wte.weight"]],
        reversed(tools.script.matrices(model)),
        strict=True,
    ):
        rows = (old != new).any(1).nonzero().flatten().tolist()
        assert set(rows) <= set(ids.values())
        assert ids[REFUSE] in rows


def test_a_tokenizer_that_cuts_a_token_is_told(tools, tiny):
    tokenizer, model = tools.script.load(tiny["llama"])
    tokenizer.add_tokens = lambda *_, **__: 0
    with pytest.raises(InputError, match=r"cuts the token ' \[refuse\]' into 3 pieces"):
        tools.script.add_tokens(model, tokenizer, SINGLE)


def test_help_and_a_folder_without_rows(tools, tiny, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        tools.script.main(["--help"])
    assert ended.value.code == 0
    assert "--token-lr" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"no row of train\.jsonl can be used"):
        tools.script.main([str(tmp_path), tiny["llama"], "--out", str(tmp_path / "out")])
    (tmp_path / "tokens.json").write_text("{}")
    with pytest.raises(SystemExit, match="refusal-tokens"):
        tools.script.main([str(tmp_path), tiny["llama"], "--out", str(tmp_path / "out")])


@pytest.mark.parametrize("with_tokens", [True, False])
def test_two_steps_with_trl(tools, tiny, tmp_path, capsys, with_tokens):
    pytest.importorskip("trl", reason="needs the extra [train]")
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    if with_tokens:
        write_tokens(data / "tokens.json", SINGLE)
    begin = (" [respond]", " [refuse]") if with_tokens else ("", "")
    lines = [json.dumps(row(f"draw word{n}", f"{begin[n % 2]}quiet harbour")) for n in range(8)]
    (data / "train.jsonl").write_text("\n".join(lines), "utf-8")
    words = [
        str(data),
        tiny["llama"],
        "--out",
        str(out),
        "--batch",
        "4",
        "--epochs",
        "1",
        "--upper",
        "1",
        "--cpu",
    ]
    tools.script.main(words)
    said = capsys.readouterr().out
    assert "train: 8 rows" in said
    assert ("token mass where answers begin: 0." in said) == with_tokens
    assert (out / "model.safetensors").is_file()
    old, new = tools.script.load(tiny["llama"])[1], tools.script.load(str(out))[1]
    first, last = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
    assert torch.equal(old.get_parameter(first), new.get_parameter(first))
    assert not torch.equal(old.get_parameter(last), new.get_parameter(last))
    if with_tokens:
        assert read_tokens(out / "tokens.json") == SINGLE


# -- the benchmark ------------------------------------------------------------------------------------------


def rows_of(count=60):
    """Rows of both labels in three parts."""
    rows = []
    for n in range(count):
        label = ("benign", "unsafe")[n % 2]
        prompt = Prompt(f"o{n}", f"draw word{n}", f"c{n % 4}", label, "convert", "", "", pair_id=f"p{n // 2}")
        rows.append(
            Example(prompt, prompt.category, SPLITS[n // 2 % 3], "quiet harbour", "answer", "template")
        )
    return rows


def test_a_seed_trains_on_both_labels_and_on_nothing_that_is_held_out(tools):
    rows = rows_of()
    chosen = tools.bench.training_rows(rows, "validation", 20, seed=1)
    assert len(chosen) == len(set(chosen)) == 20
    assert sum(tools.bench.is_unsafe(rows[n]) for n in chosen) == 10
    assert {rows[n].split for n in chosen} == {"train", "test"}
    assert chosen != tools.bench.training_rows(rows, "validation", 20, seed=2)


def test_pairs_are_drawn_whole_by_category_and_part(tools):
    placed = [
        Placed(
            Prompt(f"{n}{label}", f"{n}{label}", "c", label, "convert", "", "", pair_id=f"p{n}"),
            f"c{n % 2}", "", f"k{n}", SPLITS[n % 3],
        )
        for n in range(24)
        for label in ("benign", "unsafe")[: 1 if n > 17 else 2]  # some have lost a side
    ]  # fmt: skip
    drawn = tools.bench.drawn_pairs(placed, 2)
    counts = Counter((one.split, one.category, one.prompt.label) for one in drawn)
    assert len(counts) == 12
    assert set(counts.values()) == {2}
    assert {one.prompt.pair_id for one in drawn} <= {f"p{n}" for n in range(18)}


def test_the_two_parts_are_the_whole_model(tools, tiny, tmp_path):
    """Rows in batches of several lengths through both parts give what the whole model gives alone, before and
    after training; and so does the saved folder."""
    tokenizer, model = tools.script.load(tiny["llama"])
    ids = tools.script.add_tokens(model, tokenizer, SINGLE)
    parts = tools.upper.Parts(model, tokenizer, ids, upper=1)
    texts = [
        (f"draw {'a picture ' * (n % 4)}word{n}", f"{SINGLE.all[(RESPOND, REFUSE)[n % 2]]}quiet")
        for n in range(20)
    ]
    kept = parts.run_lower(texts, 3)
    assert [one.ids[one.prompt] for one in kept] == [ids[(RESPOND, REFUSE)[n % 2]] for n in range(20)]
    upper = parts.fresh()

    def check(whole):
        shares = upper.shares(kept)
        for n, one in enumerate(kept):
            with torch.inference_mode():
                logits = whole(torch.tensor([one.ids[: one.prompt]])).logits[:, -1]
            alone = tools.script.token_shares(logits, ids)
            for name in ids:
                assert shares[name][n] == pytest.approx(float(alone[name]), rel=1e-3, abs=1e-6)
        return shares

    before = check(model)
    losses = upper.train(kept, epochs=6, lr=1e-2, token_lr=0.1, seed=0)
    assert losses[-1] < losses[0]
    whole = upper.assembled()
    after = check(whole)
    assert (after[REFUSE] + after[RESPOND]).mean() > (before[REFUSE] + before[RESPOND]).mean()
    tools.script.save(whole, tokenizer, tmp_path)
    check(tools.script.load(str(tmp_path))[1])
    assert parts.fresh().shares(kept)[REFUSE] == pytest.approx(before[REFUSE]), "a new seed starts anew"


def test_figures_of_hand_made_scores(tools, capsys, monkeypatch):
    import numpy as np

    bench = tools.bench
    rows = rows_of(20)
    p = np.array([0.8 if bench.is_unsafe(one) else 0.35 for one in rows])
    facts = [
        TokenFacts(refused_in_words=BySide(None, Rate(k, 4, k / 4, 0, 1)), answered_anyway=BySide())
        for k in (1, 3)
    ]
    found = iter(SimpleNamespace(targets=[SimpleNamespace(facts=one)]) for one in facts)
    monkeypatch.setattr(bench, "read_calibration", lambda run: next(found))
    bench.report([bench.Scored(0, rows, p, p + 0.1, 1 - p)], ["one", "other"])
    said = capsys.readouterr().out
    assert "| 0.3 | 0 | 10/10 1.00" in said
    assert "| 0.4 | 0 | 10/10 1.00 [" in said and "| 0/10 0.00 [" in said  # noqa: PT018
    assert "AUC of the token: mean of the seeds 1.000 (1.000)" in said
    assert "AUC of the baseline: mean of the seeds 0.000" in said
    assert "over-refusal <= 5%: threshold 0.800, benign refused 0.00" in said
    assert "forced to respond, refuses in words, unsafe: 4/8 0.50 [" in said


def test_rows_of_answer_then_check_are_in_form_and_agree_with_themselves(tools, capsys):
    rows = rows_of(8)
    answers = [written(tools.resa.checked(one)) for one in rows]
    answers[0] = answers[0].replace("</safety_check>", "")
    tools.resa.report(rows, answers)
    said = capsys.readouterr().out
    assert "well-formed: 7 of 8" in said
    assert "('unsafe', 'agrees'): 4" in said
    assert "('benign', 'malformed'): 1" in said
    sides = [tools.bench.is_unsafe(one) for one in tools.resa.drawn(rows, 4, 0)]
    assert sides == [False, False, True, True]


def test_a_model_without_tokens_learns_and_answers_in_batches(tools, tiny):
    """Answers in a batch filled on the left are those that each prompt gets alone."""
    tokenizer, model = tools.script.load(tiny["llama"])
    parts = tools.upper.Parts(model, tokenizer, {}, upper=1)
    kept = parts.run_lower([(f"draw word{n}", "quiet harbour") for n in range(8)], 9)
    upper = parts.fresh()
    losses = upper.train(kept, epochs=6, lr=1e-2, token_lr=0.0, seed=0)
    assert losses[-1] < losses[0]
    whole = upper.assembled()
    texts = ["draw word1", "draw a picture of the quiet harbour", "draw"]
    together = list(tools.upper.written_by(whole, tokenizer, texts, 4))
    assert together == [next(tools.upper.written_by(whole, tokenizer, [text], 4)) for text in texts]
    assert any(together)


@pytest.mark.skipif(REFERENCE is None, reason="no shared/reference/xstest above the tests")
def test_the_rows_of_the_reference_data(tools):
    rows = tools.bench.read_rows(REFERENCE.parents[1], pairs=3)
    pairs = [one for one in rows if not one.type]
    assert len(pairs) == 9 * 3 * 3 * 2
    assert {one.answer_by for one in pairs} == {"template answer@1", "template refusal@1"}
    xstest = [one for one in rows if one.type]
    assert len(xstest) > 440
    assert not any("template" in one.answer_by for one in xstest)
    assert not leaks(
        (one.split, (one.cluster, one.prompt.pair_id or "", one.prompt.id)) for one in rows if one.cluster
    )
