"""Battle cards: every unit in a battle worked out by hand, and who strikes whom, and when."""

import pytest
from pydantic import ValidationError

from overt.environments.strategic_games.cards.fight import DEFENDERS, INVADERS, Fight
from overt.environments.strategic_games.cards.table import CardTable, UnitEntry, card_of, cards, table

RULES = table().rules
BRONZE, GOLD = RULES.tiers


def dummy(attack, health, *traits, element="none", name="D"):
    """A unit without effects."""
    entry = UnitEntry(name=name, element=element, attack=attack, health=health, cost=1, traits=traits)
    return card_of(entry, BRONZE)


def row(units):
    """A board: "3/9" is a dummy of attack 3 and health 9, with its traits behind it; else a unit's name."""
    made = []
    for unit in units:
        if not isinstance(unit, str):
            made.append(unit)
        elif unit[0].isdigit():
            numbers, *traits = unit.split()
            made.append(dummy(*map(int, numbers.split("/")), *traits))
        else:
            name, _, tier = unit.partition(" ")
            made.append(cards()[name, tier or "Bronze"])
    return made


def fought(invaders, defenders, *, turns=RULES.turns, priority=((), ())):
    rules = RULES.model_copy(update={"turns": turns})
    fight = Fight((row(invaders), row(defenders)), priority, rules, cards())
    fight.run()
    return fight


def state(fight):
    """Both boards as texts: name (none for a dummy), attack/health, * for a shield, ~ for what burns."""
    return tuple(
        [
            f"{unit.card.name} ".removeprefix("D ")
            + f"{unit.attack}/{unit.health}"
            + "*" * unit.has_shield
            + f"~{unit.burning}" * bool(unit.burning)
            for unit in board
        ]
        for board in fight.boards
    )


# unit: invaders, defenders, turns, and both boards after them
CASES = {
    "FireLizard": (["FireLizard"], ["2/9"], 1, [], ["2/5"]),
    "WaterElemental": (["WaterElemental"], ["1/9"], 1, ["WaterElemental 3/1"], ["1/6"]),
    "PoisonFrog": (["PoisonFrog"], ["0/9"], 1, ["PoisonFrog 1/1"], []),
    "MoltenHound": (["MoltenHound", "0/3"], ["1/5", "0/4"], 1, ["0/2"], ["1/1", "0/3"]),
    "BattleFrenzy": (["BattleFrenzy"], ["1/30"], 1, ["BattleFrenzy 3/3"], ["1/23"]),
    # The defenders are more and begin, and none of them can strike.
    "BanditLeader": (["BanditLeader"], ["0/3", "0/3", "0/9"], 2, ["BanditLeader 8/3"], ["0/7"]),
    "LavaGolem": (
        ["0/5", "LavaGolem"], ["2/20", "0/9", "0/9"], 1, ["0/5", "LavaGolem 1/6"], ["2/16~3", "0/9", "0/9"],
    ),
    "TideGuardian": (["TideGuardian"], ["1/20"], 1, ["TideGuardian 4/1"], ["1/12"]),
    "TideLord": (["TideLord"], ["3/30"], 1, ["TideLord 8/7"], ["3/26"]),
    # Struck first, it answers one; then it strikes both.
    "Phoenix": (["Phoenix"], ["1/9", "1/9"], 2, ["Phoenix 5/3"], ["1/4"]),
    "ShadowOverlord": (["ShadowOverlord"], ["9/20"], 1, ["Shadow 3/1"], ["9/16"]),
    "Sapling": (["1/9"], ["Sapling", "0/1"], 1, ["1/7"], ["Sapling 2/2", "0/1"]),
    "RockBeetle": (["3/9", "0/1"], ["0/4", "RockBeetle"], 1, ["3/8", "0/1"], ["0/4", "RockBeetle 1/2"]),
    "ForestSeer": (
        ["0/1"], ["Sapling", "ForestSeer", "RockBeetle"], 0,
        ["0/1"], ["Sapling 3/3", "ForestSeer 1/2", "RockBeetle 1/5"],
    ),
    "StoneWarrior": (
        ["9/9", "0/1", "0/1"], ["0/3", "StoneWarrior", "0/3"], 1,
        ["9/7", "0/1", "0/1"], ["0/3", "RockBeetle 1/5", "0/3"],
    ),
    "EliteSoldier": (
        ["0/1"], ["1/1", "EliteSoldier", "1/1", "1/1"], 0,
        ["0/1"], ["2/1*", "EliteSoldier 1/1", "2/1*", "1/1"],
    ),
    # An ally's shield is worth 2 to it; its own, lost in the second turn, is not.
    "Paladin": (["1/9", "0/1"], ["0/5 shield", "Paladin"], 2, ["1/4", "0/1"], ["0/5", "Paladin 5/6"]),
    "BlackRock": (["0/1"], ["0/1", "BlackRock", "0/1"], 0, ["0/1"], ["0/1", "BlackRock 2/7", "0/1"]),
    "VineProtector": (["4/30 splash", "0/1"], ["VineProtector", "0/5"], 1, ["4/27", "0/1"], ["0/3"]),
    "King": (["1/30"], ["King", "0/1"], 1, ["1/27"], ["King 3/11", "Squire 1/1*", "0/1"]),
    "MountainGiant": (
        ["5/30", "0/1"], ["0/1", "MountainGiant"], 1, ["3/26", "0/1"], ["0/1", "MountainGiant 4/6"],
    ),
    "AncientTreant": (["0/1"], ["1/1", "AncientTreant"], 0, ["0/1"], ["3/3", "AncientTreant 2/3"]),
}  # fmt: skip


@pytest.mark.parametrize("unit", CASES)
def test_every_unit_does_what_its_card_says(unit):
    invaders, defenders, turns, *left = CASES[unit]
    assert state(fought(invaders, defenders, turns=turns)) == tuple(left)


def test_no_unit_is_without_a_case():
    assert set(CASES) == {unit.name for unit in (*table().invaders, *table().defenders)}


# Attack, health and cost as the paper has them, in its order.
PAPER = {
    "FireLizard": (2, 2, 1), "WaterElemental": (2, 2, 1), "PoisonFrog": (1, 1, 2), "MoltenHound": (3, 1, 2),
    "BattleFrenzy": (7, 4, 2), "BanditLeader": (8, 3, 3), "LavaGolem": (1, 8, 3), "TideGuardian": (4, 2, 3),
    "TideLord": (4, 10, 4), "Phoenix": (5, 5, 4), "ShadowOverlord": (4, 4, 4),
    "Sapling": (2, 2, 1), "RockBeetle": (1, 5, 1), "ForestSeer": (1, 2, 2), "StoneWarrior": (2, 5, 2),
    "EliteSoldier": (1, 1, 2), "Paladin": (3, 6, 3), "BlackRock": (2, 1, 3), "VineProtector": (3, 4, 3),
    "King": (3, 12, 4), "MountainGiant": (4, 9, 4), "AncientTreant": (2, 3, 4),
}  # fmt: skip


@pytest.mark.parametrize("tier", RULES.tiers, ids=lambda tier: tier.name)
def test_stats_and_costs_are_those_of_the_paper(tier):
    cost, stats = {"Bronze": (1, 1), "Gold": (3, 2)}[tier.name]
    for name, (attack, health, price) in PAPER.items():
        card = cards()[name, tier.name]
        assert (card.attack, card.health, card.cost) == (stats * attack, stats * health, cost * price)
        assert card.attacks == (2 if name == "TideGuardian" else 1)


# -- what the table does not show --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("invaders", "defenders", "turns", "left"),
    [
        # Gold: stats and amounts twice, so 4 of a blow and 4 of its death.
        (["FireLizard Gold"], ["4/20"], 1, ([], ["4/12"])),
        # A summoned unit has the tier of its summoner.
        (["ShadowOverlord Gold"], ["8/20"], 1, (["Shadow 6/2"], ["8/12"])),
        (["1/30"], ["King Gold", "0/1"], 1, (["1/24"], ["King 6/23", "Squire 2/2*", "0/1"])),
        # A factor is not doubled.
        (["TideLord Gold"], ["3/30"], 1, (["TideLord 16/17"], ["3/22"])),
    ],
)
def test_gold_doubles_stats_and_amounts(invaders, defenders, turns, left):
    assert state(fought(invaders, defenders, turns=turns)) == left


def test_a_revived_unit_has_the_numbers_of_its_card_and_dies_the_second_time():
    assert state(fought(["Phoenix"], ["9/20"], turns=1)) == (["Phoenix 5/5"], ["9/15"])
    assert state(fought(["Phoenix"], ["9/20"], turns=2)) == ([], ["9/10"])


def test_poison_also_answers_and_a_shield_keeps_it_off():
    assert state(fought(["PoisonFrog"], ["1/9", "0/5"], turns=1)) == ([], ["0/5"])
    assert state(fought(["PoisonFrog"], ["0/9 shield"], turns=1)) == (["PoisonFrog 1/1"], ["0/9"])


def test_a_shield_stops_what_is_left_of_a_blow():
    assert state(fought(["BanditLeader"], ["0/3", "0/3 shield", "0/9"], turns=2))[1] == ["0/3", "0/9"]


def test_a_unit_whose_attack_is_used_up_strikes_no_more():
    """7, then 3, then 0: after three turns of its own it passes."""
    assert state(fought(["BattleFrenzy"], ["0/30"], turns=9)) == (["BattleFrenzy 0/4"], ["0/20"])


def test_what_burns_loses_health_at_the_end_of_each_turn_of_its_side():
    """It loses 1 in each turn of either, since both strike, and 3 at the end of its own."""
    burnt = [state(fought(["LavaGolem"], ["1/20", "0/9"], turns=n))[1][0] for n in range(1, 8)]
    assert burnt == ["1/16~3", "1/15~3", "1/11~3", "1/10~3", "1/6~3", "1/5~3", "1/1~3"]
    assert state(fought(["LavaGolem"], ["1/20", "0/9"], turns=8))[1] == ["0/9"]


def test_a_revived_unit_burns_no_more():
    fight = fought(["Phoenix"], ["0/1"], turns=0)
    phoenix = fight.boards[INVADERS][0]
    phoenix.burning, phoenix.health = 3, 0
    fight._settle(INVADERS)
    assert state(fight)[0] == ["Phoenix 5/5"]


def test_a_full_board_takes_no_summoned_unit():
    left = state(fought(["1/30"], ["King", *["0/1"] * 6], turns=1))[1]
    assert left == ["King 3/11", *["0/1"] * 6]


def test_healing_goes_no_higher_than_before():
    left = state(fought(["4/30", "0/1"], ["VineProtector", "0/5"], turns=1))[1]
    assert left == ["0/5"]


def test_no_attack_grows_beyond_the_cap():
    fight = fought(["TideLord"], [dummy(0, 1)], turns=0)
    lord = fight.boards[INVADERS][0]
    for _ in range(20):
        fight._fire(lord, "on_damaged", None)
    assert lord.attack == RULES.attack_cap


@pytest.mark.parametrize(
    ("striker", "struck", "damage"),
    [
        ("fire", "nature", 4), ("nature", "water", 4), ("water", "earth", 4), ("earth", "fire", 4),
        ("nature", "fire", 3), ("fire", "water", 3), ("fire", "fire", 3), ("none", "none", 3),
        ("none", "fire", 3), ("earth", "none", 3),
    ],
)  # fmt: skip
def test_an_advantage_is_half_as_much_again_rounded_down(striker, struck, damage):
    """Of 3: 4.5, so 4."""
    fight = fought([dummy(3, 9, element=striker)], [dummy(0, 9, element=struck)], turns=1)
    assert fight.boards[DEFENDERS][0].health == 9 - damage


# -- who strikes whom --------------------------------------------------------------------------------------


def named(name, attack, health, *traits):
    return dummy(attack, health, *traits, name=name)


def struck(defenders, priority=()):
    """The name of the unit that the invaders' first blow falls on."""
    invaders = ["1/99", *["0/1"] * (len(defenders) - 1)]
    fight = fought(invaders, defenders, turns=1, priority=(priority, ()))
    return next(unit.card.name for unit in fight.boards[DEFENDERS] if unit.health < 9)


def test_the_leftmost_is_struck():
    assert struck([named("A", 0, 9), named("B", 0, 9)]) == "A"


def test_priorities_come_before_the_order_on_the_board():
    board = [named("A", 0, 9), named("B", 0, 9), named("C", 0, 9)]
    assert struck(board, ["C", "B"]) == "C"
    assert struck(board, ["Nobody", "B", "C"]) == "B"


def test_taunt_comes_before_priorities():
    board = [named("A", 0, 9), named("B", 0, 9, "taunt"), named("C", 0, 9, "taunt")]
    assert struck(board) == "B"
    assert struck(board, ["A"]) == "B"
    assert struck(board, ["A", "C"]) == "C"


def strikers(invaders, defenders, turns):
    rules = RULES.model_copy(update={"turns": turns})
    fight = Fight((row(invaders), row(defenders)), ((), ()), rules, cards(), is_shown=True)
    fight.run()
    return [frame.attacker for frame in fight.frames[1:]]


def test_units_strike_left_to_right_and_then_begin_anew():
    """Invaders are units 1 to 3, defenders 4 and 5; unit 2 has no attack."""
    assert strikers(["1/99", "0/99", "1/99"], ["1/99", "1/99"], 8) == [1, 4, 3, 5, 1, 4, 3, 5]


def test_the_side_with_more_units_begins_and_else_the_invaders():
    assert fought(["1/9"], ["1/9", "1/9"]).first == DEFENDERS
    assert fought(["1/9", "1/9"], ["1/9"]).first == INVADERS
    assert fought(["1/9"], ["1/9"]).first == INVADERS


# -- who wins ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("invaders", "defenders", "winner", "turns"),
    [
        (["2/2"], ["1/1"], INVADERS, 1),
        (["1/1"], ["2/2"], DEFENDERS, 1),
        (["1/1"], ["1/1"], INVADERS, 1),  # both gone at once
        (["1/1"], ["1/1", "0/1"], DEFENDERS, 1),
        ([], [], INVADERS, 0),
        ([], ["0/1"], DEFENDERS, 0),
        (["0/1"], [], INVADERS, 0),
        (["0/1"], ["0/1", "0/1"], INVADERS, 0),  # nobody can strike
        (["1/1000"], ["1/1000"], INVADERS, RULES.turns),  # the cap
    ],
)
def test_who_wins(invaders, defenders, winner, turns):
    fight = Fight((row(invaders), row(defenders)), ((), ()), RULES, cards())
    assert (fight.run(), fight.turns) == (winner, turns)


def test_both_gone_by_a_death_effect_is_a_win_of_the_invaders_whoever_began():
    fight = fought(["MoltenHound"], ["1/4", "0/1"])
    assert state(fight) == ([], [])
    assert fight.first == DEFENDERS
    assert Fight((row(["MoltenHound"]), row(["1/4", "0/1"])), ((), ()), RULES, cards()).run() == INVADERS


# -- the data file -----------------------------------------------------------------------------------------


def with_unit(**changes):
    unit = {"name": "X", "element": "none", "attack": 1, "health": 1, "cost": 1, **changes}
    rules = RULES.model_dump()
    return CardTable.model_validate({"rules": rules, "invaders": [unit], "defenders": [unit]}, strict=False)


def test_summons_that_never_end_are_refused():
    with pytest.raises(ValidationError, match="without end"):
        with_unit(effects=[{"when": "on_death", "do": "summon", "to": "self", "unit": "X"}])
    with pytest.raises(ValidationError, match="no such unit"):
        with_unit(effects=[{"when": "on_death", "do": "summon", "to": "self", "unit": "Y"}])
    assert with_unit(effects=[{"when": "on_attack", "do": "summon", "to": "self", "unit": "X"}])


def test_an_effect_must_say_what_it_does():
    with pytest.raises(ValidationError, match="damage needs amount"):
        with_unit(effects=[{"when": "on_death", "do": "damage", "to": "killer"}])
