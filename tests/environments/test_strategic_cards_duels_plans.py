"""Plans of battle cards and duels: what is accepted and what it costs, and plans made at random."""

import json
import random
import re
import time

import pytest

from overt.data.tools import NotACall, Tool, ToolCall, read_calls
from overt.environments.strategic_games.cards import BattleCards
from overt.environments.strategic_games.duels import Duels

CARDS, DUELS = BattleCards(), Duels()
GAMES = [CARDS, DUELS]
EACH_SIDE = [(game, side) for game in GAMES for side in game.sides]

each_game = pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
each_side = pytest.mark.parametrize(
    ("game", "side"), EACH_SIDE, ids=[f"{game.name}-{side}" for game, side in EACH_SIDE]
)

FIRE = {"element": "Fire", "skills": ["flame_splash", "residual_warmth", "burst_flame_bomb"]}


def cards_plan(*units, **more):
    return {"invaders": [{"name": name} for name in units], **more}


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


# -- what is accepted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({}, "lacks 'invaders'"),
        ({"invaders": {}}, "must be of type array"),
        ({"invaders": None}, "must be of type array"),
        ({"invaders": deep(400)}, r"invaders\[0\] must be of type object"),
        ({"invaders": [{"name": deep(400)}]}, "must be of type string"),
        (cards_plan("Dragon"), "must be one of FireLizard, "),
        (cards_plan("Sapling"), "must be one of FireLizard, "),  # of the other side
        (cards_plan("Shadow"), "must be one of FireLizard, "),  # only by summons
        (cards_plan(*["FireLizard"] * 8), "at most 7"),
        (cards_plan(*["FireLizard"] * 1_000_000), "at most 7"),
        ({"invaders": [{"name": "FireLizard", "tier": "Diamond"}]}, "must be one of Bronze, Gold"),
        ({"invaders": [{"tier": "Gold"}]}, "lacks 'name'"),
        ({"invaders": [{"name": "FireLizard", "attack": 10**9}]}, "knows no 'attack'"),
        (cards_plan(target_priority_for_invaders=["Sapling"] * 1000), "at most 20"),
        (cards_plan(target_priority_for_invaders=["FireLizard"]), "must be one of "),
        (cards_plan(target_priority_for_defenders=[]), "knows no 'target_priority_for_defenders'"),
    ],
)
def test_plans_of_cards_that_mean_nothing_are_told_why(plan, reason):
    with pytest.raises(NotACall, match=reason) as error:
        CARDS.check("invaders", plan)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("team", "reason"),
    [
        ([FIRE, FIRE], "Fire stands there already"),
        ([FIRE] * 4, "at most 3"),
        ([FIRE] * 1_000_000, "at most 3"),
        ([{"element": "Wood", "skills": FIRE["skills"]}], "must be one of Fire, Water, Dark"),
        ([{"element": "Water", "skills": FIRE["skills"]}], "Water has no skill flame_splash; it has stream"),
        ([{"element": "Fire", "skills": ["flame_splash"] * 3}], "must differ"),
        ([{"element": "Fire", "skills": ["flame_splash"] * 2}], "at least 3"),
        ([{"element": "Fire", "skills": ["flame_splash"] * 10**6}], "at most 3"),
        ([{"element": "Fire", "skills": ["a", "b", "c"]}], "must be one of flame_splash"),
        ([{"element": "Fire", "skills": [{}, [], 1]}], "must be of type string"),
        ([{"element": "Fire"}], "lacks 'skills'"),
        (deep(400), "must be of type object"),
        ("Fire", "must be of type array"),
    ],
)
def test_teams_that_mean_nothing_are_told_why(team, reason):
    with pytest.raises(NotACall, match=reason) as error:
        DUELS.check("invaders", {"invaders": team})
    assert len(str(error.value)) < 900


@each_side
def test_no_units_at_all_is_a_plan(game, side):
    game.check(side, {side: []})
    assert game.cost(side, {side: []}) == 0


@pytest.mark.parametrize("tier", ["Bronze", "Gold"])
def test_each_tier_costs_what_it_says(tier):
    factor = {"Bronze": 1, "Gold": 3}[tier]
    for side, costs in (
        ("invaders", [1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]),
        ("defenders", [1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]),
    ):
        units = [unit for unit in CARDS.catalogue(side).units if "cost" in unit]
        found = [CARDS.cost(side, {side: [{"name": unit["name"], "tier": tier}]}) for unit in units]
        assert found == [factor * cost for cost in costs]


def test_a_unit_without_a_tier_is_bronze():
    plain, bronze = cards_plan("Phoenix"), {"invaders": [{"name": "Phoenix", "tier": "Bronze"}]}
    defenders = {"defenders": [{"name": "King"}]}
    assert CARDS.cost("invaders", plain) == CARDS.cost("invaders", bronze) == 4
    assert CARDS.battle({"invaders": plain, "defenders": defenders}) == CARDS.battle(
        {"invaders": bronze, "defenders": defenders}
    )


def test_a_team_costs_its_skills_and_may_be_over_budget():
    dear = {"element": "Fire", "skills": ["hell_curtain", "magma_eruption", "flame_whirlwind"]}
    assert DUELS.cost("invaders", {"invaders": [FIRE]}) == 4
    team = {"invaders": [dear, {**dear, "element": "Water"}]}
    team["invaders"][1]["skills"] = ["abyss_resonance", "tsunami_ending", "ice_branded"]
    DUELS.check("invaders", team)
    assert DUELS.cost("invaders", team) == 24 > DUELS.catalogue("invaders").budget


def test_the_priority_list_decides_whom_cards_strike():
    """Two saplings and a king: the king falls to the frog where it comes first."""
    defenders = {"defenders": [{"name": "AncientTreant"}, {"name": "King"}]}
    plan = cards_plan("PoisonFrog", "PoisonFrog", target_priority_for_invaders=["King"])
    last = CARDS.battle({"invaders": plan, "defenders": defenders}, frames=True).frames[1]
    assert [unit["name"] for unit in last["boards"][1]] == ["AncientTreant"]


# -- what a player is told -----------------------------------------------------------------------------------


@each_side
def test_the_schema_fits_a_tool_and_what_a_player_is_told_is_json(game, side):
    plan = game.random_plan(side, random.Random(3), 20)
    tool = Tool("submit_plan", "Submits a plan.", game.schema(side))
    (call,) = read_calls([ToolCall("1", "submit_plan", json.dumps(plan))], [tool])
    assert call.arguments == plan
    told = json.dumps(game.catalogue(side).units)
    assert json.loads(told) == game.catalogue(side).units
    assert len(told) < 6000


@each_game
def test_the_rules_name_the_numbers_of_the_data_file(game):
    rules = game.rules()
    assert "20" in rules
    assert "invaders" in rules
    assert "{" not in rules


def words_of(value, keys):
    """What the fields of these names say, wherever they stand in JSON data."""
    if isinstance(value, list):
        return {word for part in value for word in words_of(part, keys)}
    if not isinstance(value, dict):
        return set()
    said = {word for key in keys if key in value for word in [value[key]] if isinstance(word, str)}
    return said | words_of([*value.values()], keys)


@each_side
def test_the_rules_explain_each_word_that_the_catalogue_uses(game, side):
    units = json.loads(json.dumps(game.catalogue(side).units))
    traits = {trait for unit in units for trait in unit.get("traits", ())}
    keys = {key for unit in units for key in ("attacks", "revives") if key in unit}
    words = words_of(units, ("when", "do", "to")) | traits | keys
    words -= {"self", "damage", "target", "killer", "attacker"}  # plain enough
    rules = game.rules().replace("What burns", "burn")
    assert {word for word in words if not re.search(rf"\b{word}\b", rules)} - {"summon"} == set()


def test_the_catalogue_names_what_units_summon():
    assert "Squire" in {unit["name"] for unit in CARDS.catalogue("defenders").units}
    assert "Squire" not in {unit["name"] for unit in CARDS.catalogue("invaders").units}


def test_what_a_plan_leaves_out_is_filled_in_before_plans_are_compared():
    short = {"invaders": [{"name": "Phoenix"}]}
    full = {"invaders": [{"name": "Phoenix", "tier": "Bronze"}], "target_priority_for_invaders": []}
    assert CARDS.meant("invaders", short) == CARDS.meant("invaders", full) == full
    gold = {"invaders": [{"name": "Phoenix", "tier": "Gold"}]}
    assert CARDS.meant("invaders", gold) != full
    team = {"defenders": [{"element": "Wood", "skills": ["life_totem", "bud_healing", "poison_vine"]}]}
    assert DUELS.meant("defenders", team) == team


def test_a_story_says_how_long_the_battle_took():
    plans = {"invaders": {"invaders": [{"name": "BattleFrenzy"}]}, "defenders": {"defenders": []}}
    assert CARDS.battle(plans).story[0] == "The invaders began; the invaders won after 0 turns."
    plans["defenders"] = {"defenders": [{"name": "BlackRock"}]}
    assert CARDS.battle(plans).story[0] == "The invaders began; the invaders won after 1 turn."
    teams = {"invaders": {"invaders": []}, "defenders": {"defenders": []}}
    assert DUELS.battle(teams).story[0] == "The invaders won; the battle took 0 rounds of its own."


# -- plans at random -----------------------------------------------------------------------------------------


@each_side
def test_plans_at_random_are_accepted_and_within_budget(game, side):
    rng = random.Random(f"{game.name} {side}")
    for budget in (0, 1, 3, 4, 11, 12, 19, 20, 100) * 30:
        plan = game.random_plan(side, rng, budget)
        game.check(side, plan)
        assert game.cost(side, plan) <= budget


@each_side
def test_varied_plans_are_accepted_and_within_budget_wherever_they_start(game, side):
    rng = random.Random(f"{game.name} {side}")
    plan = game.random_plan(side, rng, 20)
    for budget in (20, 20, 20, 12, 4, 0, 30) * 60:
        before = json.dumps(plan)
        varied = game.varied(side, plan, rng, budget)
        assert json.dumps(plan) == before
        game.check(side, varied)
        assert game.cost(side, varied) <= budget
        plan = varied


@each_side
def test_most_varied_plans_differ_and_many_come_about(game, side):
    rng = random.Random(1)
    plan = game.random_plan(side, random.Random(5), 20)
    found = {json.dumps(game.varied(side, plan, rng, 20)) for _ in range(200)}
    assert len(found) > 20


@each_game
def test_the_same_seed_and_the_same_plans_give_the_same(game):
    def played():
        rng = random.Random(7)
        plans = [{side: game.random_plan(side, rng, 20) for side in game.sides} for _ in range(20)]
        return plans, [game.battle(one, frames=True) for one in plans]

    assert played() == played()
    for plans in played()[0]:
        shown, plain = game.battle(plans, frames=True), game.battle(plans)
        assert (shown.winner, shown.ticks, shown.story) == (plain.winner, plain.ticks, plain.story)
        assert plain.frames == ()
        assert shown.frames


@each_game
def test_both_sides_can_win(game):
    rng = random.Random(11)
    plans = [{side: game.random_plan(side, rng, 20) for side in game.sides} for _ in range(200)]
    won = sum(game.battle(one).winner == "invaders" for one in plans)
    assert 60 < won < 140


@each_game
def test_a_battle_is_quick(game):
    """A searching player fights 50 a move. It takes 0.2 ms; 2 ms are allowed."""
    rng = random.Random(13)
    plans = [{side: game.random_plan(side, rng, 20) for side in game.sides} for _ in range(200)]
    begun = time.process_time()
    for one in plans:
        game.battle(one)
    assert (time.process_time() - begun) / len(plans) < 0.002
