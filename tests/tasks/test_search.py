"""`overt generate --search`: whole runs with filters and with models, as they are started by a user."""

import json
from pathlib import Path

import pytest
from support.endpoint import endpoint, stats

from overt.data.errors import InputError
from overt.data.progress import make_progress
from overt.data.records import Audit, Drop, Probe, Prompt
from overt.data.run.files import read_records
from overt.tasks.generate import generate
from overt.tasks.generate_config import GenerateConfig

CLASSES = '''
from overt.data.filters import FilterDecision

BAD = {"murder", "massacre", "poisons", "deadly", "bomb", "film", "killer", "torture", "painting"}


class Scored:
    """A filter with a score: the more bad words, the higher."""
    name = "searched:Scored"

    def decide(self, text):
        score = min(1.0, 0.3 * sum(word.strip(",.;:") in BAD for word in text.lower().split()))
        return FilterDecision(score > 0.5, score)


class Words:
    """A filter without a score."""
    name = "searched:Words"

    def decide(self, text):
        return FilterDecision(sum(word.strip(",.;:") in BAD for word in text.lower().split()) > 1)


class Never:
    name = "searched:Never"

    def decide(self, text):
        return FilterDecision(False, len(text) / 1000)


class Broken:
    name = "searched:Broken"

    def decide(self, text):
        return FilterDecision(None, None, "unclear")
'''


@pytest.fixture(scope="module", autouse=True)
def classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    (folder / "searched.py").write_text(CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("OPENAI_API_KEY", "sk-test-not-a-key-0123456789")
        yield


def made(out: Path, **more):
    values = {
        "policy": "overt", "category": ("violence", "illegal_activities"), "benign": 10, "unsafe": 3,
        "encoder": "lexical", "probe": "searched:Scored", "search": 4, "out": out, "quiet": True, **more,
    }  # fmt: skip
    return generate(GenerateConfig.made(values), make_progress(True))


def manifest(run):
    return json.loads((run.folder / "manifest.json").read_text())


def read(run, label="benign"):
    return [json.loads(line) for line in (run.folder / "dataset" / f"{label}.jsonl").open()]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    return made(tmp_path_factory.mktemp("search") / "run")


def test_a_search_finds_refused_prompts_that_are_benign(searched):
    told = manifest(searched)["search"]
    assert told["refused_after"] >= 2 * told["refused_before"]
    assert sum(told["kept"].values()) <= sum(told["tried"].values())
    assert told["calls"] <= sum(told["tried"].values())
    rows = read(searched)
    assert len(rows) == 20
    assert sum(row["probe_rate"] == 1 for row in rows) >= 15
    audits = {a.prompt_id: a.label for a in read_records(searched.folder / "stages" / "audit.jsonl", Audit)}
    assert {audits[row["id"]] for row in rows} == {"benign"}


def test_edited_prompts_have_twins(searched):
    edited = {p.id for p in read_records(searched.folder / "stages" / "search.jsonl", Prompt)}
    unsafe = {row["pair_id"] for row in read(searched, "unsafe")}
    assert len(unsafe) == 6
    assert edited & {row["id"] for row in read(searched) if row["pair_id"] in unsafe}


def test_the_account_of_the_search_is_whole(searched):
    rows = manifest(searched)["stages"]
    drops = read_records(searched.folder / "stages" / "drops.jsonl", Drop)
    entered, left = (sum(row["search"][way] for row in rows) for way in ("in", "out"))
    assert entered - left == sum(d.stage == "search" for d in drops)
    # Prompts that were refused as they were written, and were edited further.
    own = {p.id for p in read_records(searched.folder / "stages" / "dedupe.jsonl", Prompt)}
    for row in rows:
        gone = sum(
            d.record_id in own and d.reason == "edited further" and d.category == row["category"]
            for d in drops
        )
        assert row["probe"]["out"] + row["search"]["out"] - gone == row["select"]["in"]
    assert {"synthesize", "audit", "dedupe", "probe", "search", "select", "pair"} < set(rows[0])


def test_the_same_run_has_the_same_ids_and_a_resumed_one_does_nothing(searched, tmp_path):
    again = made(tmp_path / "again")
    assert [row["id"] for row in read(again)] == [row["id"] for row in read(searched)]
    before = (again.folder / "manifest.json").read_bytes()
    generate(GenerateConfig.made({"resume": again.folder, "quiet": True}), make_progress(True))
    assert (again.folder / "manifest.json").read_bytes() == before
    other = made(tmp_path / "other", seed=1)
    assert [row["id"] for row in read(other)] != [row["id"] for row in read(searched)]


def test_a_filter_without_a_score_is_searched_too(tmp_path):
    told = manifest(made(tmp_path / "run", probe="searched:Words", search=6))["search"]
    assert told["refused_after"] > told["refused_before"]


@pytest.mark.parametrize("calls", [1, 7, 40])
def test_the_cap_on_calls_holds_and_is_said(tmp_path, calls):
    told = manifest(made(tmp_path / "run", search_calls=calls))
    assert told["search"]["calls"] <= calls
    assert any("--search-calls" in note for note in told["notes"])


def test_where_nothing_is_refused_the_closest_go_on_and_it_is_said(tmp_path):
    run = made(tmp_path / "run", probe="searched:Never", search=1)
    told = manifest(run)
    assert told["search"]["refused_after"] == 0
    assert told["counts"]["violence"]["benign"] == 10
    assert any("closest to it" in note for note in told["notes"])
    probes = {p.prompt_id: p for p in read_records(run.folder / "stages" / "probe.jsonl", Probe)}
    kept = [probes[row["id"]].score for row in read(run) if row["category"] == "violence"]
    assert min(kept) > sorted(p.score for p in probes.values())[len(probes) // 3]


def test_a_surrogate_without_an_answer_is_no_refusal(tmp_path):
    told = manifest(made(tmp_path / "run", probe="searched:Broken"))
    assert told["search"]["refused_after"] == 0
    assert told["counts"]["violence"]["benign"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"probe": None}, "no surrogate was named"),
        ({"search": 0, "search_calls": 5}, "goes with --search"),
        ({"search": -1}, "--search"),
        ({"search_calls": 0}, "--search-calls"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        made(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_search_has_no_trace_of_it(tmp_path):
    run = made(tmp_path / "run", search=0)
    told = manifest(run)
    assert "search" not in told
    assert "search" not in told["identity"]["inputs"]["templates"]
    assert all("search" not in row for row in told["stages"])


# -- with models ------------------------------------------------------------------------------------------


def chatting(out, url, **more):
    values = {
        "model": "openai/mock", "probe": "openai/mock", "judge": ("openai/mock",), "base_url": (url,),
        "samples": 4, "benign": 5, "unsafe": 2, "search": 2, "timeout": 20.0, **more,
    }  # fmt: skip
    return made(out, **values)


def test_rewrites_of_a_model_are_kept(tmp_path):
    with endpoint("--latency-ms", "1") as url:
        run = chatting(tmp_path / "run", url, probe="searched:Scored", benign=8)
    assert manifest(run)["search"]["kept"]["model"] > 0
    found = read_records(run.folder / "stages" / "search.jsonl", Prompt)
    assert "search@1" in {p.template for p in found}
    assert {p.writer for p in found} == {"openai/mock"}


def test_a_model_rewrites_and_nothing_is_paid_twice(tmp_path):
    with endpoint("--latency-ms", "1") as url:
        whole = chatting(tmp_path / "whole", url)
        told = manifest(whole)
        assert told["search"]["tried"]["model"] > 0
        assert told["calls"]["purposes"]["search"]["requests"] > 0
        assert told["search"]["calls"] % 4 == 0
        asked = stats(url)["answered"]
        # The same run in parts: it is stopped by its cap, and goes on.
        from overt.data.errors import BudgetReached

        for cap in range(30, asked + 30, 30):
            try:
                parts = chatting(tmp_path / "parts", url, max_requests=cap if cap < asked else None)
                break
            except BudgetReached:
                continue
        assert [row["id"] for row in read(parts)] == [row["id"] for row in read(whole)]
        assert stats(url)["answered"] <= 2 * asked + 2
        assert manifest(parts)["search"] == told["search"]
