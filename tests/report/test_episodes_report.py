"""Episodes in the report: figures in every unit, dealing, replays, several runs, and a page in a browser."""

import base64
import json
import re
import shutil
import time
from collections import Counter

import pytest
from support.builders import page_text
from support.chromium import start
from support.errands import HOSTILE, Errands
from support.inside import cli
from support.paths import TESTS

from overt.data.episodes import Episode, Step
from overt.data.results.episodes import Column, EpisodesSummary, Figure, Played, Row, Section
from overt.data.results.files import read_episodes
from overt.data.run.episodes import Episode as Brief
from overt.data.svg import MOST_BYTES, why_unsafe
from overt.report.episode_data import MOST_TURNS, packed_episode
from overt.report.episodes import build_episodes, dealt, replay_file, replays_folder
from overt.report.plots.lines import draw_lines
from overt.report.sections.episodes import (
    build_episodes as view_of,
)
from overt.report.sections.episodes import (
    figure_cell,
    lines_said,
    notes_of,
    played_lines,
    played_table,
    printed_cell,
    section_table,
)
from overt.tasks.episodes import write_replays
from overt.tasks.report import write_report

SUITE = TESTS / "support" / "errands.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the errands with two targets."""
    return played(tmp_path_factory.mktemp("errands") / "first")


def played(folder, *more, targets=("Moody", "Calm")):
    names = [word for name in targets for word in ("--target", f"support.errands:{name}")]
    cli("run", "--suite", SUITE, *names, "--quiet", *more, "--out", folder, code=3)
    return folder


@pytest.fixture(scope="module")
def page(run):
    return write_report([run], run / "report")


def rows_of(page):
    block = re.search(
        r'(?s)<script type="application/json" id="rows">(.*?)</script>', page.read_text("utf-8")
    )
    return json.loads(block[1])


# -- figures ---------------------------------------------------------------------------------------------


GAIN, PLAIN = Column("a", "A", tone="gain"), Column("b", "B")


@pytest.mark.parametrize(
    ("figure", "column", "text", "below", "printed", "heat"),
    [
        (
            Figure(0.25, 0.1, 0.5, 2, 8, 3), GAIN,
            "25.0%", "10.0 to 50.0 · 2 of 8; 3 missing", "25.0% (2 of 8; 3 missing)", "gain-2",
        ),
        (Figure(0.25, k=2, n=8), PLAIN, "25.0%", "2 of 8", "25.0% (2 of 8)", ""),
        (
            Figure(-0.125, -0.2, 0.05, n=40, unit="difference"), GAIN,
            "\u221212.5", "\u221220.0 to 5.0 · n 40", "\u221212.5 (n 40)", "",
        ),
        (Figure(3.0, n=7, unit="number", note="ours"), PLAIN, "3.00", "n 7 · ours", "3.00 (n 7)", ""),
        (
            Figure(None, missing=2, note="nothing was over budget"), GAIN,
            "-", "2 missing · nothing was over budget", "-", "",
        ),
        (Figure(None), GAIN, "-", "undefined", "-", ""),
        (Figure(float("nan")), GAIN, "-", "undefined", "-", ""),
    ],
)  # fmt: skip
def test_a_figure_stands_with_what_it_was_counted_from(figure, column, text, below, printed, heat):
    cell = figure_cell(figure, column, 2)
    assert (cell.text, cell.below.replace("\u00a0", " "), cell.heat) == (text, below, heat)
    assert cell.muted == (text == "-")
    assert printed_cell(figure, column, 2).text == printed


def section(*rows, columns=(GAIN, PLAIN), **more):
    return Section("s", "Some figures", columns, tuple(rows), **more)


def test_numbers_of_a_column_have_equal_decimals():
    def texts(*values, low=None):
        rows = [Row("t", str(i), (Figure(v, low, low, unit="number"),)) for i, v in enumerate(values)]
        return [row[-1].text for row in section_table(section(*rows, columns=(PLAIN,)), "s").rows]

    assert texts(4, 128.0) == ["4", "128"]
    assert texts(4, 0.5) == ["4.00", "0.50"]
    assert texts(0.1234, 0.5) == ["0.123", "0.500"]
    assert texts(1234.56, 2) == ["1234.6", "2.0"]
    assert texts(3, low=1.0) == ["3.00"]
    assert texts(None) == ["-"]


def test_names_that_all_rows_share_take_no_column():
    figures = (Figure(0.5), Figure(0.25))
    both = section_table(section(Row("a", "x", figures), Row("b", "y", figures), group="kind"), "s")
    assert list(both.columns) == ["Target", "Kind", "A", "B"]
    assert both.numeric_from == 2
    one = section_table(section(Row("a", "x", figures), Row("a", "y", figures)), "s")
    assert list(one.columns) == ["Group", "A", "B"]
    assert one.caption == "Some figures: a"
    no_groups = section_table(section(Row("a", "all", figures)), "s")
    assert list(no_groups.columns) == ["Target", "A", "B"]
    few = section_table(section(Row("a", "x", figures[:1]), Row("a", "y", figures)), "s")
    assert few.rows[0][2].muted  # a figure that an environment left out
    cut = section_table(section(*(Row("a", str(i), figures) for i in range(9))), "s", most=4)
    assert len(cut.rows) == 4


def test_notes_name_the_rows_that_they_are_of():
    none, ours = Figure(None, note="nobody lost"), Figure(0.5, note="ours")
    found = section(
        Row("a", "x", (none, ours)), Row("a", "y", (Figure(0.5), ours)), Row("b", "x", (none, ours))
    )
    assert list(notes_of(found)) == ["A: -, nobody lost (a, x; b)", "B: ours"]
    many = section(
        *(Row("a", str(i), (none, Figure(float(i % 7)))) for i in range(6)), Row("a", "z", (ours,))
    )
    assert next(notes_of(many)) == "A: -, nobody lost (0; 1; 2; 3 and 2 more)"


def test_how_episodes_ended_is_told_with_reasons():
    target = Played(
        "t", 9, 31, {"ended": 4, "missing": 3, "refused": 2}, {"done": 4}, {"unreadable": 2, "server": 1},
        {"model": 1, "prompt_filter": 2}, 5, 0.25,
    )  # fmt: skip
    assert list(played_lines(target)) == [
        "9 episodes, 31 turns: 4 ended, 2 refused, 0 capped, 3 missing",
        "the environment's word at the end: done 4",
        "missing: unreadable 2, server 1",
        "3 refused turns: model 1, prompt filter 2",
        "5 turns could be read only after one repair",
    ]
    (row,) = played_table([target]).rows
    assert [cell.text for cell in row] == ["t", "9", "4", "2", "0", "3", "31", "3", "5", "done 4"]
    assert [row[1].note, row[5].note] == ["US$ 0.2500", "unreadable 2, server 1"]


def test_lines_are_drawn_where_there_is_something_to_draw(run):
    assert draw_lines(section(Row("a", "1", (Figure(None),)), columns=(GAIN,))) is None
    drawn = draw_lines(read_episodes(run).sections[1])
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["Done so far", "A rate"]
    assert len(drawn.axes[0].get_lines()) >= 2
    # Panels of one unit can be compared, since they have one axis.
    both = section(
        Row("a", "1", (Figure(0.2, 0.1, 0.4), Figure(0.9))), Row("a", "2", (Figure(0.0), Figure(None)))
    )
    limits = [axes.get_ylim() for axes in draw_lines(both).axes]
    assert limits[0] == limits[1] == pytest.approx((-0.045, 0.945))
    assert lines_said(read_episodes(run).sections[1]).startswith(
        "Errands by turn: a line for each target over turn"
    )


# -- which episodes, and how much of them ----------------------------------------------------------------


def test_episodes_are_dealt_over_targets_states_categories_and_labels():
    def episodes():
        place = 0
        for target, state, count in (
            ("a", "ended", 500),
            ("a", "refused", 3),
            ("b", "ended", 40),
            ("b", "missing", 1),
        ):
            for number in range(count):
                yield (
                    place,
                    Brief(f"{target}{state}{number * 7919 % 1000:04}", "p", target, "benign", "c", state),
                )
                place += 1

    found = list(episodes())
    places, count = dealt(found, 40)
    assert count == 544
    shown = Counter((one.target, one.state) for place, one in found if place in set(places))
    assert shown == {("a", "ended"): 18, ("a", "refused"): 3, ("b", "ended"): 18, ("b", "missing"): 1}
    # The first ones stay the first ones, so that replays are of episodes that are shown.
    assert dealt(found, 10)[0] == places[:10]
    # Within a pile the smallest ids, whatever the order of the file.
    ids = sorted(one.id for _, one in found if (one.target, one.state) == ("a", "ended"))[:18]
    assert {
        one.id for place, one in found if place in set(places) and one.target == "a" and one.state == "ended"
    } == set(ids)
    assert dealt([], 5) == ([], 0)


def test_what_has_no_room_is_counted(run):
    whole = build_episodes(run, {})
    assert (len(whole.cases), whole.left_out) == (48, 0)
    few = build_episodes(run, {"support.errands:Calm": "calm (second)"}, most=10, images=False)
    assert (len(few.cases), few.left_out) == (10, 38)
    assert {case.episode.target for case in few} == {"support.errands:Moody", "calm (second)"}
    assert not any(case.replay for case in few)
    size = len(json.dumps(packed_episode(few.cases[0].episode, (), "")))
    assert len(build_episodes(run, {}, text_budget=3 * size).cases) <= 6


def test_a_long_episode_is_cut_and_says_so():
    steps = tuple(Step(i, "x" * 9_000, "<think>why</think>y", facts={"at": i}) for i in range(1, 300))
    episode = Episode("e", "p", "t", 0, 1, "env", "benign", "c", "k", "ended", steps=steps)
    packed = packed_episode(episode, (), "")
    assert packed[11] == 299
    assert len(packed[12]) == MOST_TURNS
    told, thought, said = packed[12][0][1:4]
    assert told == "x" * 4_000 + " … (cut)"
    assert (thought, said) == ("why", "y")


# -- replays ---------------------------------------------------------------------------------------------


SVG = "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>{}</svg>"


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        ("<g><rect width='1' height='1' fill='url(#a)'/><use href='#b'/><!-- a note --></g>", ""),
        ("<style><![CDATA[rect { fill: red }]]></style><animate attributeName='x' dur='1s'/>", ""),
        ("<image href='data:image/png;base64,AAAA'/>", ""),
        ("<script>1</script>", "element script"),
        ("<g><ScRipt/></g>", "element script"),
        ("<foreignObject/>", "element foreignobject"),
        ("<rect onload='x()'/>", "attribute onload"),
        ("<a xlink:href='https://example.org'/>", "something outside"),
        ("<image href='data:image/svg+xml;base64,AAAA'/>", "something outside"),
        ("<rect fill='url(https://example.org/a.svg#b)'/>", "something outside"),
        ("<rect style='fill: url( &quot;//example.org&quot; )'/>", "something outside"),
        ("<style>@import 'https://example.org';</style>", "something outside"),
        ("<a href=' javascript:alert(1)'/>", "something outside"),
        ("<g>", "no XML"),
        ("<?xml-stylesheet href='a'?>", "instructions"),
    ],
)
def test_a_replay_draws_and_does_nothing_else(inner, why):
    found = why_unsafe(SVG.format(inner))
    assert (why in found) if why else found == ""


def test_a_replay_is_one_drawing_of_some_size():
    assert "no SVG" in why_unsafe("<html/>")
    assert "declares" in why_unsafe("<!DOCTYPE svg [<!ENTITY a 'b'>]>" + SVG.format("&a;"))
    assert why_unsafe("<?xml version='1.0' encoding='utf-8'?>\n" + SVG.format("")) == ""
    assert "larger" in why_unsafe(SVG.format("<g/>" * (MOST_BYTES // 4)))
    assert "no XML" in why_unsafe("")


def test_replays_of_some_episodes_are_written_and_shown(run):
    files = list(replays_folder(run).iterdir())
    # 24 were dealt; those of the unsafe kitchen hold a script.
    assert 15 < len(files) < 24
    assert all(why_unsafe(file.read_text("utf-8")) == "" for file in files)
    manifest = json.loads((run / "manifest.json").read_text())
    assert any(
        re.fullmatch(r"[1-9] replays cannot be shown: it has an element script", n) for n in manifest["notes"]
    )
    assert f"results/replays/{files[0].name}" in manifest["files"]
    shown = [case for case in build_episodes(run, {}) if case.replay]
    assert {case.episode.id for case in shown} == {file.stem for file in files}
    assert replay_file(run, "../../secrets") is None


class Faulty(Errands):
    def picture(self, episode):
        if episode.label == "unsafe":
            raise ZeroDivisionError
        return None if episode.state == "ended" else b"no text"


def test_a_replay_that_fails_costs_no_run(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    notes = write_replays(copy, Faulty())
    assert sorted(re.sub(r"^\d+", "N", note) for note in notes) == [
        "N replays cannot be shown: the environment failed (AttributeError)",
        "N replays cannot be shown: the environment failed (ZeroDivisionError)",
    ]
    assert not replays_folder(copy).exists()  # those of the earlier end are gone


def test_a_replay_that_was_changed_is_not_shown(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    file = next(replays_folder(copy).iterdir())
    file.write_text(SVG.format("<script>alert(1)</script>"))
    assert not next(case for case in build_episodes(copy, {}) if case.episode.id == file.stem).replay


# -- the page --------------------------------------------------------------------------------------------


def test_the_page_shows_warnings_states_and_every_figure(run, page):
    html = page.read_text("utf-8")
    said = page_text(html)
    summary = read_episodes(run)
    for part in (
        summary.warnings[0], "Environment errands, version 3; 95% intervals.", "Errands by turn",
        "Episodes in which everything was done, over those played.", "nobody asked twice",
        "model 2, prompt filter 4", "unreadable 5", "48 episodes.",
    ):  # fmt: skip
        assert part in said, part
    assert said.index(summary.warnings[0]) < said.index("Headline rates for each target")
    assert "<script>alert" not in html
    assert "onerror" not in re.sub(r"(?s)<script.*?</script>", "", html).replace("onerror=alert(2)&gt;", "")
    data = rows_of(page)
    assert len(data["episodes"]) == 48
    assert Counter(row[2] for row in data["episodes"]) == Counter(
        state for played in summary.targets for state, count in played.states.items() for _ in range(count)
    )
    assert (page.parent / "plots" / "episodes-2.svg").exists()
    assert (page.parent / "plots" / "episodes-2-narrow.png").exists()
    assert json.loads((page.parent / "summary.json").read_text())["episodes"]["suite"] == "errands"
    table = (page.parent / "table.md").read_text("utf-8")
    assert table.startswith(summary.warnings[0])
    assert "| support.errands:Moody | kitchen | 50.0% (30.0 to 70.0) (3 of 6; 2 missing) |" in table.replace(
        "\u00a0", " "
    )


def test_runs_of_one_suite_stand_side_by_side(run, tmp_path):
    other = played(tmp_path / "second", "--setting", "each=2", targets=("Calm",))
    page = write_report([run, other], tmp_path / "report", images=False)
    said = page_text(page.read_text("utf-8"))
    assert "These runs differ in --setting: their figures are not of the same tasks." in said
    data = rows_of(page)
    assert data["targets"] == [
        "support.errands:Moody",
        "support.errands:Calm",
        "support.errands:Calm (second)",
    ]
    assert len(data["episodes"]) == 48 + 12
    found = json.loads((tmp_path / "report" / "summary.json").read_text())["episodes"]
    assert len(found["sections"][0]["rows"]) == 9
    assert len(found["sections"]) == 2
    assert [target["target"] for target in found["targets"]][-1] == "support.errands:Calm (second)"


def test_a_summary_with_hardly_anything_in_it():
    view = view_of(EpisodesSummary("e", 1, "s", "T", (), (Section("a", "A", (), (), plot="lines"),)))
    assert view.sections[0].plot == ""
    assert not view.sections[0].table.rows


# -- in a browser ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("profile"), "1280,900")
    yield made
    made.quit()


@pytest.fixture
def opened(driver, page):
    driver.get_log("browser")
    driver.get(page.as_uri())
    until(driver, "return document.querySelector('#episodes-list .case')")
    return driver


def until(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 20, poll_frequency=0.05).until(lambda it: it.execute_script(condition))


def texts(driver, selector):
    return [it.text for it in driver.find_elements("css selector", selector)]


def open_first(driver, state):
    driver.execute_script(f"document.querySelector(\"#e-state input[value='{state}']\").click()")
    driver.execute_script("document.querySelector('#episodes-list details.whole summary').click()")
    until(driver, "return document.querySelector('#episodes-list .turn')")


def test_an_episode_is_read_turn_by_turn(opened):
    assert texts(opened, "#e-found") == ["1 to 20 of 48 episodes"]
    assert not opened.find_elements(
        "css selector", "#episodes-list .turn"
    )  # nothing is told before it is opened
    open_first(opened, "refused")
    assert "14 episodes" in texts(opened, "#e-found")[0]
    turn = texts(opened, "#episodes-list .turn")[0]
    assert "refused by model" in turn
    assert "Said" in turn
    assert "I'm sorry, but I can't help with that." in turn
    assert "Is it" not in turn  # the thinking is folded
    visible = HOSTILE.replace("\u202e", "[U+202E]")
    assert visible in texts(opened, "#episodes-list .turn .prompt")[0]
    assert (
        opened.execute_script(
            "return document.querySelectorAll('#episodes-list script, #episodes-list [onerror]').length"
        )
        == 0
    )
    assert opened.get_log("browser") == []


def test_a_repaired_turn_shows_its_calls_and_its_replay(opened, run):
    shown = {file.stem for file in replays_folder(run).iterdir()}
    assert shown
    open_first(opened, "ended")
    opened.execute_script(
        "for (const it of document.querySelectorAll('#episodes-list details')) it.open = true"
    )
    until(opened, "return document.querySelector('#episodes-list .turn .call')")
    said = "\n".join(texts(opened, "#episodes-list .turn"))
    assert "repaired" in said
    assert "Could not be read at first: the arguments of do are no JSON" in said
    (source, *_) = [it.get_attribute("src") for it in opened.find_elements("css selector", "img.replay")]
    head, _, body = source.partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(body).startswith(b"<svg")


def test_episodes_are_filtered_and_pages_turn(opened):
    from selenium.webdriver.support.ui import Select

    Select(opened.find_element("id", "e-category")).select_by_visible_text("garden")
    Select(opened.find_element("id", "e-target")).select_by_visible_text("support.errands:Calm")
    Select(opened.find_element("id", "e-label")).select_by_visible_text("unsafe")
    assert texts(opened, "#e-found") == ["1 to 4 of 4 episodes"]
    assert set(texts(opened, "#episodes-list .fold > summary")) == {"Show unsafe task"}
    Select(opened.find_element("id", "e-task")).select_by_visible_text("tool: hose")
    assert texts(opened, "#e-found") == ["1 to 2 of 2 episodes"]
    assert all("tool: hose" in tags for tags in texts(opened, "#episodes-list .tags"))
    Select(opened.find_element("id", "e-task")).select_by_index(0)
    Select(opened.find_element("id", "e-category")).select_by_index(0)
    Select(opened.find_element("id", "e-replay")).select_by_visible_text("with a replay")
    shown = texts(opened, "#episodes-list .tags")
    assert shown
    assert all("replay" in tags.split() for tags in shown)
    Select(opened.find_element("id", "e-replay")).select_by_index(0)
    Select(opened.find_element("id", "e-target")).select_by_index(0)
    Select(opened.find_element("id", "e-label")).select_by_index(0)
    opened.execute_script("document.querySelector('#turns .next').click()")
    assert texts(opened, "#e-found") == ["21 to 40 of 48 episodes"]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(opened, width):
    try:
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened.execute_script("for (const it of document.querySelectorAll('details.whole')) it.open = true")
        time.sleep(0.2)
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
