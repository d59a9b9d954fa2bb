"""Tower defence: units as the paper's rules have them, plans that are refused, and plans made at random."""

from __future__ import annotations

import json
import random

import pytest

from overt.data.tools import NotACall, Tool, ToolCall, read_calls
from overt.data.yaml.problems import YamlError
from overt.data.yaml.schema import parse_yaml
from overt.environments.strategic_games.tower import TowerDefence
from overt.environments.strategic_games.tower.units import FOLDER, Units

GAME = TowerDefence()
RIFLE = {"name": "RifleSoldier", "x": 3, "y": 2, "spawn_time": 0}
NORMAL = {"name": "NormalDemon", "y": 2, "spawn_time": 0}


def test_costs_and_healths_are_those_of_the_papers_rules():
    humans = {unit["name"]: (unit["health"], unit["cost"]) for unit in GAME.catalogue("humans").units}
    demons = {unit["name"]: (unit["health"], unit["cost"]) for unit in GAME.catalogue("demons").units}
    assert humans == {
        "HandgunSoldier": (3, 100), "RifleSoldier": (3, 200), "MachineGunSoldier": (3, 400),
        "ShieldSoldier": (15, 50), "EnhancedShieldSoldier": (30, 100), "FlamethrowerSoldier": (2, 200),
        "IceSoldier": (2, 200), "AntiAirSoldier": (2, 100), "LinearExplosion": (50, 200),
        "MagneticSoldier": (2, 100), "Bomb": (50, 200),
    }  # fmt: skip
    assert demons == {
        "NormalDemon": (10, 100), "GreatDemon": (20, 200), "DemonKing": (80, 800), "SpeedyDemon": (10, 150),
        "ShieldDemon": (10, 200), "MachineDemon": (20, 300), "BouncingDemon": (10, 150),
        "ShieldBreakerDemon": (10, 150), "FireDemon": (10, 150), "FrostDemon": (10, 150),
        "FlyingDemon": (10, 200), "SummoningDemon": (10, 400),
    }  # fmt: skip
    assert (GAME.catalogue("humans").budget, GAME.catalogue("demons").budget) == (2000, 1500)
    assert GAME.opening_tries == 5


def test_the_rules_name_what_a_player_must_know():
    rules = GAME.rules()
    assert "5 rows (y 0 to 4) of 11 cells (x 0 to 10" in rules
    assert "14 s to x = 0, at speed 4 half of that" in rules
    assert json.loads(json.dumps(GAME.catalogue("demons").units[7])) == {
        "name": "ShieldBreakerDemon", "speed": 2, "cost": 150, "health": 10, "damage": 1,
        "times_to_shields": 5, "about": "It is strong against shields of both kinds.",
    }  # fmt: skip


def test_what_a_plan_costs():
    assert GAME.cost("humans", {"humans": []}) == 0
    assert GAME.cost("humans", {"humans": [RIFLE, {**RIFLE, "name": "ShieldSoldier", "x": 4}]}) == 250
    assert GAME.cost("demons", {"demons": [NORMAL] * 3}) == 300


@pytest.mark.parametrize(
    ("side", "plan", "said"),
    [
        ("humans", {}, 'an object with "humans"'),
        ("humans", [], 'an object with "humans"'),
        ("humans", {"humans": {}}, 'an object with "humans"'),
        ("humans", {"humans": "RifleSoldier"}, 'an object with "humans"'),
        ("humans", {"humans": [], "demons": []}, "nothing else"),
        ("humans", {"humans": ["RifleSoldier"]}, "humans[0] is an object with name, x, y, spawn_time"),
        ("humans", {"humans": [{**RIFLE, "z": 1}]}, "nothing else"),
        ("humans", {"humans": [{"name": "RifleSoldier"}]}, "name, x, y, spawn_time"),
        ("humans", {"humans": [RIFLE, {**RIFLE, "name": "Pike"}]}, "[1]: there is no unit 'Pike'; there "),
        ("humans", {"humans": [{**RIFLE, "name": ["RifleSoldier"]}]}, "there is no unit that"),
        ("humans", {"humans": [{**RIFLE, "name": "NormalDemon"}]}, "there is no unit 'NormalDemon'"),
        ("humans", {"humans": [{**RIFLE, "x": 11}]}, "humans[0].x is a whole number from 0 to 10"),
        ("humans", {"humans": [{**RIFLE, "x": -1}]}, "humans[0].x"),
        ("humans", {"humans": [{**RIFLE, "x": 2.0}]}, "humans[0].x"),
        ("humans", {"humans": [{**RIFLE, "x": True}]}, "humans[0].x"),
        ("humans", {"humans": [{**RIFLE, "y": 5}]}, "humans[0].y is a whole number from 0 to 4"),
        ("humans", {"humans": [{**RIFLE, "spawn_time": 61}]}, "a number of seconds from 0 to 60"),
        ("humans", {"humans": [{**RIFLE, "spawn_time": float("nan")}]}, "a number of seconds"),
        ("humans", {"humans": [{**RIFLE, "spawn_time": 10**400}]}, "a number of seconds"),
        ("humans", {"humans": [RIFLE, {**RIFLE, "name": "Bomb"}]}, "on the cell x 3, y 2 of humans[0]"),
        ("humans", {"humans": [RIFLE] * 1_000_000}, "1000000 units, and at most 55"),
        ("demons", {"demons": [NORMAL] * 61}, "61 units, and at most 60"),
        ("demons", {"demons": [{**NORMAL, "x": 3}]}, "name, y, spawn_time, and nothing else"),
        ("demons", {"humans": [RIFLE]}, 'an object with "demons"'),
    ],
)  # fmt: skip
def test_a_plan_that_means_nothing_is_refused_with_the_reason(side, plan, said):
    with pytest.raises(NotACall) as error:
        GAME.check(side, plan)
    assert said in str(error.value)
    assert len(str(error.value)) < 400


def test_times_that_mean_the_same_are_the_same_plan():
    plans = [{"demons": [{**NORMAL, "spawn_time": at}]} for at in (2, 2.0, 2.5)]
    one, other, later = (json.dumps(GAME.meant("demons", plan)) for plan in plans)
    assert one == other == json.dumps(plans[0])
    assert later != one


def test_a_name_of_any_length_is_told_in_short():
    with pytest.raises(NotACall) as error:
        GAME.check("demons", {"demons": [{**NORMAL, "name": "x" * 1_000_000}]})
    assert len(str(error.value)) < 400


def test_a_plan_over_budget_is_in_order():
    plan = {"demons": [{**NORMAL, "name": "DemonKing"}] * 60}
    GAME.check("demons", plan)
    assert GAME.cost("demons", plan) == 48_000


def through_the_tool(side, plan):
    tool = Tool("submit_plan", "", GAME.schema(side))
    return read_calls([ToolCall("1", "submit_plan", json.dumps(plan))], [tool])[0].arguments


@pytest.mark.parametrize("side", GAME.sides)
@pytest.mark.parametrize("budget", [-100, 0, 49, 100, 775, 2000, 20_000])
def test_random_plans_keep_to_the_budget_and_the_rules(side, budget):
    rng = random.Random(budget)
    for _ in range(10):
        plan = GAME.random_plan(side, rng, budget)
        for _ in range(10):
            GAME.check(side, plan)
            assert through_the_tool(side, plan) == plan
            assert GAME.cost(side, plan) <= max(budget, 0)
            plan = GAME.varied(side, plan, rng, budget)
    assert bool(plan[side]) == (budget >= 100)


@pytest.mark.parametrize("side", GAME.sides)
def test_a_varied_plan_is_another_one_with_little_changed(side):
    rng = random.Random(5)
    for _ in range(50):
        plan = GAME.random_plan(side, rng, 1500)
        units, others = (
            [json.dumps(unit) for unit in each[side]] for each in (plan, GAME.varied(side, plan, rng, 1500))
        )
        left = [unit for unit in units if unit not in others]
        new = [unit for unit in others if unit not in units]
        assert len(left) <= 1
        assert len(new) <= 1
        assert units != others


def test_a_plan_over_budget_is_varied_down_to_it():
    rng = random.Random(6)
    plan = {"demons": [{**NORMAL, "name": "DemonKing"}] * 4}
    assert GAME.cost("demons", GAME.varied("demons", plan, rng, 1500)) <= 1500
    assert GAME.varied("demons", plan, rng, 0) == {"demons": []}


def test_random_plans_follow_the_seed():
    one, two, three = (GAME.random_plan("humans", random.Random(seed), 2000) for seed in (1, 1, 2))
    assert one == two != three


def test_the_full_field_takes_no_more():
    rng = random.Random(7)
    plan = GAME.random_plan("humans", rng, 1_000_000)
    assert len(plan["humans"]) == 55
    GAME.check("humans", GAME.varied("humans", plan, rng, 1_000_000))
    assert len(GAME.random_plan("demons", rng, 1_000_000)["demons"]) == 60


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cost: 800, health: 80", "cost: 800, health: lots", "demons[2].health"),
        ("kind: fire", "kind: ire", "humans[5].attack.kind"),
        ("summons: {name: NormalDemon", "summons: {name: NoDemon", "there is no demon"),
        ("name: GreatDemon", "name: NormalDemon", "stands twice"),
    ],
)
def test_a_mistake_in_the_data_is_told_with_its_place(old, new, said):
    text = (FOLDER / "units.yaml").read_text("utf-8")
    assert text.count(old) == 1
    with pytest.raises(YamlError) as error:
        parse_yaml(text.replace(old, new).encode(), "units.yaml", Units, what="units of tower defence")
    assert said in str(error.value)
    line = text[: text.index(old)].count("\n") + 1
    assert f"units.yaml:{line}:" in str(error.value)
