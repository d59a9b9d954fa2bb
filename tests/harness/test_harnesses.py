"""lm-evaluation-harness and promptfoo run what `overt export` writes, with the rates of `overt run`.

The tools stand in `.harness/` (`make harnesses`); without them the tests that need one are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ENV, overt
from support.harness_data import KINDS, TOLD, answer_to, model, rows, write_rows
from support.paths import ROOT

from overt.harness.promptfoo import rates_of
from overt.tasks.export import ExportConfig, export

HARNESS = ROOT / ".harness"
LM_EVAL = HARNESS / "lm-eval" / "bin" / "lm_eval"
PROMPTFOO = HARNESS / "promptfoo" / "node_modules"
SIDES = {"over_refusal": "benign", "unsafe_refusal": "unsafe"}


def needs(tool: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not tool.exists(), reason=f"{tool.relative_to(ROOT)} is not here: make harnesses"
    )


def tool(words, *, cwd, **env):
    """A harness without this test's own environment in it."""
    kept = {k: v for k, v in ENV.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env={**kept, **env}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The data, the same exported to both harnesses, and what `overt run` finds on the same answers."""
    base = tmp_path_factory.mktemp("told")
    write_rows(base / "text.jsonl", rows(KINDS))
    write_rows(base / "all.jsonl", rows({**KINDS, **TOLD}))
    summaries = {}
    with model() as url:
        for name in ("text", "all"):
            data, out = base / f"{name}.jsonl", base / f"run-{name}"
            target = f"openai/m?base_url={url}"
            overt("run", data, "--policy", "chat_assistant", "--target", target, "-q", "--out", out, code=3)
            (summaries[name],) = json.loads((out / "results/summary.json").read_text())["targets"]
        for form in ("lm-eval", "promptfoo"):
            for name in ("text", "all"):
                out = base / f"{form}-{name}"
                values = {"dataset": (str(base / f"{name}.jsonl"),), "format": form, "out": out, "name": name}
                export(ExportConfig.made(values))
        yield base, url, summaries


def expected(summary):
    """k, n, rate, low and high by side and category ("" for all), as `overt run` has them."""
    return {
        (side, row.get("category", "")): [row[side][name] for name in ("k", "n", "rate", "low", "high")]
        for side in SIDES
        for row in (summary, *summary["categories"])
        if row[side]
    }


def keys_of(folder, side, categories):
    """How an export calls each category, read from its files."""
    from overt.harness.exported import category_keys

    lines = (folder / f"{SIDES[side]}.jsonl").read_text().split("\n")
    found = category_keys(json.loads(line)["category"] for line in lines if line)
    assert set(found) == set(categories)
    return found


# -- lm-evaluation-harness --------------------------------------------------------------------------------


def of_lm_eval(results, folder, summary):
    """The same figures from the results of lm_eval, or of a stand-in for it."""
    found = {}
    for side in SIDES:
        task = results[f"overt_{folder.name.rpartition('-')[2]}_{side}"]
        keys = keys_of(folder, side, {c for s, c in expected(summary) if s == side and c})
        for category, key in {"": "", **{c: f"{k}/" for c, k in keys.items()}}.items():
            names = ("refused", "answered", side, f"{side}_low", f"{side}_high")
            found[side, category] = [task[f"{key}{name},none"] for name in names]
    return found


def scoring_of(folder):
    spec = importlib.util.spec_from_file_location(f"scoring_{folder.name}", folder / "overt_scoring.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stand_in(folder):
    """Does with a task folder what lm_eval does: one list of values a metric, and its aggregation."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node).partition(".")[2])
    scoring, results = scoring_of(folder), {}
    for file in folder.glob("*.yaml"):
        task = yaml.load(file.read_text(), Loader)
        docs = getattr(scoring, task["custom_dataset"])(**task["metadata"])[task["test_split"]]
        said = [answer_to(doc[task["doc_to_text"]])["content"] or "" for doc in docs]
        scored = [scoring.process_results(doc, [text]) for doc, text in zip(docs, said, strict=True)]
        results[task["task"]] = {
            f"{one['metric']},none": getattr(scoring, one["aggregation"])([s[one["metric"]] for s in scored])
            for one in task["metric_list"]
        }
        assert all(set(s) == {one["metric"] for one in task["metric_list"]} for s in scored)
    return results


def test_the_task_folder_scores_as_overt_run_does(told):
    base, _, summaries = told
    results = stand_in(base / "lm-eval-text")
    assert of_lm_eval(results, base / "lm-eval-text", summaries["text"]) == expected(summaries["text"])
    counts = {
        name: sum(task[f"{name},none"] for task in results.values())
        for name in ("answered", "partial", "unclear", "missing")
    }
    coverage = summaries["text"]["coverage"]
    assert counts["answered"] == coverage["answered"]
    assert (counts["unclear"], counts["missing"]) == (6, 18)
    assert coverage["errors"] == {"language:th": 6, "empty_answer": 12, "floor": 6}


def test_what_lm_eval_does_not_pass_on_is_missing(told):
    """A filter's stop and a refusal in a field of its own come as no text at all, and count as nothing."""
    base, _, summaries = told
    results = stand_in(base / "lm-eval-all")
    missing = sum(task["missing,none"] for task in results.values())
    answered = sum(task["answered,none"] for task in results.values())
    assert missing == 18 + 6 * len(TOLD)
    assert answered == summaries["all"]["coverage"]["answered"] - 12  # overt run: 6 filtered, 6 declined


@needs(LM_EVAL)
def test_lm_eval_runs_it_with_the_same_rates(told, tmp_path):
    base, url, summaries = told
    words = [
        *(LM_EVAL, "--model", "local-chat-completions", "--apply_chat_template", "--log_samples"),
        *("--model_args", f"model=m,base_url={url}/chat/completions,num_concurrent=4,max_retries=1"),
        *("--tasks", "overt_text", "--include_path", base / "lm-eval-text", "--output_path", "out"),
    ]
    env = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = tool(words, cwd=tmp_path, **env)
    (file,) = tmp_path.glob("out/*/results_*.json")
    found = json.loads(file.read_text())
    assert of_lm_eval(found["results"], base / "lm-eval-text", summaries["text"]) == expected(
        summaries["text"]
    )
    assert found["results"]["overt_text_over_refusal"]["missing,none"] > 0
    assert found["higher_is_better"]["overt_text_over_refusal"]["over_refusal"] is False
    assert found["higher_is_better"]["overt_text_unsafe_refusal"]["unsafe_refusal"] is True
    assert "groups" not in found
    assert "Metrics were not scored on the same number" not in done.stderr


def test_without_overt_it_says_so(told):
    base, _, _ = told
    script = base / "lm-eval-text" / "overt_scoring.py"
    done = subprocess.run([sys.executable, "-I", "-S", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "these tasks are scored by overt, which this Python does not have" in done.stderr


# -- promptfoo --------------------------------------------------------------------------------------------


def promptfoo(words, *, cwd, url, python=sys.executable, path=None):
    nodes = sorted(PROMPTFOO.glob("node-*/bin/node"))
    env = {
        "PROMPTFOO_PYTHON": str(python),
        "PYTHONPATH": path if path is not None else os.environ.get("PYTHONPATH", str(ROOT)),
        "PROMPTFOO_CONFIG_DIR": str(cwd / "home"),
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
        "PROMPTFOO_DISABLE_REMOTE_GENERATION": "true",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": url,
    }
    entry = PROMPTFOO / "promptfoo" / "dist" / "src" / "entrypoint.js"
    words = [nodes[0] if nodes else "node", entry, *words]
    kept = {k: v for k, v in ENV.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    return subprocess.run(
        [*map(str, words)], cwd=cwd, env={**kept, **env}, capture_output=True, text=True, timeout=300
    )


def spoken(rate):
    k, n, share, low, high = rate
    return f"{share:.1%} ({k} of {n}) [{low:.1%}, {high:.1%}]"


def test_the_judge_process_grades_line_by_line(told):
    """One process, a line in and a line out, as the assertion talks to it; then the rates of it all."""
    base, _, summaries = told
    folder, tests = base / "promptfoo-all", []
    for side in SIDES.values():
        tests += [json.loads(line) for line in (folder / f"{side}.jsonl").read_text().split("\n") if line]
    asked = []
    for test in tests:
        said = answer_to(text := test["vars"]["item"]["text"])
        filtered = said.get("finish") == "content_filter"
        # As promptfoo's own provider hands them on.
        output = (
            said["content"] or said.get("refusal") or ("Content filtered by provider" if filtered else None)
        )
        response = {"finishReason": said.get("finish", "stop")}
        asked.append({"text": text, "metadata": test["metadata"], "output": output, "response": response})
    command = [sys.executable, "-m", "overt.harness.promptfoo", "judge", "judge/rules"]
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in asked)
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=True)
    graded = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert len(graded) == len(tests)
    by_kind = {one["text"].rpartition(", ")[2]: grade for one, grade in zip(asked, graded, strict=True)}
    assert by_kind["filtered"]["reason"].startswith("refused: ")
    assert by_kind["nothing"]["reason"].startswith("missing: ")
    assert by_kind["thai"]["namedScores"].keys() <= {
        "benign_unclear", "benign_missing", "unsafe_unclear", "unsafe_missing",
    }  # fmt: skip
    results = [
        {"testCase": test, "provider": {"id": "m"}, "gradingResult": grade}
        for test, grade in zip(tests, graded, strict=True)
    ]
    printed = rates_of({"results": {"results": results}})
    assert printed[0] == "m"
    for (side, category), rate in expected(summaries["all"]).items():
        assert any(line.startswith(f"  {side} {category or 'all'}: {spoken(rate)}") for line in printed)


def test_a_blocked_prompt_is_refused_and_never_judged():
    from overt.harness.answers import Scorer
    from overt.harness.promptfoo import graded

    metadata = {
        "id": "p", "label": "benign", "category": "c", "language": "en", "trigger": "", "seed_id": None,
        "pair_id": None, "metric": None,
    }  # fmt: skip
    asked = {"text": "t", "metadata": metadata, "output": "It was blocked upstream.", "response": {}}
    scorer = Scorer("judge/rules")
    assert graded(scorer, asked)["namedScores"]["over_refusal"] == 0.0
    asked["response"] = {"guardrails": {"flagged": True, "flaggedInput": True}}
    assert graded(scorer, asked)["namedScores"]["over_refusal"] == 1.0
    assert graded(scorer, asked)["pass"] is False
    asked["metadata"] = {**metadata, "label": "unsafe"}
    assert graded(scorer, asked)["pass"] is True


@needs(PROMPTFOO)
def test_promptfoo_runs_it_with_the_same_rates(told):
    base, url, summaries = told
    folder = base / "promptfoo-all"
    checked = promptfoo(["validate", "-c", "promptfooconfig.yaml"], cwd=folder, url=url)
    assert "Configuration is valid" in checked.stdout + checked.stderr
    words = ["eval", "--no-cache", "--no-progress-bar", "--no-table", "-o", "results.json"]
    done = promptfoo(words, cwd=folder, url=url)
    results = json.loads((folder / "results.json").read_text())
    (prompt,) = results["results"]["prompts"]
    sums, counts = prompt["metrics"]["namedScores"], prompt["metrics"]["namedScoresCount"]
    wanted = {(side, c): (rate[0], rate[1]) for (side, c), rate in expected(summaries["all"]).items()}
    scores = {json.loads(line)["metadata"]["category"]: json.loads(line)["metadata"]["metric"]
              for side in SIDES.values()
              for line in (folder / f"{side}.jsonl").read_text().split("\n") if line}  # fmt: skip
    for (side, category), rate in wanted.items():
        name = f"{side}/{scores[category]}" if category else side
        assert (sums[name], counts[name]) == rate, done.stdout
    printed = rates_of(results)
    for (side, category), rate in expected(summaries["all"]).items():
        assert any(line.startswith(f"  {side} {category or 'all'}: {spoken(rate)}") for line in printed)


@needs(PROMPTFOO)
def test_promptfoo_without_overt_gives_errors_and_no_rate(told):
    base, url, _ = told
    folder = base / "promptfoo-text"
    words = [
        "eval",
        "--no-cache",
        "--no-progress-bar",
        "--no-table",
        "--filter-first-n",
        "2",
        "-o",
        "bad.json",
    ]
    promptfoo(words, cwd=folder, url=url, python="/usr/bin/false", path="")
    results = json.loads((folder / "bad.json").read_text())["results"]
    assert results["stats"]["errors"] == 2
    assert "Install overt, and set PROMPTFOO_PYTHON" in results["results"][0]["error"]
    assert results["prompts"][0]["metrics"]["namedScores"] == {}
