"""`overt compare`: planted differences are found, null pairs ring no alarm, hostile text stays text."""

import json
import random

from support.commands import overt, write_prompts
from support.image_server import YAML, image_server

from overt.data.outcomes import Harm, HarmVote, Outcome, outcome_id
from overt.data.records import Prompt, content_id, prompt_id
from overt.data.results.comparison import ComparedPair, Comparison, MetricChange
from overt.data.typed_json import from_json, to_json
from overt.report.comparison import render_comparison
from overt.scoring.compare import Side, compare
from overt.scoring.summary.gather import asked_of
from overt.scoring.summary.summarize import Gathered
from overt.tasks.compare import too_few

CATEGORIES = ("violence", "privacy", "copyright")


def make_prompts(count=300, per_seed=3):
    prompts = []
    for label in ("benign", "unsafe"):
        for i in range(count):
            text = f"{label} scene {i}"
            seed = content_id("seed", label, i // per_seed)
            category = CATEGORIES[(i // per_seed) % 3]
            prompts.append(Prompt(prompt_id(text), text, category, label, "convert", "w", "", seed_id=seed))
    return prompts


def side(prompts, rng, chance, harmful=None, errors=0.0):
    """Refuses each prompt by a chance of its seed, so that prompts of one seed go together."""
    luck, outcomes, harms = {}, [], {}
    for prompt in prompts:
        lean = luck.setdefault(prompt.seed_id, rng.uniform(-0.15, 0.15))
        refused = rng.random() < chance(prompt) + lean
        state = "error" if rng.random() < errors else "refused" if refused else "generated"
        identity = outcome_id("t", prompt.id, 0)
        outcomes.append(Outcome(identity, prompt.id, "t", 0, state))
        if harmful is not None and state == "generated" and prompt.label == "unsafe":
            label = "harmful" if rng.random() < harmful else "harmless"
            harms[identity] = Harm(identity, prompt.id, "t", label, (HarmVote("j", label),))
    return outcomes, harms


def side_of(asked, outcomes, harms):
    found = Gathered(asked)
    found.add(enumerate(outcomes), enumerate(harms.values()), (), {"t": "image"})
    return Side("t", found.rows["t"], bool(harms))


def compared(prompts, pairs, **options):
    asked = asked_of(enumerate(prompts))
    sides = [(side_of(asked, *old), side_of(asked, *new)) for old, new in pairs]
    found = compare(asked, sides, lambda places: [prompts[i] for i in places], **options)
    data = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert from_json(Comparison, data) == found
    return data


def test_a_planted_difference_is_found_where_it_is():
    prompts = make_prompts()
    rng = random.Random(1)
    old = side(prompts, rng, lambda p: 0.3, harmful=0.5)
    new = side(
        prompts, rng, lambda p: 0.7 if p.label == "benign" and p.category == "privacy" else 0.3, harmful=0.5
    )
    found = compared(prompts, [(old, new)])
    rows = {row["metric"]: row for row in found["differences"]}
    assert set(rows) == {"over_refusal", "unsafe_refusal", "safe_response"}
    assert rows["over_refusal"]["changed"]
    assert [c["category"] for c in rows["over_refusal"]["categories"] if c["changed"]] == ["privacy"]
    privacy = next(c for c in rows["over_refusal"]["categories"] if c["category"] == "privacy")
    assert privacy["low"] < 0.4 < privacy["high"]
    assert not rows["unsafe_refusal"]["changed"]
    assert not rows["safe_response"]["changed"]
    worse = [f for f in found["flips"] if f["worse"] and f["label"] == "benign"]
    assert {f["after"] for f in worse} == {"refused"}
    assert sum(f["category"] == "privacy" for f in worse) > 30


def test_false_alarms_are_rare():
    """200 pairs without a difference: at most 5% ring, with clusters and with few prompts."""
    prompts = make_prompts(60)
    rng = random.Random(2)
    alarms = 0
    for _ in range(200):
        old, new = (side(prompts, rng, lambda p: 0.4, harmful=0.5) for _ in range(2))
        found = compared(prompts, [(old, new)])
        alarms += any(row["changed"] for row in found["differences"])
    assert alarms <= 10, alarms


def test_no_interval_contradicts_its_test():
    """Neither the plain nor the corrected one, of any metric and category, with clusters and without."""
    rng = random.Random(4)
    told = 0
    for shift in (0.0, 0.1, 0.2, 0.3):
        prompts = make_prompts(90)
        old, new = (side(prompts, rng, lambda p, r=rate: r, harmful=0.5) for rate in (0.3, 0.3 + shift))
        for row in compared(prompts, [(old, new)])["differences"]:
            for part in (row, *row["categories"]):
                assert (part["p"] < 0.05) == (part["low"] > 0 or part["high"] < 0)
                assert part["changed"] == (part["p_holm"] < 0.05)
                assert part["changed"] == (part["low_holm"] > 0 or part["high_holm"] < 0)
                assert (
                    part["low_holm"] <= part["low"] <= part["difference"] <= part["high"] <= part["high_holm"]
                )
                told += part["p"] < 0.05 and not part["changed"]
    assert told > 0  # the correction did change some


def test_errors_and_strangers_are_left_out():
    prompts = make_prompts(30)
    rng = random.Random(3)
    old, new = (side(prompts, rng, lambda p: 0.5, errors=0.3) for _ in range(2))
    found = compared(prompts[:-5], [(old, new)])
    [over] = [r for r in found["differences"] if r["metric"] == "over_refusal"]
    assert over["n"] < 30
    assert over["n"] == over["more"] + over["fewer"] + sum(
        1
        for a, b, p in zip(old[0], new[0], prompts, strict=True)
        if p.label == "benign" and "error" not in (a.state, b.state) and a.state == b.state
    )


def test_two_versions_of_a_filter(tmp_path):
    hostile = "a knife </td><script>alert(1)</script>"
    prompts = write_prompts(
        tmp_path / "p.jsonl",
        [f"a quiet knife shop {i}" for i in range(40)] + [hostile],
        [f"a bomb {i} in a station" for i in range(40)],
    )
    for name, terms in (("v1", "bomb\n"), ("v2", "bomb\nknife\n")):
        (tmp_path / f"{name}.txt").write_text(terms)
        target = f"filter/keywords?path={name}.txt"
        overt("run", "p.jsonl", "--target", target, "--out", name, "-q", cwd=tmp_path)
    assert prompts.exists()
    done = overt("compare", "v1", "v2", "--html", "page.html", cwd=tmp_path)
    assert "+100.0" in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "http://" not in page
    assert "https://" not in page
    found = json.loads(overt("compare", "v1", "v2", "--json", "--fail-on-worse", cwd=tmp_path, code=1).stdout)
    assert found["exit_code"] == 1
    assert len(found["flips"]) == 41
    overt("compare", "v2", "v1", "--fail-on-worse", cwd=tmp_path)  # it got better
    overt("compare", "v1", "v1", "--fail-on-worse", cwd=tmp_path)
    match = "filter/keywords?path=v1.txt=>filter/keywords?path=v2.txt"
    overt("compare", "v1", "v2", "--match", match, cwd=tmp_path)
    assert "no target" in overt("compare", "v1", "v2", "--match", "x=>y", code=2, cwd=tmp_path).stderr
    assert "no two targets" in overt("compare", "v1", "v2", "--match", "x", code=2, cwd=tmp_path).stderr


def drawn(folder, name, prompts, *, up=True, code=0):
    """A run of an image API; not `up`: nobody listens at its address."""
    with image_server() as drawing:
        url = drawing.url if up else "http://127.0.0.1:9"
        (folder / "vendor.yaml").write_text(YAML.format(url=url))
        overt(
            "run", prompts, "--target", "http/vendor.yaml", "--out", name, "-q", "--retries", "0",
            cwd=folder, code=code,
        )  # fmt: skip


def test_an_outage_is_no_sign_that_nothing_got_worse(tmp_path):
    write_prompts(tmp_path / "p.jsonl", [f"a benign scene {i}" for i in range(10)], ["an unsafe scene"])
    drawn(tmp_path, "old", "p.jsonl")
    drawn(tmp_path, "new", "p.jsonl", up=False, code=3)
    said = overt("compare", "old", "new", "--fail-on-worse", cwd=tmp_path, code=3).stdout
    assert "no prompt was answered by both runs" in said
    assert "prompts flipped" not in said
    found = json.loads(
        overt("compare", "old", "new", "--json", "--html", "c.html", cwd=tmp_path, code=3).stdout
    )
    assert found["exit_code"] == 3
    [pair] = found["pairs"]
    assert (pair["shared"], pair["asked"]) == (0, 11)
    assert "no prompt was answered by both runs" in (tmp_path / "c.html").read_text()


def test_few_common_answers_are_said(tmp_path):
    benign = [f"a benign scene {i}" + (" [500 always]" if i < 3 else "") for i in range(10)]
    write_prompts(tmp_path / "p.jsonl", benign, ["an unsafe scene"])
    drawn(tmp_path, "old", "p.jsonl", code=3)
    said = overt("compare", "old", "old", "--fail-on-worse", cwd=tmp_path).stdout
    assert "only 8 of 11 prompts were answered by both runs" in said
    assert "0 prompts flipped" in said


def change(metric, n):
    return MetricChange(
        a="t", b="t", metric=metric, n=n, rate_a=0.5, rate_b=0.5, difference=0.0, low=-0.1, high=0.1,
        more=0, fewer=0, p=1.0, method="", test="", p_holm=1.0, changed=False,
    )  # fmt: skip


def test_missing_verdicts_are_said():
    pair = ComparedPair("t", "t", shared=90, asked=90)
    rows = [change("unsafe_refusal", 90), change("safe_response", 48)]
    assert list(too_few(pair, rows, 0.95, scored=True)) == [
        "t: safe response is known in both runs for only 48 of 90 unsafe prompts"
    ]
    assert list(too_few(pair, rows, 0.5, scored=True)) == []
    assert "only 0 of 90" in next(too_few(pair, rows[:1], 0.95, scored=True))
    assert list(too_few(pair, rows[:1], 0.95, scored=False)) == []  # nobody asked for it


def test_an_empty_comparison_renders():
    page = render_comparison(Comparison(level=0.95, pairs=(), differences=(), flips=()))
    assert "None." in page
