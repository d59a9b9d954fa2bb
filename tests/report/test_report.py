"""The report: hostile text stays text, nothing is fetched, and it works in a real browser."""

import base64
import dataclasses
import hashlib
import io
import itertools
import json
import os
import re
import time
import typing
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support import report_data as made
from support.builders import page_text
from support.chromium import start

from overt.data import judge_check_history as judge_checks
from overt.data.errors import InputError
from overt.data.judge_check_history import JudgeCheck, Span, keep_checks, last_check
from overt.data.outcomes import Harm, Outcome
from overt.data.records import Prompt
from overt.data.results.comparison import CategoryChange, Comparison, Flip, MetricChange
from overt.data.results.files import write_summary
from overt.data.results.remedy import Mean, Remedy, RemedySide
from overt.data.results.summary import (
    Coverage,
    PromptCounts,
    SideCounts,
    Summary,
    TargetSummary,
)
from overt.data.targets import RefusalStage
from overt.data.text import STAGES, interval, points, short_name, signed, visible
from overt.data.typed_json import from_json, to_json
from overt.report.block import Block, JudgeLine
from overt.report.cases import GalleryCase, RewriteCase, Thumbnails, thumbnail
from overt.report.comparison import render_comparison
from overt.report.gallery import build_gallery, source_of
from overt.report.html import content_security_policy, json_block
from overt.report.markdown import render_markdown
from overt.report.page import render
from overt.report.page_data import Packer
from overt.report.plots import draw_plots, for_dark_page, write_plots
from overt.report.plots.drawing import INKS
from overt.report.provenance import Provenance
from overt.report.rewrites import build_rewordings
from overt.report.sections.targets import state_table
from overt.scoring.boundaries import BoundaryAnswer, summarize_boundaries
from overt.scoring.summary.metrics import METRICS
from overt.tasks.leaderboard import write_leaderboard
from overt.tasks.report import write_report

# What hostile prompts, codes and names try: to end the block, to be markup, to hide, to break XML.
HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
    "<!-- <style>*{display:none}</style> \" ' ` $x_1$ & \u202egnp.exe\u2069 \x00 \ufffe \ud800 \U000e0041"
    " https://evil.example/x [a](https://evil.example) | \u2028 {{ 7*7 }}"
)


def evaluation(benign=60, unsafe=30, targets=made.TARGETS, **options):
    prompts = made.make_prompts(benign, unsafe)
    outcomes, harms = made.make_outcomes(prompts, targets, **options)
    return prompts, outcomes, harms, made.make_summary(prompts, outcomes, harms, targets)


def hostile_everywhere(record):
    """The record with every text in it made hostile, bar the few that are keys or vocabulary."""
    return from_json(type(record), _hostile(to_json(record)))


def _hostile(value):
    known = {"image", "text", "none", "benign", "unsafe", "judged", "refused only", "over_refusal"}
    known |= {"safe_response", "prompt_filter", "model", "image_filter", "wilson", "text_image"}
    if isinstance(value, dict):
        return {k: _hostile(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_hostile(v) for v in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) and value not in known else value


@pytest.fixture(scope="module")
def hostile_page():
    return make_hostile_page()


def make_hostile_page():
    prompts, outcomes, harms, summary = evaluation(targets=made.TARGETS[:3])
    rows = [
        GalleryCase(
            Prompt(**{**_fields(prompts[o.prompt_id]), "text": HOSTILE + o.prompt_id, "trigger": HOSTILE}),
            Outcome(
                **{**_fields(o), "code": HOSTILE, "evidence": HOSTILE, "text": HOSTILE, "target": HOSTILE}
            ),
            harms.get(o.id),
        )
        for o in outcomes
    ]
    rewriting = made.make_rewriting(prompts, outcomes)
    pairs = [
        hostile_pair(pair, made.picture(1, 16))
        for pair in build_rewordings(prompts, outcomes, rewriting, Path("/nowhere"), images=False)
    ]
    block = Block(
        hostile_everywhere(summary),
        f"a part {HOSTILE}",
        rows,
        remedy=hostile_everywhere(rewriting.remedy),
        rewordings=pairs,
        boundaries=summarize_boundaries(
            [BoundaryAnswer(HOSTILE, HOSTILE, HOSTILE, str(i)) for i in range(3)]
        ),
        judges=[
            JudgeLine(HOSTILE, HOSTILE),
            JudgeLine(
                HOSTILE, "text", JudgeCheck(HOSTILE, "text", "x", HOSTILE, 9, 8, Span(0.5), None, HOSTILE)
            ),
        ],
    )
    plots = draw_plots(block.summary, remedy=block.remedy, boundaries=block.boundaries)
    assert {"remedy", "boundaries"} <= set(plots)
    block = dataclasses.replace(block, plots=plots)
    return render([block, block], hostile_everywhere(dataclasses.replace(made.FACTS, notes=("a note",))))


def hostile_pair(pair, picture):
    """A reworded prompt with every text of it made hostile."""

    def spoilt(record, *names):
        return dataclasses.replace(record, **dict.fromkeys(names, HOSTILE))

    scores = [
        dataclasses.replace(spoilt(s, "model", "detail"), missing=(HOSTILE,), value=float("nan"))
        for s in pair.scores
    ]
    return dataclasses.replace(
        pair,
        prompt=spoilt(pair.prompt, "text", "trigger", "category"),
        choice=spoilt(pair.choice, "target", "measure"),
        before=spoilt(pair.before, "code", "evidence", "text"),
        candidate=pair.candidate and spoilt(pair.candidate, "text", "strategy"),
        after=pair.after and spoilt(pair.after, "code", "evidence", "text"),
        scores=tuple(scores),
        others=tuple((spoilt(c, "text", "strategy"), spoilt(o, "code")) for c, o in pair.others),
    )


def _fields(record):
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.blocks = []
        self._open = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self._open = (tag, dict(attrs), [])

    def handle_data(self, data):
        if self._open:
            self._open[2].append(data)

    def handle_endtag(self, tag):
        if self._open and tag == self._open[0]:
            self.blocks.append((tag, self._open[1], "".join(self._open[2])))
            self._open = None


def test_hostile_text_makes_no_markup(hostile_page):
    hostile_page.encode("utf-8")  # lone surrogates would break the file
    found = Elements(hostile_page)
    assert [(tag, attrs) for tag, attrs, _ in found.blocks] == [
        ("style", {}),
        ("script", {"type": "application/json", "id": "rows"}),
        ("script", {}),
    ]
    for tag, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs)
    assert "{{ 7*7 }}" in hostile_page  # a template within a name is not run
    assert "\x00" not in hostile_page
    assert "\u202e" not in hostile_page
    rows = json.loads(found.blocks[1][2])
    assert rows["rows"]
    assert rows["stages"] == STAGES  # the page's script has no words of its own for them
    assert set(STAGES) == set(typing.get_args(RefusalStage))
    assert rows["rewordings"]
    assert all("[U+202E]" in prompt[1] for prompt in rows["prompts"])


def test_the_policy_names_exactly_what_is_inline(hostile_page):
    found = Elements(hostile_page)
    metas = [attrs for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs]
    policy = metas[0]["content"]
    (style,) = [text for tag, _, text in found.blocks if tag == "style"]
    (script,) = [text for tag, attrs, text in found.blocks if tag == "script" and not attrs]

    def digest(text):
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'{digest(style)}'",
        "script-src": f"'{digest(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert policy == content_security_policy(style, script)
    order = [tag for tag, attrs in found.tags if tag == "style" or attrs.get("http-equiv")]
    assert order == ["meta", "style"]
    assert "innerHTML" not in script
    assert "insertAdjacentHTML" not in script


@pytest.mark.parametrize(
    "text", ["</script>", "<!--", "<script", "]]>", "\u2028", "\ud800", "\x00", "&lt;", "é"]
)
def test_json_cannot_end_its_block(text):
    block = json_block({"a": text})
    assert not set("<>&\u2028\x00") & set(block)
    assert block.isascii()
    assert json.loads(block) == {"a": text}


def test_hidden_characters_become_visible():
    assert visible("a\u202eb\x00c\ud800") == "a[U+202E]b[U+0000]c[U+D800]"
    family = "\U0001f468\u200d\U0001f469 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 line\n\ttab"
    assert visible(family) == family


def test_names_are_cut_where_they_do_not_differ():
    a, b = (short_name(f"filter/profanity-check?a_long_option=yes&threshold=0.{n}", 34) for n in (2, 5))
    assert a != b
    assert len(a) == 34


def test_figures_in_words():
    assert interval(Mean(0.12, 0.1021, 0.145)) == "10.2 to 14.5"
    assert interval(Mean(0.12, float("nan"), 0.1)) == interval(Mean(0.12)) == interval(None) == ""
    assert [points(0.0421), points(-0.0421), points(-0.00001), points(None)] == [
        "+4.2",
        "\u22124.2",
        "0.0",
        "-",
    ]


# ---- what it says


def small_page(**facts):
    _, _, _, summary = evaluation(targets=made.TARGETS[:3])
    return summary, page_text(render([Block(summary)], dataclasses.replace(made.FACTS, **facts)))


def test_headline_figures_stand_with_their_intervals():
    summary, said = small_page()
    for target in summary.targets:
        rate = target.over_refusal
        assert f"{100 * rate.rate:.1f}%" in said
        assert f"{100 * rate.low:.1f} to {100 * rate.high:.1f} {rate.k} of {rate.n}" in said


def test_low_coverage_is_said_on_top_and_only_then():
    _, said = small_page(below_coverage=["openai/gpt-image-1"])
    assert said.index("Coverage below 95%") < said.index("Headline")
    _, said = small_page(below_coverage=[])
    assert "Coverage below" not in said


def test_what_was_not_measured_is_said():
    summary, said = small_page()
    assert "bare filter: nothing is drawn" in said
    assert "checker/nudenet: 13 prompts unchecked" in said
    assert "No model judged harm" not in said
    unjudged = [
        dataclasses.replace(target, harmful=None, safe_response=None, safe_basis=None)
        for target in summary.targets[:2]
    ]
    summary = dataclasses.replace(summary, judges=None, targets=(*unjudged, *summary.targets[2:]))
    said = page_text(render([Block(summary)], made.FACTS))
    assert "so harmful content and safe response cannot be told" in said
    assert said.count("no model judged harm") >= 2


def test_it_shows_what_the_statistics_really_hand_over():
    from overt.scoring.summary.summarize import summarize

    prompts = made.make_prompts(90, 45)
    outcomes, harms = made.make_outcomes(prompts)
    for judged in (list(harms.values()), []):
        summary = summarize(
            list(prompts.values()),
            outcomes,
            judged,
            categories=list(made.CATEGORIES.items()),
            kinds={name: kind for name, kind, *_ in made.TARGETS},
        )
        said = page_text(render([Block(summary, plots=draw_plots(summary))], made.FACTS))
        rate = summary.targets[1].over_refusal
        assert f"{100 * rate.low:.1f} to {100 * rate.high:.1f} {rate.k} of {rate.n}" in said
        assert ("Not in the scatter plot" in said) is not bool(judged)
        assert ("Krippendorff alpha 1.000" in said) is bool(judged)
        assert "NaN" not in said
        assert "None" not in said


def test_a_new_metric_is_shown_without_another_word_about_it(monkeypatch):
    meaning = "benign prompts counted once more ÷ benign prompts answered"
    new = dataclasses.replace(METRICS["over_refusal"], title="Brand-new rate", meaning=meaning)
    monkeypatch.setitem(METRICS, "brand_new", new)
    summary, said = small_page()
    rate = summary.targets[0].over_refusal
    headline, glossary = said[: said.index("What the caution")], said[said.index("Glossary") :]
    assert "Brand-new rate" in headline
    assert headline.count(f"{rate.k} of {rate.n}") >= 2
    assert f"Brand-new rate by category: {meaning}" in said
    assert f"Brand-new rate {meaning}" in glossary
    assert "Brand-new rate" in render_markdown(summary)


def test_a_bare_filter_cannot_soften():
    _, _, _, summary = evaluation(targets=[made.TARGETS[2]])
    said = page_text(render([Block(summary)], made.FACTS))
    assert "Softened" not in said[: said.index("Each judge alone")]


def test_layers_in_plain_words():
    _, said = small_page()
    assert re.search(r"Dropping “checker/nudenet” would free 1 benign prompt \(over-refusal from", said)
    assert "“model” refuses nothing that another layer does not refuse as well" in said


def test_a_summary_with_hardly_anything_in_it():
    target = TargetSummary(name="a/b", coverage=Coverage(0, 0, 0.0))
    summary = Summary(level=0.9, prompts=PromptCounts(), targets=(target,))
    assert draw_plots(summary) == {}
    said = page_text(render([Block(summary)], Provenance()))
    assert "no benign prompts answered" in said
    assert "a/b" in render_markdown(summary)


def test_markdown_keeps_its_table():
    _, _, _, summary = evaluation(targets=made.TARGETS[:2])
    first, *others = summary.targets
    first = dataclasses.replace(first, name=HOSTILE)
    text = render_markdown(dataclasses.replace(summary, targets=(first, *others)))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    head = rows[0].count(" | ")
    assert all(len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"\|", rows[0])) for row in rows[:4])
    assert head >= 5
    assert "<img" not in text
    assert "https://evil" not in text


# ---- plots


def test_plots_are_files_and_hostile_names_only_text(tmp_path):
    _, _, _, summary = evaluation(targets=made.TARGETS[:3])
    targets = tuple(
        dataclasses.replace(
            target,
            name=f"{target.name} {HOSTILE}"[-300:],
            categories=tuple(dataclasses.replace(row, title=HOSTILE) for row in target.categories),
        )
        for target in summary.targets
    )
    plots = write_plots(dataclasses.replace(summary, targets=targets), tmp_path)
    assert sorted(plots) == ["categories", "categories-narrow", "radar", "roc", "scatter"]
    for name, svg in plots.items():
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.svg").read_text("utf-8") == svg
        root = ET.fromstring(svg)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "image", "foreignObject", "a"}
        assert "<!DOCTYPE" not in svg
        ET.fromstring(for_dark_page(svg))


def test_plots_are_the_same_each_time():
    _, _, _, summary = evaluation(targets=made.TARGETS[:2])
    assert draw_plots(summary) == draw_plots(summary)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("light", "dark"), INKS)
def test_inks_can_be_read_on_their_ground(light, dark):
    assert contrast(light, "#ffffff") >= 4.5
    assert contrast(dark, "#12161b") >= 4.5


# ---- pictures


def test_a_thumbnail_is_small_and_holds_pixels_only():
    from PIL import Image

    data = base64.b64decode(thumbnail(made.picture(1, 640)).partition(",")[2])
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    assert max(image.size) == 192
    assert b"SECRETMETA" not in data
    assert not set(image.info) & {"exif", "xmp", "icc_profile", "parameters"}
    assert b"SECRETMETA" in made.picture(1, 640)


def outcome_with(images, state="generated", id_="outcome-1", prompt="p"):
    return Outcome(id_, prompt, "a/b", 0, state, images=tuple(images))


PROMPTS = {
    label: Prompt(label, f"{label} prompt", "violence", label, "direct", "w/m", "t 1")
    for label in ("benign", "unsafe")
}


def test_pictures_outside_the_run_or_broken_are_not_shown(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "secret.png").write_bytes(made.picture(1, 64))
    (run / "good.png").write_bytes(made.picture(2, 64))
    (run / "broken.png").write_bytes(made.picture(2, 64)[:200])
    (run / "page.png").write_text("<html>")
    os.symlink(tmp_path / "secret.png", run / "link.png")
    images = ["good.png", "../secret.png", "link.png", "broken.png", "page.png", "gone.png", "nul\x00.png"]
    (row,) = build_gallery(source_of(PROMPTS, [outcome_with(images, prompt="benign")], {}), run)
    assert len(row.pictures.uris) == 1
    assert row.pictures.unreadable == 6


def test_the_budget_keeps_what_a_reviewer_looks_for(tmp_path):
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(made.picture(i, 200))
    one = len(thumbnail(made.picture(0, 200)))
    outcomes = [
        outcome_with([f"{i}.png"], id_=f"o{i}", prompt="benign" if i < 6 else "unsafe") for i in range(8)
    ]
    gallery = build_gallery(source_of(PROMPTS, outcomes, {}), tmp_path, page_budget=int(one * 2.9) + 4000)
    shown = [row.outcome.id for row in gallery if row.pictures.uris]
    assert set(shown) >= {"o6", "o7"}
    assert sum(row.pictures.left_out for row in gallery) == 8 - len(shown) > 0
    assert sum(len(uri) for row in gallery for uri in row.pictures.uris) < one * 2.9 + 4000
    text = page_text(render([Block(evaluation(9, 9)[3], rows=gallery.rows)], made.FACTS))
    assert f"{8 - len(shown)} pictures were left out" in text
    few = build_gallery(source_of(PROMPTS, outcomes, {}), tmp_path, text_budget=700)
    assert 0 < len(few.rows) < 8
    assert few.rows_left_out == 8 - len(few.rows)
    assert [row.outcome.id for row in few][-1] == "o7"


@pytest.mark.parametrize(
    ("label", "state", "harm", "case"),
    [
        ("benign", "refused", None, "over_refused"),
        ("benign", "generated", None, "other"),
        ("unsafe", "refused", None, "other"),
        ("unsafe", "generated", None, "slipped"),
        ("unsafe", "generated", "harmful", "slipped"),
        ("unsafe", "generated", "unclear", "slipped"),
        ("unsafe", "generated", "harmless", "other"),
        ("unsafe", "softened", None, "softened"),
        ("benign", "partial", None, "partial"),
        ("benign", "safe_completion", None, "safe_completion"),
        ("unsafe", "safe_completion", "harmful", "safe_completion"),
        ("benign", "error", None, "error"),
    ],
)
def test_which_case_it_is(label, state, harm, case):
    said = Harm("o", label, "a/b", harm, ()) if harm else None
    outcome = outcome_with((), state)
    if code := {"partial": "partial_refusal", "safe_completion": "safe_completion"}.get(state):
        outcome = dataclasses.replace(outcome, state="softened", code=code)
    found = GalleryCase(PROMPTS[label], outcome, said)
    assert found.case == case
    assert (found.urgency == 0) == (harm == "harmful")


# ---- rewriting


def remedy_page(prompts, outcomes, **options):
    rewriting = made.make_rewriting(prompts, outcomes, **options)
    _, _, _, summary = evaluation(9, 9, made.TARGETS[:3])
    return rewriting, page_text(render([Block(summary, remedy=rewriting.remedy)], made.FACTS))


def test_refusal_won_and_meaning_lost_stand_with_their_intervals():
    prompts, outcomes, *_ = evaluation(90, 45, made.TARGETS[:3])
    rewriting, said = remedy_page(prompts, outcomes)
    for target in rewriting.remedy.targets:
        side = target.benign
        for rate in (side.before, side.after, side.won, side.categories[0].before):
            assert f"{100 * rate.rate:.1f}% {interval(rate)} · {rate.k} of {rate.n}" in said
        for row in target.faithfulness:
            assert row.model in said
            with_picture = target.name == made.WITH_BASELINE and row.measure == "text_image"
            assert (row.difference is not None) is with_picture
            mean = row.difference if with_picture else row.value
            if row.measure in {"text_image", "text_text"}:
                figure = signed(mean.mean) if with_picture else f"{mean.mean:.3f}"
                low, high = (f"{end:.3f}".replace("-", "\u2212") for end in (mean.low, mean.high))
                assert f"{figure} {low} to {high} · n {mean.n}" in said
    assert "Picture to prompt, difference" in said
    assert "difference to the original's own picture" in said
    assert "cosine of the new picture and the original prompt, −1 to 1" in said
    assert "the picture is black (" in said
    assert "NaN" not in said
    assert "None" not in said


def test_a_remedy_that_lets_unsafe_prompts_through_is_warned_of():
    prompts, outcomes, *_ = evaluation(30, 60, made.TARGETS[:1])
    rewriting, said = remedy_page(prompts, outcomes)
    target = rewriting.remedy.targets[0]
    won = target.unsafe.won
    assert won.k > 0
    assert f"Warning: the remedy lets unsafe prompts through. Of {won.n} refused unsafe prompts" in said
    _, said = remedy_page(prompts, outcomes, unsafe=False)
    assert "Warning" not in said
    assert "whether this remedy lets them through is not known" in said
    _, _, _, summary = evaluation(9, 9, made.TARGETS[:1])

    def page_of(asked=True, **changes):
        changed = dataclasses.replace(target, **changes)
        remedy = dataclasses.replace(rewriting.remedy, targets=(changed,), control=asked)
        return page_text(render([Block(summary, remedy=remedy)], made.FACTS))

    none = RemedySide(won=dataclasses.replace(won, k=0, rate=0.0, low=0.0, high=0.07))
    control = f"none of {won.n} refused unsafe prompts got through; the interval reaches to 7.0%"
    # What was never tried again is no evidence that nothing gets through.
    for untried, words in (
        (0, f"{control}."),
        (3, f"{control}; for 3 more there was no wording to try."),
    ):
        said = page_of(unsafe=none, untried=SideCounts(0, untried))
        assert words in said
        assert "Warning" not in said
    said = page_of(unsafe=RemedySide(), untried=SideCounts(0, 3))
    assert "No wording was found for any refused unsafe prompt: the control has nothing to say" in said
    for asked, words in ((True, "No unsafe prompt was refused"), (False, "Unsafe prompts were not reworded")):
        said = page_of(asked, unsafe=None, unknown=SideCounts(2, 0))
        assert words in said
        assert "2 benign prompts are in no rate here" in said
    said = page_of(unsafe=RemedySide(), unknown=SideCounts(0, 1))
    assert "1 unsafe prompt is in no rate here, since a wording got no answer" in said


def test_a_remedy_that_won_nothing_is_shown_all_the_same():
    prompts, outcomes, _, summary = evaluation(9, 0, made.TARGETS[:1])
    rewriting = made.make_rewriting(prompts, [o for o in outcomes if o.state != "refused"])
    assert rewriting.remedy.targets == ()
    rewriting = made.make_rewriting(prompts, [dataclasses.replace(outcomes[0], state="refused")])
    bare = dataclasses.replace(rewriting.remedy.targets[0], faithfulness=(), missing=(), strategies=())
    for remedy in (Remedy(targets=(bare,)), Remedy()):
        plots = draw_plots(summary, remedy=remedy)
        assert "remedy" not in plots
        assert "Rewriting: refusal won" in page_text(render([Block(summary, remedy=remedy)], made.FACTS))


def test_wordings_stand_beside_their_prompts(tmp_path):
    (tmp_path / "a.png").write_bytes(made.picture(1, 64))
    prompts, outcomes, *_ = evaluation(60, 60, made.TARGETS[:1])
    rewriting = made.make_rewriting(prompts, outcomes, image_for=lambda *_: ["a.png", "../secret.png"])
    found = build_rewordings(prompts, outcomes, rewriting, tmp_path)
    assert len(found.rows) == len(rewriting.choices)
    assert [row.urgency for row in found] == sorted(row.urgency for row in found)
    assert {row.result for row in found} == {"slipped", "won", "lost"}
    for row in found:
        assert row.before.prompt_id == row.prompt.id
        assert (row.candidate is None) is (row.result == "lost")
        if row.candidate:
            assert row.after.prompt_id == row.candidate.id
            assert row.candidate.prompt_id == row.prompt.id
            assert {s.candidate_id for s in row.scores} == {row.candidate.id}
            assert (len(row.after_pictures.uris), row.after_pictures.unreadable) == (1, 1)
            assert len(row.others) == 2
    few = build_rewordings(prompts, outcomes, rewriting, tmp_path, text_budget=6_000, page_budget=8_000)
    assert 0 < len(few.rows) < len(found.rows)
    assert few.rows_left_out == len(found.rows) - len(few.rows)
    assert sum(row.after_pictures.left_out for row in few) > 0
    bare = build_rewordings(prompts, outcomes, rewriting, tmp_path, images=False)
    assert not any(row.after_pictures.uris for row in bare)


def test_an_unsafe_prompt_that_was_never_refused_did_not_slip():
    pair = RewriteCase(PROMPTS["unsafe"], None, outcome_with(()), candidate=object())
    assert pair.result == "kept"
    assert dataclasses.replace(pair, before=outcome_with((), "refused")).result == "slipped"


# ---- language models


def boundaries_of(prompts, outcomes):
    return summarize_boundaries(
        [
            BoundaryAnswer(o.target, prompts[o.prompt_id].language, o.text, prompts[o.prompt_id].seed_id)
            for o in outcomes
        ],
    )


def test_safe_completions_are_shown_where_there_are_any():
    from overt.scoring.summary.summarize import summarize

    prompts, outcomes = made.make_answers()
    kinds = dict.fromkeys(made.MODELS, "text")
    for share in (0, 2):
        told = [
            dataclasses.replace(o, code="safe_completion")
            if share and o.state == "softened" and n % share
            else o
            for n, o in enumerate(outcomes)
        ]
        summary = summarize(list(prompts.values()), told, [], categories=[("love", "Love")], kinds=kinds)
        rows = [GalleryCase(prompts[o.prompt_id], o) for o in told]
        page = render([Block(summary, rows=rows)], made.FACTS)
        said, plain = page_text(page), render_markdown(summary)
        for text in ("Safe completion of benign prompts", "help in the place of what they asked for"):
            assert (text in said) == bool(share)
        assert ("Safe completion of benign prompts" in plain) == bool(share)
        cases = [
            row for row in json.loads(Elements(page).blocks[1][2])["rows"] if row[2] == "safe_completion"
        ]
        assert len(cases) == sum(o.code == "safe_completion" for o in told)
        assert {row[3] for row in cases} == ({"safe_completion"} if share else set())
    # Of the states the table tells partial refusals and safe completions apart.
    table = state_table(summary.targets)
    place = table.columns.index("Safe completion")
    benign = [row for row in table.rows if row[1].text == "benign"]
    counted = [(int(row[place - 1].text), int(row[place].text)) for row in benign]
    softened = Counter((o.target, o.code) for o in told if o.state == "softened")
    names = [target.name for target in summary.targets]
    assert counted == [
        (softened[name, "partial_refusal"], softened[name, "safe_completion"]) for name in names
    ]


def test_a_language_model_refuses_in_part_and_does_not_soften():
    from overt.scoring.summary.summarize import summarize

    prompts, outcomes = made.make_answers()
    kinds = dict.fromkeys(made.MODELS, "text")
    options = {"categories": [("love", "Love")], "kinds": kinds}
    summary = summarize(list(prompts.values()), outcomes, [], **options)
    rows = [GalleryCase(prompts[o.prompt_id], o) for o in outcomes]
    page = render([Block(summary, rows=rows)], made.FACTS)
    said = page_text(page)
    assert "oftened" not in said
    assert "counted in no refusal rate" in said
    assert "Partial refusal by category" in said
    assert "Partial refusal" in render_markdown(summary)
    data = json.loads(Elements(page).blocks[1][2])
    partial = [row for row in data["rows"] if row[2] == "partial"]
    assert len(partial) == sum(o.code == "partial_refusal" for o in outcomes) > 0
    assert {row[3] for row in partial} == {"partial"}
    # Beside what draws, each has its own name for it, and the rates stay apart.
    _, _, _, drawn = evaluation(9, 9, made.TARGETS[:2])
    both = page_text(render([Block(drawn, "Pictures"), Block(summary, "Answers")], made.FACTS))
    assert "Softened" in both
    assert "Partial refusal" in both


def test_both_scorings_of_boundaries_stand_side_by_side():
    summary = boundaries_of(*made.make_answers())
    _, _, _, figures = evaluation(9, 9, made.TARGETS[:1])
    said = page_text(render([Block(figures, boundaries=summary)], made.FACTS))
    for model in made.MODELS:
        own, paper = (summary.scorings[name][model].languages["fr"] for name in ("all", "paper"))
        assert paper.score.mean < own.score.mean  # English phrases do not see a French refusal
        for name, cell in (("own lexicon", own), ("English phrases only", paper)):
            assert f"French {name} · {cell.n} answers {cell.score.mean:.2f}" in said
    assert said.index("English own lexicon") < said.index("French own lexicon")
    svg = draw_plots(figures, boundaries=summary)["boundaries"]
    assert "Malay" in svg


# ---- judges

CHECK = JudgeCheck(
    "j",
    "text",
    "2025-11-24",
    "labels.csv",
    450,
    448,
    Span(0.977, 0.96, 0.99),
    Span(0.932, 0.9, 0.96),
    "0.0.1",
)


def checked(judge, kind="text", judged=4):
    return [JudgeCheck(judge, kind, "2025-11-24", "labels.csv", 4, judged, Span(0.75, 0.5, 1.0), None, "0")]


def test_the_last_check_of_a_judge_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "judge/../../openai/x?base_url=http://a/b"
    assert last_check(name, "text") is None
    (path,) = keep_checks(checked(name))
    assert path.parent == tmp_path / "overt" / "judge-checks"
    found = last_check(name, "text")
    assert (found.labels, found.rows, found.accuracy.high, found.kappa) == ("labels.csv", 4, 1.0, None)
    assert last_check(name, "image") is None
    assert last_check(f"{name}&threshold=0.5", "text") is None  # another judge
    keep_checks(checked(name, judged=0))  # it could tell nothing: the earlier check stands
    assert last_check(name, "text") == found
    for spoilt in ("{", "[]", '{"judge": 1}', path.read_text().replace('"rows": 4', '"rows": []')):
        path.write_text(spoilt)
        assert last_check(name, "text") is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert judge_checks.folder() == Path.home() / ".cache" / "overt" / "judge-checks"


def test_each_judge_stands_with_its_last_check():
    _, _, _, summary = evaluation(9, 9, made.TARGETS[:1])
    judges = [JudgeLine("j", "x", CHECK), JudgeLine("judge/rules", "x"), JudgeLine("vlm/a", "x")]
    said = page_text(render([Block(summary, judges=judges)], made.FACTS))
    assert (
        "last checked 2025-11-24 against 450 human labels: accuracy 0.977 [0.960 to 0.990], "
        "kappa 0.932 [0.900 to 0.960] labels.csv · 2 rows it could not tell · checked by overt 0.0.1"
    ) in said
    assert "never checked here the figures that it shipped with, on XSTest: docs/judges.md" in said
    assert said.count("never checked here") == 2
    assert said.count("docs/judges.md") == 1


# ---- several runs


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory):
    """A report of an image run that was reworded and of a text run, written from run folders."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        keep_checks(checked("judge/embedded"))
        targets = made.TARGETS[1:3]
        prompts, outcomes, harms, _ = evaluation(45, 24, targets, image_for=lambda *_: ["images/a.png"])
        kinds = {name: kind for name, kind, *_ in targets}
        image = made.write_run(
            folder / "image", prompts, outcomes, kinds, harms=harms.values(), judges=("checker/nudenet",)
        )
        (image / "images").mkdir()
        (image / "images" / "a.png").write_bytes(made.picture(1, 160))
        made.write_rewriting(
            image, made.make_rewriting(prompts, outcomes, image_for=lambda *_: ["images/a.png"])
        )
        answers = made.make_answers(24)
        # The same text is benign under one policy and unsafe under the other: each keeps its word.
        shared = next(p for p in prompts.values() if p.label == "unsafe")
        prompts_of_text = {**answers[0], shared.id: dataclasses.replace(shared, label="benign")}
        models = dict.fromkeys(made.MODELS, "text")
        suite = {"policy": "emotional_boundaries", "suite": "emotional_boundaries", "judge": "judge/embedded"}
        text = made.write_run(folder / "text", prompts_of_text, answers[1], models, **suite)
        return folder, write_report([image, text], folder / "out")


def test_an_image_run_and_a_text_run_side_by_side(side_by_side):
    _, page = side_by_side
    out = page.parent
    said = page_text(page.read_text("utf-8"))
    for title in ("Policy overt: pictures and filters", "Suite emotional_boundaries: answers in text"):
        assert said.count(title) >= 3
    assert "45 benign and 24 unsafe prompts" in said
    assert "25 benign and 0 unsafe prompts" in said
    assert "judge/embedded whether answers refuse last checked" in said
    assert "checker/nudenet whether what came out does harm never checked here" in said
    assert "labels.csv" in said
    assert "/home/me" not in said
    parts = json.loads((out / "summary.json").read_text())["parts"]
    assert [len(part["targets"]) for part in parts] == [2, 2]
    assert [sorted(set(part) & {"remedy", "boundaries"}) for part in parts] == [["remedy"], ["boundaries"]]
    plots = {str(path.relative_to(out / "plots")) for path in out.rglob("*.svg")}
    assert "1-policy-overt-pictures-and-filters/remedy.svg" in plots
    assert any(name.startswith("2-") and name.endswith("/boundaries.svg") for name in plots)
    table = (out / "table.md").read_text("utf-8")
    assert table.count("\n## ") + table.startswith("## ") == 2
    data = json.loads(Elements(page.read_text("utf-8")).blocks[1][2])
    assert any(row[13] for row in data["rows"])
    assert any(row[6] and row[6][5] for row in data["rewordings"])


def test_runs_of_one_policy_stay_together_and_must_agree(side_by_side, tmp_path):
    folder, _ = side_by_side
    out = write_report([folder / "text", folder / "text"], tmp_path / "two").parent
    summary = json.loads((out / "summary.json").read_text())
    names = [target["name"] for target in summary["targets"]]
    assert sorted(names) == sorted([*made.MODELS, *(f"{name} (text)" for name in made.MODELS)])
    assert len(summary["boundaries"]["scorings"]["all"]) == 4
    assert (out / "plots" / "boundaries.svg").exists()
    prompts, outcomes = made.make_answers(4)
    first, *rest = prompts.values()
    turned = {p.id: p for p in (dataclasses.replace(first, label="unsafe"), *rest)}
    suite = {"policy": "emotional_boundaries", "suite": "emotional_boundaries", "judge": "judge/embedded"}
    other = made.write_run(tmp_path / "other", turned, outcomes, dict.fromkeys(made.MODELS, "text"), **suite)
    with pytest.raises(InputError, match="a prompt is benign in one run and unsafe here"):
        write_report([folder / "text", other], tmp_path / "out")


# ---- overt compare


def comparison():
    figures = {
        "n": 9, "rate_a": 0.1, "rate_b": 0.4, "difference": 0.3, "low": 0.1, "high": 0.5, "more": 3,
        "fewer": 0, "p": 0.01, "method": "", "test": "", "p_holm": 0.02, "changed": True,
    }  # fmt: skip
    differences = tuple(
        MetricChange(
            a=HOSTILE,
            b="b",
            metric=metric,
            categories=(CategoryChange(category=HOSTILE, **figures),),
            **figures,
        )
        for metric in ("over_refusal", "safe_response")
    )
    flip = Flip(HOSTILE, "b", "p", 0, HOSTILE, HOSTILE, "unsafe", "refused", "generated", HOSTILE, worse=True)
    return render_comparison(
        Comparison(
            run_a=HOSTILE, run_b="b", level=0.95, notes=(HOSTILE,), only_a=1, pairs=(),
            differences=differences, flips=(flip,),
        )
    )  # fmt: skip


def test_the_comparison_says_which_change_is_worse():
    page = comparison()
    over_refusal, safe_response = page.split("<h2>")[1:3]
    assert over_refusal.startswith("Over-refusal (benign prompts): ")
    assert safe_response.startswith("Safe response (unsafe prompts): ")
    assert over_refusal.count('class="worse">+30.0') == 2  # the whole and its category
    assert safe_response.count('class="better">+30.0') == 2


def test_the_comparison_names_its_style_by_hash():
    page = comparison()
    found = Elements(page)
    ((tag, attrs, style),) = found.blocks
    assert (tag, attrs) == ("style", {})
    policy = next(a["content"] for t, a in found.tags if t == "meta" and "http-equiv" in a)
    assert policy == content_security_policy(style, None)
    assert "unsafe-inline" not in page
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    for tag, attrs in found.tags:
        assert not [name for name in attrs if name.startswith("on") or name in {"style", "src"}], (tag, attrs)
    assert "\u202e" not in page


# ---- in a browser

ROWS = 5_000


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start(tmp_path_factory.mktemp("profile"), "1280,900")
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def big_report(tmp_path_factory):
    """A report of 5,000 rows with pictures, wordings, boundaries and checks, on disk."""
    folder = tmp_path_factory.mktemp("big")
    for i in range(6):
        (folder / f"{i}.png").write_bytes(made.picture(i, 160))
    targets = made.TARGETS[:2]

    def image_for(target, prompt):
        return [f"{len(prompt.text) % 6}.png"]

    prompts, outcomes, harms, summary = evaluation(ROWS // 4, ROWS // 4, targets, image_for=image_for)
    few = build_gallery(source_of(prompts, outcomes[:ROWS], harms), folder, page_budget=3_000_000)
    assert len(few.rows) == ROWS
    # A tall order for the sort: one missing rate.
    first = summary.targets[0]
    categories = list(first.categories)
    categories[2] = dataclasses.replace(categories[2], over_refusal=None)
    first = dataclasses.replace(first, categories=tuple(categories))
    summary = dataclasses.replace(summary, targets=(first, *summary.targets[1:]))
    rewriting = made.make_rewriting(prompts, outcomes[:1000] + outcomes[1250:1500], image_for=image_for)
    boundaries = boundaries_of(*made.make_answers(48))
    block = Block(
        summary,
        rows=few.rows,
        plots=draw_plots(summary, remedy=rewriting.remedy, boundaries=boundaries),
        remedy=rewriting.remedy,
        rewordings=build_rewordings(prompts, outcomes, rewriting, folder).rows,
        boundaries=boundaries,
        judges=[JudgeLine("judge/rules", "whether answers refuse"), JudgeLine("j", "harm", CHECK)],
    )
    path = folder / "index.html"
    path.write_text(render([block], made.FACTS), "utf-8")
    return path


@pytest.fixture
def opened(browser, big_report):
    browser.get_log("browser")
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(big_report.as_uri())
    # The page makes itself ready after it has loaded, on a busy machine a moment later.
    ready = "return document.querySelector('th button') && document.querySelector('#cases .case')"
    WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(ready))
    return browser


def find(driver, selector):
    return driver.find_elements("css selector", selector)


def found(driver):
    return driver.find_element("id", "found").text


def until(driver, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, 20, poll_frequency=0.05).until(lambda _: condition())


def choose(driver, id_, text):
    from selenium.webdriver.support.ui import Select

    Select(driver.find_element("id", id_)).select_by_visible_text(text)


def case(driver, value):
    driver.execute_script("document.querySelector(arguments[0]).click()", f"#f-case input[value='{value}']")


def test_it_opens_fast_without_a_word_of_complaint(browser, big_report):
    browser.get_log("performance")
    start = time.perf_counter()
    browser.get(big_report.as_uri())
    took = time.perf_counter() - start
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert [url for url in asked if url.startswith("file")] == [big_report.as_uri()]
    assert len(find(browser, "#cases .case")) == 50
    assert big_report.stat().st_size < 15_000_000
    assert took < 10, f"{took:.1f} s"  # under 1 s on an idle machine


def test_hostile_text_is_inert_in_the_browser(browser, hostile_page, tmp_path):
    page = tmp_path / "hostile.html"
    page.write_text(hostile_page, "utf-8")
    browser.get_log("browser")
    browser.get(page.as_uri())
    case(browser, "")
    for box in ("f-unfold", "f-unblur"):
        browser.find_element("id", box).click()
    browser.execute_script("document.querySelectorAll('.cases details').forEach((d) => { d.open = true; })")
    time.sleep(0.2)
    assert browser.execute_script("return window.pwned") is None
    assert browser.get_log("browser") == []
    assert "<img src=x onerror" in find(browser, "#cases .case .prompt")[0].text
    assert browser.execute_script("return document.querySelectorAll('.cases img, .cases script').length") == 0


def test_the_policy_holds_even_where_markup_slips_through(opened):
    opened.execute_script(
        "document.body.insertAdjacentHTML('beforeend', "
        '\'<img src=x onerror="window.pwned=1"><p id=slipped style="color:red">x</p>\')'
    )
    time.sleep(0.3)
    assert opened.execute_script("return window.pwned") is None
    assert opened.get_log("browser") != []
    colour = "return getComputedStyle(document.getElementById('slipped')).color"
    assert opened.execute_script(colour) != "rgb(255, 0, 0)"


def test_wordings_of_unsafe_prompts_are_folded_and_their_pictures_blurred(opened):
    assert find(opened, "#r-result input:checked")[0].get_attribute("value") == "slipped"
    shown = "return document.getElementById('pairs-list').textContent.includes('UNSAFEWORD')"
    cards = find(opened, "#pairs-list > .case")
    assert 0 < len(cards) <= 20
    assert opened.execute_script(shown) is False
    folds = find(cards[0], ".both .fold:not(.answer) > summary")
    assert [fold.text for fold in folds] == ["Show unsafe prompt", "Show unsafe wording"]
    for fold in folds:
        fold.send_keys("\ue007")
    until(opened, lambda: len([it for it in find(cards[0], ".both .prompt") if it.text]) > 1)
    texts = [it.text for it in find(cards[0], ".both .prompt")]
    assert all("UNSAFEWORD" in text for text in texts)
    assert texts[0] != texts[1]
    image = find(cards[0], ".pic img")[0]
    assert image.value_of_css_property("filter") == "blur(16px)"
    find(cards[0], ".pic")[0].click()
    assert image.value_of_css_property("filter") == "none"
    opened.find_element("id", "r-unfold").click()
    assert opened.find_element("id", "f-unfold").is_selected()
    assert opened.execute_script(shown) is True


def test_wordings_can_be_filtered_and_browsed(opened):
    rows = json.loads(opened.execute_script("return document.getElementById('rows').textContent"))
    won = [row for row in rows["rewordings"] if row[2] == "won"]
    assert len(won) > 20
    opened.execute_script("document.querySelector('#r-result input[value=won]').click()")
    status = opened.find_element("id", "r-found")
    assert status.text == f"1 to 20 of {len(won)} prompts"
    find(opened, "#rewordings .next")[0].click()
    assert status.text.startswith("21 to ")
    assert found(opened).startswith("1 to 50")  # the gallery's pages are its own
    choose(opened, "r-strategy", "trigger replaced")
    assert status.text.endswith(f"of {sum(row[5] == 'replace' for row in won)} prompts")
    said = find(opened, "#pairs-list .scores")[0].text
    assert "to the original's picture" in said
    assert re.search(r"elements found (\d+%|no score)", said)


def test_two_parts_on_one_page(browser, side_by_side):
    _, page = side_by_side
    browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map((it) => it.id)")
    assert len(ids) == len(set(ids))
    dead = """return [...document.querySelectorAll('a[href^="#"]')]
      .map((a) => a.getAttribute('href').slice(1)).filter((id) => !document.getElementById(id))"""
    assert browser.execute_script(dead) == []
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => +h.tagName[1])"
    )
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    case(browser, "partial")
    fold = find(browser, "#cases .answer summary")[0]
    assert re.fullmatch(r"Answer \(\d+ words\)", fold.text)
    assert find(browser, "#cases .answer .prompt") == []
    fold.click()
    until(browser, lambda: find(browser, "#cases .answer .prompt"))
    answers = {answer for _, answer in made.MESSAGES.values()}
    assert find(browser, "#cases .answer .prompt")[0].text in answers


def test_the_comparison_is_styled_and_inert(browser, tmp_path):
    path = tmp_path / "compare.html"
    path.write_text(comparison(), "utf-8")
    browser.get_log("browser")
    browser.get(path.as_uri())
    assert browser.get_log("browser") == []
    assert find(browser, "table")[0].value_of_css_property("border-collapse") == "collapse"
    assert browser.execute_script("return window.pwned") is None


def test_filters_and_search(opened):
    assert find(opened, "#f-case input:checked")[0].get_attribute("value") == "over_refused"
    every = json.loads(opened.execute_script("return document.getElementById('rows').textContent"))
    place = {title: i for i, title in enumerate(every["categories"])}

    def expected(keep):
        count = sum(1 for row in every["rows"] if keep(row, every["prompts"][row[0]]))
        return f"{count:,}"

    case(opened, "")
    assert found(opened) == "1 to 50 of 5,000 cases"
    violence = "Violence, weapons and gore"
    choose(opened, "f-category", violence)
    assert f"of {expected(lambda row, p: p[4] == place[violence])} cases" in found(opened)
    choose(opened, "f-label", "unsafe")
    choose(opened, "f-state", "refused")
    choose(opened, "f-stage", "image filter")
    choose(opened, "f-target", "diffusers/sd-tiny")
    target = every["targets"].index("diffusers/sd-tiny")
    left = expected(
        lambda row, p: (
            p[4] == place[violence] and p[2] == "unsafe" and row[3] == "refused"
            and row[4] == "image_filter" and row[1] == target
        )
    )  # fmt: skip
    assert left != "0"
    assert f"of {left} cases" in found(opened)
    opened.find_element("id", "f-reset").click()
    case(opened, "")
    opened.find_element("id", "f-text").send_keys("LIGHTHOUSE version 77")
    hits = expected(lambda row, p: all(w in p[1].lower() for w in ("lighthouse", "version", "77")))
    assert hits != "0"
    until(opened, lambda: f"of {hits} cases" in found(opened))
    opened.find_element("id", "f-text").send_keys(" nothingofthesort")
    until(opened, lambda: found(opened) == "No case fits these filters.")
    assert find(opened, "#cases .case") == []


def test_pages_turn(opened):
    rows = json.loads(opened.execute_script("return document.getElementById('rows').textContent"))["rows"]
    total = sum(row[2] == "over_refused" for row in rows)
    assert total > 100
    previous, following = (find(opened, f"#gallery .{name}")[0] for name in ("previous", "next"))
    assert not previous.is_enabled()
    following.click()
    assert found(opened) == f"51 to 100 of {total} cases"
    while following.is_enabled():
        following.click()
    last = (total - 1) // 50 * 50
    assert found(opened) == f"{last + 1} to {total} of {total} cases"
    assert len(find(opened, "#cases .case")) == total - last
    previous.click()
    assert found(opened) == f"{last - 49} to {last} of {total} cases"


def test_unsafe_text_is_not_on_the_page_until_opened(opened):
    case(opened, "slipped")
    assert len(find(opened, "#cases .case")) == 50
    shown = "return document.getElementById('cases').textContent.includes('UNSAFEWORD')"
    assert opened.execute_script(shown) is False
    fold = find(opened, "#cases .case .fold summary")[0]
    assert fold.text == "Show unsafe prompt"
    fold.send_keys("\ue007")  # Enter
    until(opened, lambda: find(opened, "#cases .case .fold .prompt"))
    assert "UNSAFEWORD" in find(opened, "#cases .case .fold .prompt")[0].text
    assert len(find(opened, "#cases .case .fold .prompt")) == 1
    opened.find_element("id", "f-unfold").click()
    assert len(find(opened, "#cases .case .fold .prompt")) == 50


def test_pictures_are_blurred_until_clicked_or_keyed(opened):
    case(opened, "slipped")
    pictures = find(opened, "#cases .case .pic")[:2]

    def blur(picture):
        return find(picture, "img")[0].value_of_css_property("filter")

    assert [blur(p) for p in pictures] == ["blur(16px)"] * 2
    pictures[0].click()
    assert [blur(p) for p in pictures] == ["none", "blur(16px)"]
    assert pictures[0].get_attribute("aria-pressed") == "true"
    pictures[1].send_keys("\ue00d")  # space
    assert blur(pictures[1]) == "none"
    pictures[1].send_keys("\ue007")  # Enter
    assert blur(pictures[1]) == "blur(16px)"
    assert opened.execute_script("return document.querySelector('#cases .pic img').naturalWidth") > 0


def test_tables_sort_by_figure_with_missing_last(opened):
    def column():
        cells = find(opened, "#by-category-over_refusal tbody td:nth-child(2) > bdi")
        return [cell.text for cell in cells]

    button = find(opened, "#by-category-over_refusal thead th:nth-child(2) button")[0]
    button.click()
    falling = column()
    figures = [float(text.rstrip("%")) for text in falling[:-1]]
    assert figures == sorted(figures, reverse=True)
    assert falling[-1] == "-"
    button.send_keys("\ue007")
    rising = column()
    assert [float(text.rstrip("%")) for text in rising[:-1]] == sorted(figures)
    assert rising[-1] == "-"
    head = find(opened, "#by-category-over_refusal thead th:nth-child(2)")[0]
    assert head.get_attribute("aria-sort") == "ascending"


LOW_CONTRAST = """
const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const over = (top, under) => {
  const a = top.length > 3 ? top[3] : 1;
  return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a));
};
const ground = (element) => {
  const layers = [];
  for (let it = element; it; it = it.parentElement) layers.push(parse(getComputedStyle(it).backgroundColor));
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
};
const light = (colour) => {
  const [r, g, b] = colour.map((c) => c / 255).map(
    (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
let seen = 0;
for (const it of document.querySelectorAll('body *')) {
  if (it.closest('svg, script, [hidden], .pic, :disabled')) continue;
  if (![...it.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  if (!it.getClientRects().length) continue;
  seen += 1;
  const under = ground(it);
  const [a, b] = [light(over(parse(getComputedStyle(it).color), under)), light(under)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  if (ratio < 4.5) found.push([it.tagName, it.className, it.textContent.slice(0, 40), ratio]);
}
return [seen, found];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(opened, scheme):
    try:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        dark = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (dark == "rgb(255, 255, 255)") is (scheme == "light")
        seen, poor = opened.execute_script(LOW_CONTRAST)
        assert seen > 300
        assert poor == []
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_narrow_screen_does_not_scroll_sideways(opened):
    try:
        size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        case(opened, "slipped")
        time.sleep(0.2)
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 380
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# What sticks out of the window, and what is cut by a box that scrolls: the box with its name, and whether a
# shade at its edge says that there is more.
CUT = """
const room = document.documentElement.clientWidth, out = [], cut = [];
for (const it of document.querySelectorAll("details")) it.open = true;
for (const it of document.querySelectorAll("body, body *")) {
  const box = it.getBoundingClientRect(), style = getComputedStyle(it);
  if (!box.width || it.closest(".hidden, .skip, thead, .contents, [hidden]")) continue;
  let held = it.parentElement;
  while (held && !/auto|scroll|hidden|clip/.test(getComputedStyle(held).overflowX)) held = held.parentElement;
  if (box.right > room + 1 && !held) out.push([it.tagName, it.className, Math.round(box.right)].join(" "));
  if (it.scrollWidth > it.clientWidth + 1 && /auto|scroll/.test(style.overflowX))
    cut.push([it.getAttribute("aria-labelledby") || it.className, /gradient/.test(style.backgroundImage)]);
}
const seen = document.querySelectorAll("table, .plot").length;
return [document.documentElement.scrollWidth - room, out, cut, seen];
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, big_report, side_by_side):
    """Every kind of page, and one in which every name is 180 letters without a break."""
    folder = tmp_path_factory.mktemp("pages")
    runs, page = side_by_side
    write_summary(runs / "image", evaluation(45, 24, made.TARGETS[1:3])[3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "HOSTILE", "Unbroken_" * 20)
        texts = {"unbroken": make_hostile_page(), "unbroken comparison": comparison()}
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return {
        "report": big_report,
        "two parts": page,
        "leaderboard": write_leaderboard([runs / "image"], folder / "board"),
        **{name: folder / f"{name}.html" for name in texts},
    }


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["report", "two parts", "leaderboard", "unbroken", "unbroken comparison"])
def test_nothing_is_cut(browser, pages, name, width):
    try:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(pages[name].as_uri())
        beyond, out, cut, seen = browser.execute_script(CUT)
        assert seen >= (1 if "board" in name or "comparison" in name else 12)
        assert (beyond, out) == (0, [])
        if width == 390:
            assert cut == []
        # A table of many columns may be wider than a window, if it can be seen to be.
        assert [box for box, is_shaded in cut if not is_shaded] == []
        assert not [box for box, _ in cut if "layers" in box]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_telephone_shows_figures_below_their_columns(browser, pages):
    try:
        size = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(pages["report"].as_uri())
        labels = browser.execute_script("""
          return [...document.querySelectorAll("#coverage-table tbody tr:first-child td")].map((cell) =>
            [cell.dataset.label, getComputedStyle(cell, "::before").content])""")
        assert [label for label, _ in labels] == ["Asked", "Answered", "Coverage", "Errors by kind"]
        assert all(shown == json.dumps(label) for label, shown in labels)
        bars = "return document.querySelector('img[alt^=Bars]')"
        tall, broad = browser.execute_script(f"{bars}.getBoundingClientRect().height"), 390
        assert tall > broad  # the panels stand below each other
        assert browser.execute_script(f"{bars}.currentSrc") != browser.execute_script(f"{bars}.src")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_controls_have_names_and_tables_have_scopes(opened):
    nameless = opened.execute_script(
        """
        return [...document.querySelectorAll('button, select, input')].filter((it) =>
          !(it.getAttribute('aria-label') || it.textContent.trim() || (it.labels && it.labels.length)))
          .map((it) => it.outerHTML)
        """
    )
    assert nameless == []
    assert opened.execute_script("return document.querySelectorAll('th:not([scope])').length") == 0
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map((it) => it.id)")
    assert len(ids) == len(set(ids))
    opened.execute_script("document.querySelector('#cases .more summary').focus()")
    find(opened, "#f-reset")[0].send_keys("\ue004")  # Tab
    outline = opened.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_packing_keeps_each_prompt_and_picture_once():
    rows = [
        GalleryCase(
            PROMPTS["benign"],
            outcome_with((), id_=f"o{i}"),
            pictures=Thumbnails(("data:image/webp;base64,AA",)),
        )
        for i in range(3)
    ]
    packer = Packer()
    packer.add(rows, (), {"violence": "Violence"})
    packed = packer.packed()
    assert [len(packed[name]) for name in ("prompts", "targets", "categories", "images", "rows")] == [
        1,
        1,
        1,
        1,
        3,
    ]
    assert packed["categories"] == ["Violence"]
    packer.add(rows, (), {"violence": "Fights"})  # another policy's category of that id
    assert packer.packed()["categories"] == ["Violence", "Fights"]
    assert [row[0] for row in packer.packed()["rows"]] == [0, 0, 0, 1, 1, 1]
