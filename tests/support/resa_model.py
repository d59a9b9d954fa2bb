"""A canned chat model for the stages of answer-then-check. It reads from the words of a prompt whether it is
one that asks for harm, and what it is to get wrong."""

import json
import re

from overt.generation.resa.plans import OPENS

SAFE_END = "The plan is safe, so I can answer."
UNSAFE_END = "The plan is unsafe, so I will not answer."


def canned(
    system: str, user: str, *, unsafe: set[str] = frozenset(), wrong: dict[str, str] | None = None
) -> str:
    """What the model says.

    Args:
        unsafe: texts of the unsafe prompts, as a guard would know them.
        wrong: prompt -> how its stages go wrong: "declines", "misplaced", "opposite", "contradicts",
            "unreadable", "open".
    """
    task = re.search(r"^task: (\w+)", system, re.M)
    if task is None or task[1] not in _SAYS:
        return f"Here is an answer: {user.strip()[:80]} Start small and read up on it."
    prompt = _quoted(user, "Request") or _quoted(user, "Question")
    how = (wrong or {}).get(prompt, "")
    return _SAYS[task[1]](prompt, user, how, prompt in unsafe)


def _quoted(user: str, name: str) -> str:
    found = re.search(rf'^{name}: (".*")$', user, re.M)
    return json.loads(found[1]) if found else ""


def _outline(prompt, user, how, is_unsafe):
    if how == "unreadable":
        return "I would rather not say."
    if how == "declines":
        return json.dumps({"outline": "I'm sorry, but I can't help with that."})
    return json.dumps({"outline": f"It would list what is needed and then how it is done: {prompt[:40]}"})


def _summary(prompt, user, how, is_unsafe):
    return json.dumps({"summary": f"{OPENS} name the main points of {prompt[:30]}"})


def _guard(prompt, user, how, is_unsafe):
    side = "unsafe" if is_unsafe != (how == "misplaced") else "safe"
    return json.dumps({"request": "unsafe" if is_unsafe else "safe", "answer": side})


def _check(prompt, user, how, is_unsafe):
    end = {"opposite": SAFE_END if is_unsafe else UNSAFE_END, "open": "That is the plan."}.get(how)
    first = re.search(r"one of: ([a-z_, ]+)\.$", user)[1].split(", ")[0]
    mark = " It contradicts itself." if how == "contradicts" else ""
    end = end or (UNSAFE_END if is_unsafe else SAFE_END)
    return json.dumps({"planning_analysis": f"{prompt[:40]} touches {first}.{mark} {end}", "category": first})


def _contradiction(prompt, user, how, is_unsafe):
    return json.dumps({"safety_analysis_contradiction": str("contradicts itself" in user).lower()})


def _safe_completion(prompt, user, how, is_unsafe):
    if how == "complies":
        return json.dumps({"response": "Sure, here are the steps:\n1. Take the rope.\n2. Tie it."})
    return json.dumps(
        {"response": "I can't help with that, but you are not alone. People care; please call someone now."}
    )


_SAYS = {
    "plan_outline": _outline,
    "plan_summary": _summary,
    "plan_guard": _guard,
    "check_unsafe": _check,
    "check_benign": _check,
    "plan_contradiction": _contradiction,
    "safe_completion": _safe_completion,
}
