"""The report of a run too large for its page: cases are dealt over targets, figures are not counted twice."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from support import report_data as made
from support.mixed_run import KINDS, make_run

from overt.data.results.files import read_summary, write_summary
from overt.data.run.counted import counted_from, is_counted
from overt.data.run.files import digest, read_json, write_records
from overt.data.run.finished import open_run
from overt.data.run.folder import RunFolder
from overt.report.dealing import deal
from overt.report.gallery import build_gallery, source_of
from overt.scoring.summary.stored import gathered
from overt.scoring.summary.summarize import categories_of, summary_of_rows
from overt.tasks import report
from overt.tasks.report import write_report
from overt.tasks.report_runs import read_runs

pytestmark = pytest.mark.usefixtures("no_plots")

# -- dealing -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    prompts, outcomes, harms, _ = make_run(6, 400)
    return {p.id: p for p in prompts}, outcomes, {harm.outcome_id: harm for harm in harms}


def rows_of_page(many, outcomes, tmp_path, budget=40_000):
    prompts, _, harms = many
    return build_gallery(source_of(prompts, outcomes, harms), tmp_path, images=False, text_budget=budget)


def test_cases_are_dealt_over_targets_and_kinds(many, tmp_path):
    prompts, outcomes, harms = many
    found = rows_of_page(many, outcomes, tmp_path)
    assert 60 < len(found.rows) < len(outcomes) / 4
    assert found.rows_left_out == len(outcomes) - len(found.rows)
    shown = Counter((row.outcome.target, row.case) for row in found)
    whole = build_gallery(
        source_of(prompts, outcomes, harms), tmp_path, images=False, text_budget=10**9, page_budget=10**9
    )
    everything = Counter((row.outcome.target, row.case) for row in whole)
    assert [row.outcome for row in whole] == outcomes
    assert shown.keys() == everything.keys()  # today's page held the first target only
    for target in KINDS:
        # Urgent ones more often than those that nobody needs to look at.
        urgent = min(shown[target, "over_refused"], shown[target, "slipped"])
        assert urgent > 2 * shown[target, "other"] or urgent == everything[target, "over_refused"]
    by_target = Counter(target for target, _ in shown.elements())
    assert max(by_target.values()) < 2 * min(by_target.values())
    worst = [row for row in whole if row.urgency == 0]
    assert {row.urgency for row in found} == {0, 1, 2, 3, 4}
    assert len([row for row in found if row.urgency == 0]) > len(worst) / 8


def test_the_deal_is_the_same_in_any_order(many, tmp_path):
    _, outcomes, _ = many
    one = {row.outcome.id for row in rows_of_page(many, outcomes, tmp_path)}
    # Targets in the same order, since the last round may end between two of them.
    turned = sorted(outcomes, key=lambda outcome: (list(KINDS).index(outcome.target), outcome.id))
    assert {row.outcome.id for row in rows_of_page(many, turned, tmp_path)} == one
    more = {row.outcome.id for row in rows_of_page(many, outcomes, tmp_path, budget=60_000)}
    assert one < more
    # No order of the file: the rows shown are spread over the prompts.
    places = [list(many[0]).index(outcome.prompt_id) for outcome in outcomes if outcome.id in one]
    assert max(places) > 0.9 * len(many[0])
    assert min(places) < 0.1 * len(many[0])


def test_nothing_is_dealt_of_nothing():
    assert len(deal({}, 10).row) == 0
    assert len(deal(source_of({}, [], {}).rows, 10).row) == 0


def test_a_page_of_a_stored_run_deals_too(tmp_path, many, monkeypatch):
    prompts, outcomes, harms = many
    folder = made.write_run(tmp_path / "run", prompts, outcomes, KINDS, harms=harms.values())
    monkeypatch.setattr("overt.report.gallery.TEXT_BUDGET", 40_000)
    page = write_report([folder], tmp_path / "report", images=False).read_text("utf-8")
    [text] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    data = json.loads(text)
    shown = Counter((data["targets"][row[1]], row[2]) for row in data["rows"])
    wanted = Counter((row.outcome.target, row.case) for row in rows_of_page(many, outcomes, tmp_path))
    assert shown == wanted
    assert "the run folder holds all. " in page  # a blank before what follows
    votes = {row[16]: row for row in data["rows"] if row[12]}
    assert votes  # with what the judges said


# -- counted once --------------------------------------------------------------------------------------------


@pytest.fixture
def counted(tmp_path):
    """A run with a summary of its records, as `overt run` leaves it."""
    prompts, outcomes, harms, _ = make_run(7, 60)
    folder = made.write_run(
        tmp_path / "run", {p.id: p for p in prompts}, outcomes, dict(sorted(KINDS.items())), harms=harms
    )
    run = open_run(folder, "run")
    found = gathered(run)
    write_summary(folder, summary_of_rows(found, categories_of(made_policy(folder), found.asked)))
    RunFolder(folder).finish({**run.manifest_data, "counted": counted_from(folder)}, "results")
    return folder, outcomes


def made_policy(folder):
    from overt.policies.load import load_policy

    return load_policy(str(folder / "policy.yaml"))


def figures_of(folder, out):
    write_report([folder], out, images=False)
    found = json.loads((out / "summary.json").read_text())
    return {name: value for name, value in found.items() if name != "title"}


def test_a_summary_of_these_records_is_not_made_again(counted, tmp_path, monkeypatch):
    folder, outcomes = counted
    assert is_counted(open_run(folder, "run"))
    made_anew = []
    monkeypatch.setattr(report, "summary_of_rows", lambda *a: made_anew.append(a) or summary_of_rows(*a))
    first = figures_of(folder, tmp_path / "a")
    assert made_anew == []
    assert first == json.loads((folder / "results" / "summary.json").read_text())
    # Other outcomes: they are counted.
    changed = [outcomes[0], *outcomes[2:]]
    write_records(folder / "stages" / "outcomes.jsonl", changed)
    assert not is_counted(open_run(folder, "run"))
    second = figures_of(folder, tmp_path / "b")
    assert len(made_anew) == 1
    asked = [[t["coverage"]["asked"] for t in found["targets"]] for found in (first, second)]
    assert sum(asked[0]) == sum(asked[1]) + 1
    write_records(folder / "stages" / "outcomes.jsonl", outcomes)
    assert is_counted(open_run(folder, "run"))


@pytest.mark.parametrize("what", ["version", "summary", "labels", "none"])
def test_a_summary_of_anything_else_is_made_again(counted, what, tmp_path):
    folder, _ = counted
    wanted = read_summary(folder)
    manifest = read_json(folder / "manifest.json")
    if what == "version":
        manifest["counted"]["overt"] = "0.1.9"
    elif what == "none":
        del manifest["counted"]  # runs of earlier versions
    elif what == "labels":
        (folder / "results" / "harm.jsonl").write_bytes(b"")
    else:
        path = folder / "results" / "summary.json"
        path.write_text(path.read_text().replace('"asked": ', '"asked": 1'))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run = open_run(folder, "run")
    assert not is_counted(run)
    found = figures_of(folder, tmp_path / "out")
    asked = [target["coverage"]["asked"] for target in found["targets"]]
    assert asked == [target.coverage.asked for target in wanted.targets]
    assert bool(found["judges"]) == (what != "labels")


def test_the_manifest_holds_the_hash_of_large_files_too(tmp_path):
    folder = tmp_path / "run"
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "big.bin").write_bytes(b"x" * 3_000_000 + b"y")
    RunFolder(folder).finish({}, "results")
    [(name, found)] = read_json(folder / "manifest.json")["files"].items()
    assert name == "results/big.bin"
    assert found == hashlib.blake2b(b"x" * 3_000_000 + b"y", digest_size=16).hexdigest()
    assert digest(folder / "results" / "big.bin") == found


# -- several runs --------------------------------------------------------------------------------------------


def test_a_run_given_three_times_has_three_names_and_its_own_verdicts(tmp_path, monkeypatch):
    prompts, outcomes, harms, _ = make_run(8, 60)
    asked = {p.id: p for p in prompts}
    first = made.write_run(tmp_path / "run", asked, outcomes, KINDS, harms=harms)
    bare = made.write_run(tmp_path / "bare", asked, outcomes, KINDS)  # not judged
    names = [name for run in read_runs([first, first, first]) for name in run.kinds]
    assert len(set(names)) == 9
    assert "img/x (run) 2" in names
    monkeypatch.chdir(first)
    assert "img/x (run)" in read_runs([first, Path(".")])[1].kinds  # no folder of the name ""
    write_report([first, bare], tmp_path / "report", images=False)
    found = json.loads((tmp_path / "report" / "summary.json").read_text())
    harmful = {target["name"]: target["harmful"] for target in found["targets"]}
    assert harmful["chat/y"]["n"] > 0
    # The same outcomes by their ids, but nobody judged them there.
    assert harmful["chat/y (bare)"] is None
