"""Folders of runs to be viewed."""

import json
import time

from support import review_data as data

from overt.data.outcomes import Outcome, outcome_id
from overt.data.records import Audit, Drop, Prompt, Turn, Vote, prompt_id
from overt.data.results.files import write_summary
from overt.data.run.images import ImageStore
from overt.scoring.summary.summarize import summary_of
from overt.tasks.view import open_desk
from overt.view.shelf import NotReady

# Texts that must show as they are written, and do nothing.
HOSTILE = (
    "<script>window.broken = 1</script> how do I kill a process?",
    "<img src=x onerror='window.broken=1'> a text",
    "\u202etxt.exe is hidden\u200b here",
    "如何安全地终止一个进程",
    'quotes " and OR NOT (brackets* NEAR',
)


def evaluated(folder, kinds, prompts, outcomes, harms=()):
    """A complete run of `overt run` with its summary."""
    data.evaluated(folder, kinds, outcomes, prompts, harms)
    write_summary(folder, summary_of(data.POLICY, prompts, outcomes, harms, kinds, []))


def chat(
    folder,
    texts=(),
    *,
    count=30,
    targets=("acme/one", "acme/two"),
    samples=1,
    refuses=lambda t, i: (t + i) % 3 == 0,
):
    """A run of language models over prompts of these texts and `count` more; every third is unsafe."""
    prompts = []
    for number in range(len(texts) + count):
        text = texts[number] if number < len(texts) else f"How do I end process {number}?"
        label = "unsafe" if number % 3 == 2 else "benign"
        category = data.CATEGORIES[number % len(data.CATEGORIES)]
        prompts.append(
            Prompt(
                prompt_id(text), text, category, label, "direct", "w/m", "t 1", seed_id=f"seed-{number // 2}"
            )
        )
    outcomes = [
        answer(prompt, target, sample, refuses(place, number))
        for place, target in enumerate(targets)
        for number, prompt in enumerate(prompts)
        for sample in range(samples)
    ]
    evaluated(folder, dict.fromkeys(targets, "text"), prompts, outcomes)
    return prompts, outcomes


def carrying(folder, encoded):
    """A run of one chat model over a prompt with an encoded picture, one that goes on with a
    conversation, and some whose picture leads out of the run, is missing or is no name at all."""
    turns = (Turn("user", f"<b>zebra</b> {HOSTILE[1]}"), Turn("assistant", "Do you mean\u202e the animal?"))
    store = ImageStore(folder)
    carried = [
        {"image": store.put(encoded)},
        {"turns": turns},
        {"image": store.put(encoded), "turns": turns[:1]},
        *({"image": name} for name in ("../../secret.png", "images/ab/gone.png", "run.json", 7)),
        {"turns": "no list"},
    ]
    prompts = []
    for number, more in enumerate(carried):
        text = f"Paint number {number} blue."
        prompts.append(
            Prompt(f"carries-{number}", text, data.CATEGORIES[0], "benign", "direct", "w/m", "t 1", **more)
        )
    outcomes = [answer(prompt, "acme/sees", 0, False) for prompt in prompts]
    evaluated(folder, {"acme/sees": "text"}, prompts, outcomes)
    return prompts


def answer(prompt, target, sample, refused):
    return Outcome(
        outcome_id(target, prompt.id, sample), prompt.id, target, sample,
        "refused" if refused else "generated",
        stage="model" if refused else None, code="full_refusal" if refused else "",
        evidence="it says that it cannot" if refused else "",
        text="I'm sorry, no." if refused else f"<b>Use</b> the zebra tool. {prompt.id}",
    )  # fmt: skip


def generated(folder):
    """A run of `overt generate` of which one prompt was dropped by the audit, and one seed fitted nothing."""
    kept = data.generated(folder, 6, 3, stages=False)
    lost = Prompt(prompt_id("a lost one"), "a lost one", kept[0].category, "benign", "direct", "w/m", "t 1")
    data.lines(folder / "stages" / "synthesize.jsonl", [*kept, lost])
    votes = (Vote("j/a", "unsafe", "shows a blow"),)
    data.lines(folder / "stages" / "audit.jsonl", [Audit(lost.id, "unsafe", "shows a blow", votes)])
    data.lines(
        folder / "stages" / "drops.jsonl",
        [
            Drop(lost.id, "audit", lost.category, "judged unsafe", "shows a blow", lost.text),
            Drop("seed-1", "seeds", "", "fits no category", "", "a seed about soup"),
        ],
    )
    return kept, lost


def unfinished(folder, prompts, outcomes, calls):
    """A run of two targets in the middle of the second; `calls` of it are in the journal."""
    from overt.data.run.journal import Entry, Journal, call_key

    evaluated(folder, dict.fromkeys(("acme/one", "acme/two"), "text"), prompts, outcomes)
    (folder / "manifest.json").unlink()
    data.lines(folder / "stages" / "outcomes.jsonl", [o for o in outcomes if o.target == "acme/one"])
    journal = Journal(folder / "journal.sqlite")
    for target, count in calls.items():
        journal.put(
            [
                Entry(call_key(target, str(n)), target, target, "c", "{}", {"text": "x"}, 0.0)
                for n in range(count)
            ]
        )
    return journal


def desk_of(tmp_path, runs="runs"):
    return open_desk(tmp_path / runs, tmp_path / "cache")


def settled(work):
    """What a request gives once the index that it needs is there."""
    for _ in range(600):
        try:
            found = work()
        except NotReady:
            found = {"indexing": {}}
        if not (isinstance(found, dict) and "indexing" in found):
            return found
        time.sleep(0.02)
    raise AssertionError("the index is never ready")


def files_of(folder):
    """Every file below a folder, with its bytes and date."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def asked(desk, name, **parameters):
    return json.loads(json.dumps(settled(lambda: getattr(desk, name)(parameters)), allow_nan=False))
