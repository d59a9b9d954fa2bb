"""Tower defence: each unit's rule in a battle worked out by hand.

A tick is 50 ms. At speed 2 a demon walks a cell in 25.45 ticks and eleven in 280; a shot or a strike a second
is one in 20 ticks. Who stands at x = 5 is touched in tick 153, and from there it takes 128 ticks to x = 0.
"""

from __future__ import annotations

import random
import time

import pytest

from overt.environments.strategic_games.tower import TowerDefence
from overt.environments.strategic_games.tower.row import Row
from overt.environments.strategic_games.tower.units import Units, field_of, shipped

GAME = TowerDefence()


def human(name, x, y=0, at=0):
    return {"name": name, "x": x, "y": y, "spawn_time": at}


def demon(name, y=0, at=0):
    return {"name": name, "y": y, "spawn_time": at}


def fight(humans, demons, game=GAME, **options):
    return game.battle({"humans": {"humans": humans}, "demons": {"demons": demons}}, **options)


def came_to(battle):
    return battle.winner, battle.ticks


def with_rules(**changed):
    field = shipped()
    units = Units(humans=tuple(field.humans.values()), demons=tuple(field.demons.values()))
    return TowerDefence(field_of(field.rules.model_copy(update=changed), units))


@pytest.mark.parametrize(
    ("humans", "demons", "winner", "ticks"),
    [
        # walking: 280 ticks at speed 2; 12,320 steps of 66 at speed 3
        ([], ["NormalDemon"], "demons", 280),
        ([], ["SpeedyDemon"], "demons", 140),
        ([], ["MachineDemon"], "demons", 187),
        # shooting: the tenth shot, 9 intervals after the first
        ([("HandgunSoldier", 0)], ["NormalDemon"], "humans", 180),
        ([("RifleSoldier", 0)], ["NormalDemon"], "humans", 90),
        ([("MachineGunSoldier", 0)], ["NormalDemon"], "humans", 45),
        ([("RifleSoldier", 0)], ["GreatDemon"], "humans", 190),
        # a shield takes off 70%: 34 shots of 0.3
        ([("MachineGunSoldier", 0)], ["ShieldDemon"], "humans", 165),
        # a magnet in front switches it off before the first shot, one behind after it: 0.3 + 10 * 1
        ([("MachineGunSoldier", 0), ("MagneticSoldier", 1)], ["ShieldDemon"], "humans", 45),
        ([("MachineGunSoldier", 1), ("MagneticSoldier", 0)], ["ShieldDemon"], "humans", 50),
        # a magnet slows a machine to speed 2, and does nothing to others
        ([("MagneticSoldier", 0)], ["MachineDemon"], "demons", 280),
        ([("AntiAirSoldier", 0)], ["MachineDemon"], "demons", 187),
        ([("MagneticSoldier", 0)], ["NormalDemon"], "demons", 300),
        # fire: 1 at once, then 2 a second by the shot and by burning: 9, 7, 5, 3, 1, and the shot in tick 100
        ([("FlamethrowerSoldier", 0)], ["NormalDemon"], "humans", 100),
        ([("FlamethrowerSoldier", 0)], ["FireDemon"], "demons", 300),
        # ice: 22 steps a tick; the king has 80 - 29 left when it comes, and fells it with one strike
        ([("IceSoldier", 0)], ["DemonKing"], "demons", 560),
        ([("IceSoldier", 0)], ["FrostDemon"], "demons", 300),
        # only anti-air hits what flies, and it hits nothing else
        ([("AntiAirSoldier", 0)], ["FlyingDemon"], "humans", 180),
        ([("RifleSoldier", 0)], ["FlyingDemon"], "demons", 320),
        ([("AntiAirSoldier", 0)], ["NormalDemon"], "demons", 300),
        # in the way: 15 strikes from tick 153, then 128 ticks to x = 0
        ([("ShieldSoldier", 5)], ["NormalDemon"], "demons", 153 + 14 * 20 + 128),
        ([("EnhancedShieldSoldier", 5)], ["NormalDemon"], "demons", 153 + 29 * 20 + 128),
        ([("EnhancedShieldSoldier", 0)], ["DemonKing"], "demons", 280 + 5 * 20),
        # jumping: over shields, not over enhanced ones, nor over anybody else
        ([("ShieldSoldier", 5)], ["BouncingDemon"], "demons", 280),
        ([("EnhancedShieldSoldier", 5)], ["BouncingDemon"], "demons", 153 + 29 * 20 + 128),
        ([("AntiAirSoldier", 5)], ["BouncingDemon"], "demons", 153 + 20 + 128),
        # breaking: 5 a strike against shields, 1 against others
        ([("ShieldSoldier", 5)], ["ShieldBreakerDemon"], "demons", 153 + 2 * 20 + 128),
        ([("EnhancedShieldSoldier", 5)], ["ShieldBreakerDemon"], "demons", 153 + 5 * 20 + 128),
        ([("AntiAirSoldier", 5)], ["ShieldBreakerDemon"], "demons", 153 + 20 + 128),
        # a blast: 10 ticks after the touch, on the ground alone, and not where the explosive has fallen
        ([("LinearExplosion", 5)], ["NormalDemon", "GreatDemon"], "humans", 163),
        ([("LinearExplosion", 0)], ["FlyingDemon"], "demons", 290),
        ([("LinearExplosion", 0)], ["DemonKing"], "demons", 290),
        ([("LinearExplosion", 0)], ["DemonKing"] * 10, "demons", 280),
        # summoning: speed 1; the first one comes in tick 100, 10,120 steps of 44 from x = 0
        ([], ["SummoningDemon"], "demons", 330),
    ],
)
def test_a_units_rule(humans, demons, winner, ticks):
    battle = fight([human(*each) for each in humans], [demon(name) for name in demons])
    assert came_to(battle) == (winner, ticks)


def test_fire_burns_for_three_seconds_after_the_last_hit():
    # Touched in tick 26 and felled in tick 46, it has hit in ticks 0, 20 and 40: 5 are left, and after ticks
    # 60, 80 and 100 there are 2. The handgun comes in tick 101 and needs two shots.
    humans = [human("FlamethrowerSoldier", 10), human("HandgunSoldier", 0, at=5.05)]
    assert came_to(fight(humans, [demon("NormalDemon")])) == ("humans", 121)


def test_a_slowed_demon_gets_its_pace_back():
    # Touched in tick 51 and felled in tick 71, it has hit in tick 60 last, so the demon is slow to tick 100:
    # 29 * 22 of 11,200 steps, and the rest takes 241 ticks of 44.
    assert came_to(fight([human("IceSoldier", 10)], [demon("NormalDemon")])) == ("demons", 341)


def test_shots_come_before_strikes():
    # The third strike, in tick 320, would fell the handgun. Its tenth shot is in that tick, or one tick late.
    assert came_to(fight([human("HandgunSoldier", 0, at=7)], [demon("NormalDemon")])) == ("humans", 320)
    assert came_to(fight([human("HandgunSoldier", 0, at=7.05)], [demon("NormalDemon")])) == ("demons", 320)


def test_a_bomb_hits_three_by_three_cells():
    # It stands at x = 5 in row 1 and goes off in tick 163, when a demon of tick 0 is at x 4.6 and one of tick
    # 61 at x 6.99; one of tick 62 is at x 7.03 still, and row 3 is too far away.
    demons = [demon("NormalDemon", 1), demon("NormalDemon", 0), demon("NormalDemon", 2, 3.05)]
    assert came_to(fight([human("Bomb", 5, 1)], demons)) == ("humans", 163)
    missed = fight([human("Bomb", 5, 1)], [*demons, demon("NormalDemon", 2, 3.1), demon("NormalDemon", 3)])
    assert came_to(missed) == ("demons", 280)
    assert missed.story[1:4] == (
        "Row 0: killed 1 NormalDemon.",
        "Row 1: 0 of 1 humans stand; used up Bomb at x 5 (8.15 s); killed 1 NormalDemon.",
        "Row 2: killed 1 NormalDemon; still there: NormalDemon at x 2.4.",
    )


def test_a_blast_in_the_next_row_is_of_the_same_tick():
    # Both go off in tick 163. The king takes 30 of each and 17 of the rifle, whose twentieth shot kills it.
    humans = [human("Bomb", 5, 0), human("Bomb", 5, 1), human("RifleSoldier", 0, 1)]
    battle = fight(humans, [demon("DemonKing", 1), demon("NormalDemon", 0)], frames=True)
    healths = [
        f["health"] for f in battle.frames if f["id"] == "d1" and f["what"] == "is" and f["tick"] == 163
    ]
    assert healths == [pytest.approx((80 - 17 - 60) / 80, abs=0.001)]  # shots in ticks 0 to 160
    assert came_to(battle) == ("humans", 190)


def test_the_first_demon_is_the_nearest_and_of_two_the_one_that_came_first():
    battle = fight(
        [human("RifleSoldier", 0)], [demon("NormalDemon", at=1), demon("SpeedyDemon", at=1)], frames=True
    )
    shots = [frame["at"] for frame in battle.frames if frame["what"] == "shoots"]
    assert shots[:3] == ["d1", "d2", "d2"]  # side by side at x = 11, then the fast one is nearer


def test_a_human_does_not_shoot_to_its_left():
    # The demon is past x = 9 when the rifle comes there.
    assert came_to(fight([human("RifleSoldier", 9, at=5)], [demon("NormalDemon")])) == ("demons", 280)


def test_rows_know_nothing_of_each_other():
    assert came_to(fight([human("MachineGunSoldier", 0, 1)], [demon("NormalDemon", 0)])) == ("demons", 280)


@pytest.mark.parametrize("humans", [[], [human("RifleSoldier", 0)]])
def test_without_demons_the_humans_have_won(humans):
    battle = fight(humans, [])
    assert came_to(battle) == ("humans", 0)
    assert battle.story[0] == "The humans won after 0 s: no demon was left."


def test_demons_to_come_are_waited_for():
    assert came_to(fight([human("MachineGunSoldier", 0)], [demon("NormalDemon", at=60)])) == ("humans", 1245)


def test_who_holds_until_the_end_has_won():
    battle = fight([], [demon("NormalDemon")], with_rules(ends_after_s=10))
    assert came_to(battle) == ("humans", 200)
    assert battle.story == (
        "The humans won after 10 s: no demon had passed x = 0 when the time was over.",
        "Row 0: still there: NormalDemon at x 3.1.",
    )


def test_summons_have_an_end():
    wall = [human("EnhancedShieldSoldier", x) for x in range(11)]
    for most in (0, 3):
        battle = fight(wall, [demon("SummoningDemon")], with_rules(most_summoned=most), frames=True)
        came = [
            frame for frame in battle.frames if frame["what"] == "enters" and frame["name"] == "NormalDemon"
        ]
        assert [frame["tick"] for frame in came] == [100, 200, 300][:most]
        assert all(frame["x"] == 10 for frame in came)  # where the summoner stands and strikes


def test_the_story_says_who_fell_and_where():
    battle = fight([human("AntiAirSoldier", 5)], [demon("NormalDemon"), demon("GreatDemon", 1, 60)])
    assert battle.story == (
        "The demons won after 15.05 s: NormalDemon passed x = 0 in row 0.",
        "Row 0: 0 of 1 humans stand; lost AntiAirSoldier at x 5 (8.65 s); still there: NormalDemon at x 0.0.",
        "Row 1: 1 had yet to come.",
    )


def random_plans(count, seed, over=1):
    rng = random.Random(seed)
    for _ in range(count):
        yield {
            "humans": GAME.random_plan("humans", rng, 2000 * over),
            "demons": GAME.random_plan("demons", rng, 1500 * over),
        }


def test_going_from_event_to_event_misses_nothing(monkeypatch):
    plans = [*random_plans(40, 1), *random_plans(5, 2, over=4)]
    quick = [GAME.battle(each) for each in plans]
    monkeypatch.setattr(Row, "_next", lambda self, now: now + 1)  # every tick of every row
    monkeypatch.setattr(Row, "__init__", _due_at_once(Row.__init__))
    assert [GAME.battle(each) for each in plans] == quick


def _due_at_once(init):
    def made(self, *args):
        init(self, *args)
        self.due = 0

    return made


def test_the_same_plans_give_the_same_battle_with_frames_or_without():
    for plans in random_plans(20, 3):
        battle, shown = GAME.battle(plans), GAME.battle(plans, frames=True)
        assert not battle.frames
        assert shown.frames
        assert (shown.winner, shown.ticks, shown.story) == (battle.winner, battle.ticks, battle.story)


def test_a_battle_is_quick():
    plans = list(random_plans(100, 4))
    start = time.process_time()
    for each in plans:
        GAME.battle(each)
    assert time.process_time() - start < 100 * 0.010  # 0.6 ms each where this was written
