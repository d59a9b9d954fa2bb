"""Replays: what all games share of them, and that of tower defence, read back from the SVG."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import overt.report
from overt.environments.strategic_games.drawing import (
    Clock,
    Film,
    box,
    clock_seconds,
    escaped,
    film,
    group,
    text,
)
from overt.environments.strategic_games.tower import TowerDefence

GAME = TowerDefence()
SVG = "{http://www.w3.org/2000/svg}"


def plans_of(humans, demons):
    return {
        "humans": {"humans": [{"name": n, "x": x, "y": y, "spawn_time": 0} for n, x, y in humans]},
        "demons": {"demons": [{"name": n, "y": y, "spawn_time": at} for n, y, at in demons]},
    }


def animations(svg):
    for each in ElementTree.fromstring(svg).iter():
        if each.tag in (f"{SVG}animate", f"{SVG}animateTransform"):
            yield (
                each,
                [float(time) for time in each.get("keyTimes").split(";")],
                each.get("values").split(";"),
            )


def moving(svg):
    return next(each for each in ElementTree.fromstring(svg).iter() if each.get("class") == "moving")


def unit(svg, name):
    """The group of the unit that shows this word."""
    for each in moving(svg).iter(f"{SVG}g"):
        if [child.text for child in each.findall(f"{SVG}text")] == [name]:
            return each
    raise AssertionError(name)


def test_the_clock_turns_moments_into_shares_of_the_cycle():
    clock = Clock(last=100, seconds=9, hold=3)
    assert clock.cycle == 12
    assert [clock.share(moment) for moment in (-5, 0, 50, 100, 200)] == [0, 0, 0.375, 0.75, 0.75]
    assert Clock(last=0, seconds=4).share(0) == pytest.approx(
        4 / 7
    )  # nothing happens, and the end is at once
    assert [clock_seconds(each) for each in (0, 15, 300)] == [4, 10, 20]


def test_an_animation_begins_at_0_and_glides_to_the_end():
    clock = Clock(last=100, seconds=9, hold=3)
    assert clock.animate("width", [(50, 10), (100, 0)]) == (
        '<animate attributeName="width" dur="12s" repeatCount="indefinite" '
        'keyTimes="0;0.375;0.75;1" values="10;10;0;0"/>'
    )
    assert 'calcMode="discrete"' in clock.animate("width", [(0, 1), (50, 2)], jump=True)
    assert clock.animate("width", []) == ""
    assert 'values="hidden;visible;hidden"' in clock.shown(10, 20)
    assert 'values="hidden;visible"' in clock.shown(10, None)
    assert 'values="visible;hidden"' in clock.shown(0, 20)
    assert clock.shown(0, None) == ""


def test_texts_are_escaped_cut_and_fit_for_xml():
    assert escaped("<script>&\"'") == "&lt;script&gt;&amp;&quot;&#x27;"
    assert escaped("a\x00b\x1bc\ud800") == "a\ufffdb\ufffdc\ufffd"
    assert len(escaped("x" * 10_000)) == 80
    hostile = "</text><script>alert(1)</script>\x00" * 9
    frame = Film(hostile, hostile, (hostile, hostile), (300, 100), hostile)
    svg = film(frame, Clock(1, 4), [text(1, 1, hostile)], [])
    tags = {each.tag.removeprefix(SVG) for each in ElementTree.fromstring(svg).iter()}
    assert tags == {"svg", "title", "style", "g", "rect", "text", "animate"}


def test_a_long_word_is_squeezed_into_its_room():
    assert "textLength" not in text(0, 0, "Rifle", room=50)
    assert 'textLength="50"' in text(0, 0, "Flamethrower", room=50)


def test_shapes_move_together():
    assert group([box(0, 0, 1, 2, "left")], x=3.14159, y=-0.001, hidden=True) == (
        '<g transform="translate(3.14 0)" visibility="hidden">'
        '<rect class="left" x="0" y="0" width="1" height="2" rx="4"></rect></g>'
    )


def worst_plans():
    humans = [(name, x, y) for y in range(5) for x, name in enumerate(list(GAME.field.humans))]
    demons = [(name, n % 5, n) for n, name in enumerate(list(GAME.field.demons) * 5)]
    return plans_of(humans, demons)


def some_replays():
    rng = random.Random(1)
    for _ in range(10):
        yield GAME.replay(
            {"humans": GAME.random_plan("humans", rng, 2000), "demons": GAME.random_plan("demons", rng, 1500)}
        )
    yield GAME.replay(plans_of([], []))
    yield GAME.replay(worst_plans())


def test_replays_are_small_and_need_nothing_from_outside():
    for svg in some_replays():
        root = ElementTree.fromstring(svg)
        tags = {each.tag.removeprefix(SVG) for each in root.iter()}
        assert tags <= {"svg", "title", "style", "g", "rect", "text", "animate", "animateTransform"}
        names = {name for each in root.iter() for name in each.attrib}
        assert not any(name == "id" or "href" in name or name.startswith("on") for name in names)
        assert "url(" not in svg
        assert "@import" not in svg
        assert 3_000 < len(svg) < 200_000


def test_the_rules_of_style_hold_inside_a_replay_alone():
    style = ElementTree.fromstring(GAME.replay(plans_of([], []))).findtext(f"{SVG}style")
    plain = re.sub(r"@media \([a-z-]+:[a-z]+\)\{", "", style)
    selectors = [one for rule in re.findall(r"([^{}]+)\{", plain) for one in rule.split(",")]
    assert len(selectors) > 15
    assert all(one.startswith(".overt-replay") for one in selectors)
    assert "prefers-color-scheme:dark" in style
    assert "prefers-reduced-motion:reduce" in style


def test_one_word_stops_a_replay_at_its_end_and_the_report_knows_it():
    svg = GAME.replay(plans_of([], []), "round 4")
    assert svg.count('class="overt-replay"') == 1
    assert ".overt-replay.stopped .still{display:inline}" in svg
    assert "Tower defence, round 4" in svg
    page = (Path(overt.report.__file__).parent / "report.js").read_text("utf-8")
    assert """'class="overt-replay"', 'class="overt-replay stopped"'""" in page


def test_animations_are_in_form():
    for svg in some_replays():
        for each, times, values in animations(svg):
            assert len(times) == len(values)
            assert times[0] == 0
            assert times == sorted(times)
            assert times[-1] <= 1
            assert each.get("calcMode") == "discrete" or times[-1] == 1  # a browser ignores it otherwise


def test_a_demon_glides_from_the_entrance_to_the_human_and_on():
    # Touched in tick 153 of 301 and struck twice: the wall is gone in tick 173.
    svg = GAME.replay(plans_of([("AntiAirSoldier", 5, 0)], [("NormalDemon", 0, 0)]))
    glide = unit(svg, "Normal").find(f"{SVG}animateTransform")
    moments = [float(time) for time in glide.get("keyTimes").split(";")]
    played = 301 * 0.05 / 1.5
    assert moments == pytest.approx(
        [played / (played + 3) * t / 301 for t in (0, 153, 173, 301)] + [1], abs=1e-5
    )
    xs = [float(pair.split()[0]) for pair in glide.get("values").split(";")]
    assert [(before - after) / 66 for before, after in pairwise(xs)] == pytest.approx([6, 0, 5, 0])


def test_who_dies_is_hidden_and_the_result_is_told():
    svg = GAME.replay(plans_of([("RifleSoldier", 0, 0)], [("NormalDemon", 0, 0)]))
    shown = next(
        e for e in unit(svg, "Normal").findall(f"{SVG}animate") if e.get("attributeName") == "visibility"
    )
    assert shown.get("values") == "visible;hidden"
    words = [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert words.count("The humans won after 4.5 s") == 2  # of the film and of the still
    assert "humans 200 of 2,000, demons 100 of 1,500" in words
    assert words.count("Normal") == 1  # it is not in the still
    assert words.count("Rifle") == 2


def test_the_same_plans_give_the_same_replay():
    assert GAME.replay(worst_plans()) == GAME.replay(worst_plans())
