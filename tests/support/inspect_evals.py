"""Evaluations in Inspect, made in a process of its own: `python inspect_evals.py JOBS.json` prints JSON.

A job is an evaluation (task, arguments, answers by prompt or an endpoint's model) or a command of overt, in
which {NAME} stands for the log of the job NAME: see `evaluated` in tests/harness/test_inspect.py. All in one
process, since loading Inspect takes seconds.
"""

import json
import sys
import zipfile
from pathlib import Path

from inspect_ai import eval as evaluate
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ContentImage,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
    get_model,
)
from support.inside import cli

PARTS = {
    "text": lambda text: ContentText(text=text),
    "refusal": lambda text: ContentText(text=text, refusal=True),
    "thinking": lambda text: ContentReasoning(reasoning=text),
    "image": lambda text: ContentImage(image=text),
}


def output(said):
    """The mock model's answer: a text, or {"parts": [[kind, text]], "stop": reason}, or {"error": why}."""
    if isinstance(said, str):
        said = {"parts": [["text", said]]}
    if "error" in said:
        raise RuntimeError(said["error"])
    content = [PARTS[kind](text) for kind, text in said["parts"]]
    message = ChatMessageAssistant(content=content, source="generate")
    choice = ChatCompletionChoice(message=message, stop_reason=said.get("stop", "stop"))
    usage = ModelUsage(input_tokens=7, output_tokens=9, total_tokens=16)
    return ModelOutput(model="m", choices=[choice], usage=usage)


def mock(answers):
    """Answers by the last message; of a list the next one each time."""
    asked = {}

    def answer(messages, *_):
        text = messages[-1].text
        said = answers[text] if text in answers else answers["*"]
        if isinstance(said, list):
            asked[text] = asked.get(text, -1) + 1
            said = said[asked[text]]
        return output(said)

    return get_model("mockllm/model", custom_outputs=answer, memoize=False)


def spoil(name):
    """Files beside a good log that are none of ours, or no log at all."""
    text = Path(name).read_text()
    foreign = json.loads(text)
    foreign["eval"]["task"], foreign["eval"]["metadata"] = "gsm8k", {}
    Path("foreign.json").write_text(json.dumps(foreign))
    Path("torn.json").write_text(text[: len(text) // 2])
    Path("empty.json").write_text(json.dumps({**json.loads(text), "samples": []}))
    Path("hostile.json").write_text(text.replace('"category": "homonyms"', '"category": {"<b>": [1]}'))
    whole = json.loads(text)
    Path("twice.json").write_text(json.dumps({**whole, "samples": whole["samples"] + whole["samples"][:1]}))
    own = json.loads(text)
    own["eval"]["metadata"]["overt"]["judge"] = "evil:Judge"
    Path("own.json").write_text(json.dumps(own))
    cut = json.loads(text)
    cut["status"], cut["samples"] = "cancelled", cut["samples"][:20]
    Path("cut.json").write_text(json.dumps(cut))
    with zipfile.ZipFile("zip.eval", "w") as archive:
        archive.writestr("x", "y")


def command(words, logs):
    done = cli(*(word.format(**logs) for word in words), code=None)
    return {"code": done.code, "stdout": done.stdout, "said": done.said}


def run(name, job):
    roles = {"grader": mock(job["grader"])} if "grader" in job else None
    try:
        [log] = evaluate(
            job["task"],
            task_args=job.get("args", {}),
            model=mock(job["answers"]) if "answers" in job else get_model(**job["model"], memoize=False),
            model_roles=roles,
            log_dir=f"logs/{name}",
            display="none",
            **job.get("options", {}),
        )
    except Exception as error:
        return {"refused": str(getattr(error, "message", error)), "kind": type(error).__name__}
    if job.get("json"):
        write_eval_log(log, job["json"])
    scores = log.results.scores if log.results else []
    whole = read_eval_log(log.location)
    return {
        "status": log.status,
        "log": log.location,
        "metrics": {name: m.value for score in scores for name, m in score.metrics.items()},
        "samples": [
            {
                "id": s.id,
                "input": s.input,
                "target": s.target,
                "metadata": s.metadata,
                "value": s.scores["refusal"].value if s.scores else None,
                "why": s.scores["refusal"].explanation if s.scores else None,
                "config": {"temperature": whole.plan.config.temperature},
            }
            for s in whole.samples or []
        ],
    }


if __name__ == "__main__":
    sys.path.insert(0, "")  # as `overt` does for classes of the user's own
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    found, logs = {}, {}
    for name, job in jobs.items():
        if "overt" in job:
            found[name] = command(job["overt"], logs)
            continue
        found[name] = run(name, job)
        logs[name.replace(" ", "_")] = found[name].get("log", "")
        if job.get("json"):
            spoil(job["json"])
    print("\n" + json.dumps(found))
