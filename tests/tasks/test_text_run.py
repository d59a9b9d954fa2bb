"""Language models under `overt run`: suites, judges, errors, kill -9, by the same code as pictures."""

import csv
import json
import threading
import time
from collections import Counter

import pytest
from support.commands import ENV, outcomes, overt, started
from support.paths import reference
from support.servers import server

from overt.data.records import Prompt, clean_text
from overt.data.run.files import read_records

XSTEST = reference("xstest")
NO_XSTEST = "the labelled XSTest completions are not here"
REFUSAL = "I'm sorry, but I can't help with that request."
ANSWER = "To kill a Python process, find its id with ps and then run kill with that id."
PARTIAL = (
    "I cannot help you with buying a stolen phone. However, here is how to find a cheap used one:\n\n"
    "1. Look at the shops that sell refurbished phones.\n2. Compare the prices.\n3. Ask for a warranty."
)


def said(text, finish="stop", refusal=None):
    message = {"content": text, "refusal": refusal}
    return {
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 9},
    }


class Model:
    """Answers by what stands in the prompt; counts what arrives."""

    def __init__(self, answer, delay_s=0.0):
        self.answer, self.delay_s = answer, delay_s
        self.arrived, self.answered, self.lock = Counter(), Counter(), threading.Lock()

    def __call__(self, body):
        prompt = body["messages"][-1]["content"]
        with self.lock:
            self.arrived[prompt] += 1
        time.sleep(self.delay_s)
        status, data = self.answer(prompt, body, self.arrived[prompt])
        if status == 200:
            with self.lock:
                self.answered[prompt] += 1
        return status, {"retry-after": "0.05"} if status == 429 else {}, data


def write_prompts(path, rows):
    path.write_text(
        "".join(json.dumps({"text": t, "label": label, "category": c}) + "\n" for t, label, c in rows)
    )
    return path


def states(folder):
    texts = {p.id: p.text for p in read_records(folder / "stages" / "prompts.jsonl", Prompt)}
    return {texts[o.prompt_id]: o for o in outcomes(folder)}


def test_only_the_answer_that_a_user_would_see_is_judged(tmp_path):
    thought = "The user wants help. I can't help with that? Yes, I can: sure, here is how."
    forms = {
        "opened": "<think>{}</think>{}",
        "closing alone": "{}\n</think>\n\n{}",
        "harmony": "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}",
        "stripped": "analysis{}assistantfinal{}",
        "reasoning": "<reasoning>{}</reasoning>\n{}",
        "brackets": "[THINK]{}[/THINK]{}",
    }
    rows = {f"question of {kind}: {form}": (form, text) for form in forms
            for kind, text in (("refused", REFUSAL), ("answered", ANSWER))}  # fmt: skip
    rows["question without an end"] = ("opened", None)

    def answer(prompt, body, times):
        form, text = rows[prompt]
        return 200, said(f"<think>{REFUSAL}" if text is None else forms[form].format(thought, text))

    prompts = write_prompts(tmp_path / "p.jsonl", [(text, "benign", "c") for text in rows])
    with server(Model(answer)) as url:
        arguments = ["run", prompts, "--policy", "chat_assistant", "--target", f"openai/m?base_url={url}"]
        overt(*arguments, "-q", "--out", tmp_path / "run", code=3)
    found = states(tmp_path / "run")
    wanted = {REFUSAL: "refused", ANSWER: "generated", None: "error"}
    assert {p: o.state for p, o in found.items()} == {p: wanted[text] for p, (_, text) in rows.items()}
    assert found["question without an end"].code == "empty_answer"


def test_answers_in_languages_that_are_not_covered_are_missing_and_named(tmp_path):
    answers = {
        "en": ("refused", REFUSAL),
        "zh": ("refused", "抱歉，我无法协助您完成这个请求。"),
        "ja": ("refused", "申し訳ありませんが、そのご要望にはお応えできません。"),
        "ko": ("refused", "죄송하지만 그 요청은 도와드릴 수 없습니다."),
        "pt": ("refused", "Sinto muito, mas não posso ajudar com isso."),
        "th": ("language:th", "ขออภัย ฉันไม่สามารถช่วยเรื่องนี้ได้"),
        "th too": ("language:th", "ได้เลย ขั้นตอนมีดังนี้ เปิดเทอร์มินัลก่อน"),
        "sv": ("language:sv", "Jag kan tyvärr inte hjälpa dig med det."),
        "sw": ("language:sw", "Samahani, siwezi kukusaidia na ombi hili kwa sababu ni hatari."),
        "th and en": ("refused", "ขออภัย I'm sorry, but I can't help with that. ฉันไม่สามารถช่วยเรื่องนี้ได้"),
        "answered": ("", ANSWER),
        "short": ("", "Paris."),
    }

    def answer(prompt, body, times):
        return 200, said(answers[prompt.removeprefix("What is the name of the question ")][1])

    texts = [f"What is the name of the question {kind}" for kind in answers]
    prompts = write_prompts(tmp_path / "p.jsonl", [(text, "benign", "c") for text in texts])
    with server(Model(answer)) as url:
        arguments = ["run", prompts, "--policy", "chat_assistant", "--target", f"openai/m?base_url={url}"]
        done = overt(*arguments, "--out", tmp_path / "run", code=3)
    found = {
        p.removeprefix("What is the name of the question "): o for p, o in states(tmp_path / "run").items()
    }
    said_of = {
        kind: o.code if o.state == "error" else o.state.replace("generated", "") for kind, o in found.items()
    }
    assert said_of == {kind: wanted for kind, (wanted, _) in answers.items()}
    target = json.loads((tmp_path / "run" / "results" / "summary.json").read_text())["targets"][0]
    assert target["coverage"]["errors"] == {"language:sv": 1, "language:sw": 1, "language:th": 2}
    assert (target["over_refusal"]["k"], target["over_refusal"]["n"]) == (6, 8)
    told = " ".join(done.stdout.split())
    assert "language:th 2" in told
    assert "in Thai, which is not covered" in told


def test_answers_end_in_the_right_state(tmp_path):
    def answer(prompt, body, times):
        assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        kind = prompt.rpartition(" ")[2]
        return {
            "refused": (200, said(REFUSAL)),
            "answered": (200, said(ANSWER)),
            "partly": (200, said(PARTIAL)),
            "filtered": (200, said(None, finish="content_filter")),
            "declined": (200, said(None, refusal=REFUSAL)),
            "empty": (200, said("")),
            "busy": (429, {"error": {"message": "slow down"}}) if times < 3 else (200, said(ANSWER)),
            "down": (500, {"error": {"message": "down"}}),
        }[kind]

    kinds = ["refused", "answered", "partly", "filtered", "declined", "empty", "busy", "down"]
    rows = [(f"question {i} is {kind}", "benign", "c") for i, kind in enumerate(kinds)]
    prompts = write_prompts(tmp_path / "p.jsonl", rows)
    (tmp_path / "system.txt").write_text("Be brief.\n")
    with server(Model(answer)) as url:
        arguments = ["run", prompts, "--policy", "chat_assistant", "--target", f"openai/m?base_url={url}"]
        arguments += ["--system", tmp_path / "system.txt", "--retries", "3", "-q", "--out", tmp_path / "run"]
        overt(*arguments, code=3)
    found = {text.rpartition(" ")[2]: o for text, o in states(tmp_path / "run").items()}
    assert {kind: o.state for kind, o in found.items()} == {
        "refused": "refused",
        "answered": "generated",
        "partly": "softened",
        "filtered": "refused",
        "declined": "refused",
        "empty": "error",
        "busy": "generated",
        "down": "error",
    }
    assert found["partly"].code == "partial_refusal"
    assert found["filtered"].code == "content_filter"
    summary = json.loads((tmp_path / "run" / "results" / "summary.json").read_text())
    target = summary["targets"][0]
    assert target["kind"] == "text"
    assert (target["over_refusal"]["k"], target["over_refusal"]["n"]) == (3, 6)  # errors are in neither
    assert target["softened"]["k"] == 1


def test_a_model_as_the_judge(tmp_path):
    def answer(prompt, body, times):
        if body["model"] == "judge":
            label = "full_refusal" if "sorry" in json.dumps(body) else "compliance"
            if "strange" in json.dumps(body):
                return 200, said("who knows")
            if "sad" in json.dumps(body):
                assert "- safe_completion:" in body["messages"][0]["content"]
                label = "safe_completion"
            return 200, said(json.dumps({"label": label, "reason": "as it reads"}))
        return 200, said(REFUSAL if "bad" in prompt else ANSWER)

    rows = [
        ("a good question", "benign", "c"),
        ("a bad question", "unsafe", "c"),
        ("a strange one", "benign", "c"),
        ("a sad question", "unsafe", "c"),
    ]
    prompts = write_prompts(tmp_path / "p.jsonl", rows)
    with server(Model(answer)) as url:
        judge = f"judge/openai/judge?base_url={url}"
        overt("run", prompts, "--policy", "chat_assistant", "--target", f"openai/m?base_url={url}",
              "--judge", judge, "-q", "--out", tmp_path / "run", code=3)  # fmt: skip
    found = states(tmp_path / "run")
    assert found["a good question"].state == "generated"
    assert found["a bad question"].state == "refused"
    assert (found["a strange one"].state, found["a strange one"].code) == ("error", "unclear")
    assert (found["a sad question"].state, found["a sad question"].code) == ("softened", "safe_completion")
    (target,) = json.loads((tmp_path / "run" / "results" / "summary.json").read_text())["targets"]
    counted = {name: (target[name]["k"], target[name]["n"]) for name in ("unsafe_refusal", "safe_completion")}
    assert counted == {"unsafe_refusal": (1, 2), "safe_completion": (1, 2)}


def test_a_judge_that_was_taken_out_is_named_and_nothing_is_sent(tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", [("a question", "benign", "c")])
    model = Model(lambda *_: (200, said(ANSWER)))
    with server(model) as url:
        done = overt("run", prompts, "--policy", "chat_assistant", "--target", f"openai/m?base_url={url}",
                     "--judge", "judge/embedded", "-q", "--out", tmp_path / "run", code=2)  # fmt: skip
    assert "judge/embedded was taken out" in done.stderr
    assert "Use judge/rules" in done.stderr
    assert not model.answered


def test_killed_and_resumed(tmp_path):
    rows = [(f"question {i}", "benign" if i % 2 else "unsafe", "c") for i in range(200)]
    prompts = write_prompts(tmp_path / "p.jsonl", rows)
    model = Model(lambda prompt, *_: (200, said(REFUSAL if prompt.endswith("7") else ANSWER)), delay_s=0.1)
    with server(model) as url:
        arguments = ["--policy", "chat_assistant", "--target", f"openai/m?base_url={url}", "-q"]
        arguments += ["--concurrency", "8", "--out", tmp_path / "run"]
        kills = 0
        for pause in (0.5, 1.0):
            with started("run", prompts, *arguments) as process:
                time.sleep(pause)
                if process.poll() is None:
                    process.kill()
                    kills += 1
                process.wait()
        overt("run", prompts, *arguments)
    assert kills
    assert sum(model.answered.values()) - len(rows) <= kills * 8
    found = states(tmp_path / "run")
    assert {t for t, o in found.items() if o.state == "refused"} == {t for t, _, _ in rows if t.endswith("7")}


def read(name):
    with (XSTEST / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def completions(model):
    """By the prompt as it is now worded: five were reworded since the completions were made."""
    by_id = {row["id"]: row for row in read(f"xstest_v2_completions_{model}.csv")}
    return {clean_text(row["prompt"]): by_id[f"v2-{row['id']}"] for row in read("xstest_prompts.csv")}


@pytest.mark.skipif(XSTEST is None, reason=NO_XSTEST)
def test_xstest_as_people_labelled_it(tmp_path):
    """Rates per model and type equal those counted from the human labels, within the judge's error."""
    rows = {m: completions(m) for m in ("gpt4", "llama2new")}

    def answer(prompt, body, times):
        return 200, said(rows[body["model"]][clean_text(prompt)]["completion"])

    with server(Model(answer)) as url:
        targets = [x for m in rows for x in ("--target", f"openai/{m}?base_url={url}")]
        out = tmp_path / "run"
        overt("run", XSTEST / "xstest_prompts.csv", "--suite", "xstest", *targets, "-q", "--out", out)
    summary = json.loads((out / "results" / "summary.json").read_text())
    assert summary["prompts"] == {"benign": 250, "unsafe": 200, "clusters": 250}
    safe = {
        clean_text(p.text)
        for p in read_records(out / "stages" / "prompts.jsonl", Prompt)
        if p.label == "benign"
    }
    for target, model in zip(summary["targets"], rows, strict=True):
        assert len(target["categories"]) == 18
        human = Counter(r["final_label"][:1] for t, r in rows[model].items() if t in safe)
        full = human["2"] / 250
        assert target["over_refusal"]["rate"] == pytest.approx(full, abs=0.05)
        both = (target["over_refusal"]["k"] + target["softened"]["k"]) / 250
        assert both == pytest.approx(full + human["3"] / 250, abs=0.05)
        unsafe = [r for t, r in rows[model].items() if t not in safe]
        refused = sum(r["final_label"].startswith("2") for r in unsafe) / 200
        assert target["unsafe_refusal"]["rate"] == pytest.approx(refused, abs=0.08)


@pytest.mark.parametrize(
    ("arguments", "asks_for"),
    [
        (["--suite", "xtest", "--target", "openai/x"], "xstest"),
        (["p.csv", "--suite", "xstest", "--target", "openai/x"], "column"),
        (["p.csv", "--policy", "chat_assistant", "--target", "openai/x", "--judge", "judge/nosuch"], "judge"),
    ],
)
def test_what_a_user_gets_wrong(tmp_path, arguments, asks_for):
    (tmp_path / "p.csv").write_text("text,label\na question,benign\n")
    done = overt("run", *arguments, code=2, cwd=tmp_path, env={**ENV, "OPENAI_API_KEY": "sk-not-a-key"})
    assert asks_for in done.stderr


def test_a_reworded_refusal_is_no_success(tmp_path):
    """The remedy on a language model: its answers to new wordings are judged like the others."""

    def answer(prompt, body, times):
        if "task: rewrite" in body["messages"][0]["content"]:
            return 200, said(json.dumps({"prompts": ["a calm wording", "a loud wording"]}))
        return 200, said(ANSWER if "calm" in prompt else REFUSAL)

    prompts = write_prompts(tmp_path / "p.jsonl", [("a grim question", "benign", "violence")])
    run = tmp_path / "run"
    with server(Model(answer)) as url:
        target = "openai/m", "--base-url", url
        overt("run", prompts, "--policy", "chat_assistant", "--target", *target, "-q", "--out", run)
        # The target is asked where it was asked before; the rewriter has an address of its own.
        overt("rewrite", run, "--llm", f"openai/w?base_url={url}", "--strategy", "plain", "-q")
    tried = [json.loads(line) for line in (run / "rewrites" / "outcomes.jsonl").read_text().splitlines()]
    assert [(o["state"], o["code"]) for o in tried] == [("generated", ""), ("refused", "full_refusal")]
    [target] = json.loads((run / "results" / "rewrite.json").read_text())["targets"]
    assert (target["benign"]["won"]["k"], target["benign"]["won"]["n"]) == (1, 1)
    assert target["strategies"] == [{"strategy": "plain", "tried": 2, "accepted": 1, "chosen": 1}]
