"""Replays of battle cards and duels: an SVG that holds nothing but shapes."""

import random
import re
from xml.etree import ElementTree

import pytest

from overt.environments.strategic_games.cards import BattleCards
from overt.environments.strategic_games.duels import Duels

GAMES = [BattleCards(), Duels()]
each_game = pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)

SVG = "{http://www.w3.org/2000/svg}"
SHAPES = {"svg", "title", "style", "g", "rect", "text", "animate", "animateTransform"}


def drawn(game, plans):
    svg = game.replay(plans)
    return svg, ElementTree.fromstring(svg)


def texts(root):
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


@each_game
def test_a_replay_is_shapes_and_their_animations_alone(game):
    rng = random.Random(2)
    for _ in range(30):
        svg, root = drawn(game, {side: game.random_plan(side, rng, 60) for side in game.sides})
        assert {each.tag.removeprefix(SVG) for each in root.iter()} <= SHAPES
        assert not re.search(r"href|url\(|\bon\w+=|\bid=", svg)
        assert len(svg) < 200_000


@each_game
def test_times_of_every_animation_go_forward_from_0_and_have_as_many_values(game):
    rng = random.Random(3)
    for _ in range(20):
        _, root = drawn(game, {side: game.random_plan(side, rng, 20) for side in game.sides})
        for each in root.iter():
            if "keyTimes" in each.attrib:
                times = [float(time) for time in each.attrib["keyTimes"].split(";")]
                assert times == sorted(times)
                assert times[0] == 0
                assert times[-1] <= 1
                assert len(times) == len(each.attrib["values"].split(";"))


@each_game
def test_no_battle_at_all_can_be_shown(game):
    _, root = drawn(game, {side: {side: []} for side in game.sides})
    assert any("The invaders won" in said for said in texts(root))


def test_cards_show_each_value_that_a_unit_has():
    """A tide lord of 4/10 takes 3 and doubles its attack; what it cost stands beside the title."""
    plans = {
        "invaders": {"invaders": [{"name": "TideLord"}]},
        "defenders": {"defenders": [{"name": "Paladin", "tier": "Gold"}]},
    }
    _, root = drawn(GAMES[0], plans)
    said = texts(root)
    assert {"TideLord", "Paladin", "Gold", "4 / 10", "8 / 4", "shield"} <= set(said)
    assert "invaders 4 of 20, defenders 9 of 20" in said


def test_duels_name_the_skills_as_they_are_used():
    fire = {"element": "Fire", "skills": ["flame_whirlwind", "residual_warmth", "flame_splash"]}
    wood = {"element": "Wood", "skills": ["life_totem", "bud_healing", "parasitic_seed"]}
    _, root = drawn(GAMES[1], {"invaders": {"invaders": [fire]}, "defenders": {"defenders": [wood]}})
    said = texts(root)
    assert {"Fire: flame whirlwind", "Wood: life totem", "end of round 1", "burning 5", "75"} <= set(said)
