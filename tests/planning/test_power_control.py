"""Readings and the clocks that they send, second by second: the rules of POLCA and of its baselines.

Thresholds are 80% and 89% of the budget, released below 75% and 84%; a reading every 2 s; a cap lands after
40 s, the brake after 5 s.
"""

import dataclasses

import pytest

from overt.planning.control import KINDS, Controller, Policy


def sent(readings, policy=None):
    """What the readings send: (second, group, MHz or None, second of landing). A reading is (second, share),
    or (first second, last second, share) for one every 2 s."""
    policy = policy or Policy()
    controller, told = Controller(policy), []
    for first, *last, share in readings:
        for step in range(int(((last or [first])[0] - first) / policy.telemetry_s) + 1):
            now = first + step * policy.telemetry_s
            told += [(c.sent, c.group, c.mhz, c.lands, c.share) for c in controller.read(now, share)]
    assert all(share in {reading[-1] for reading in readings} for *_, share in told)
    return [one[:4] for one in told]


CASES = {
    "nothing happens at a threshold, only above it": ([(2, 0.80), (4, 0.5), (6, 0.8)], []),
    "above T1": ([(2, 0.79), (4, 0.801), (6, 0.85)], [(4, "low", 1275, 44)]),
    "above T2, at once": ([(2, 0.79), (4, 0.891)], [(4, "low", 1110, 44)]),
    "above T1, then T2": (
        [(2, 0.81), (4, 0.88), (6, 0.9)],
        [(2, "low", 1275, 42), (6, "low", 1110, 46)],
    ),
    "high priority waits for a reading that is all of the time since the low cap landed": (
        [(2, 48, 0.95)],  # it lands at 42, in the reading of 44
        [(2, "low", 1110, 42), (44, "high", 1305, 84)],
    ),
    "high priority is left alone where the low cap was enough": (
        [(2, 42, 0.95), (44, 200, 0.88)],
        [(2, "low", 1110, 42)],
    ),
    "high priority is capped later, when power rises again": (
        [(2, 42, 0.95), (44, 98, 0.88), (100, 0.9)],
        [(2, "low", 1110, 42), (100, "high", 1305, 140)],
    ),
    "a cap stays on at the edge of its hysteresis": (
        [(2, 0.81), (4, 100, 0.75)],
        [(2, "low", 1275, 42)],
    ),
    "a cap is released below it": ([(2, 0.81), (4, 0.749)], [(2, "low", 1275, 42), (4, "low", None, 44)]),
    "T2 is released first, then T1": (
        [(2, 44, 0.95), (46, 0.84), (48, 0.839), (50, 0.76), (52, 0.74)],
        [
            (2, "low", 1110, 42), (44, "high", 1305, 84), (48, "low", 1275, 88), (48, "high", None, 88),
            (52, "low", None, 92),
        ],
    ),
    "all are released at once where power falls so far": (
        [(2, 44, 0.95), (46, 0.5)],
        [(2, "low", 1110, 42), (44, "high", 1305, 84), (46, "low", None, 86), (46, "high", None, 86)],
    ),
    "a released cap is sent anew, and high priority waits anew": (
        [(2, 0.95), (4, 0.5), (6, 48, 0.95)],
        [(2, "low", 1110, 42), (4, "low", None, 44), (6, "low", 1110, 46), (48, "high", 1305, 88)],
    ),
    "the budget itself is no reason for the brake": ([(2, 1.0)], [(2, "low", 1110, 42)]),
    "the brake": ([(2, 1.001), (4, 1.2), (6, 1.2)], [(2, "all", 288, 7)]),
    "the brake is released once it has landed and power is low": (
        [(2, 1.01), (4, 0.5), (6, 0.5), (8, 0.84), (10, 0.839)],
        [(2, "all", 288, 7), (10, "all", None, 15)],
    ),
    "the brake comes twice": (
        [(2, 1.01), (8, 0.5), (10, 0.5), (12, 0.5), (14, 1.01), (20, 0.5)],
        [(2, "all", 288, 7), (8, "all", None, 13), (14, "all", 288, 19), (20, "all", None, 25)],
    ),
    "the brake while a cap is on its way: the cap lands and is not sent again": (
        [(2, 0.95), (4, 1.01), (10, 0.4), (12, 0.4), (14, 0.4), (16, 0.4)],
        # The release lands at 15: what is read until then, and at 16 for the half of it, shows the brake.
        [(2, "low", 1110, 42), (4, "all", 288, 9), (10, "all", None, 15)],
    ),
    "a cap is released after the brake by a reading without it": (
        [(2, 0.95), (4, 1.01), (10, 0.4), (12, 16, 0.4), (18, 0.4)],
        [(2, "low", 1110, 42), (4, "all", 288, 9), (10, "all", None, 15), (18, "low", None, 58)],
    ),
    "what is above a threshold in spite of the brake is capped": (
        [(2, 1.01), (8, 0.4), (10, 0.85)],
        [(2, "all", 288, 7), (8, "all", None, 13), (10, "low", 1275, 50)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_polca(name):
    readings, expected = CASES[name]
    assert sent(readings) == expected


ROUND = [(2, 44, 0.85), (46, 100, 0.95), (102, 1.01), (108, 0.4), (110, 116, 0.86), (118, 0.8), (120, 0.7)]
BRAKE = [(102, "all", 288, 107), (108, "all", None, 113)]
ROUNDS = {
    "polca": [
        (2, "low", 1275, 42), (46, "low", 1110, 86), (88, "high", 1305, 128), *BRAKE, (118, "low", 1275, 158),
        (118, "high", None, 158), (120, "low", None, 160),
    ],
    "one threshold": [(46, "low", 1110, 86), *BRAKE, (118, "low", None, 158)],
    "cap all": [
        (46, "low", 1110, 86), (46, "high", 1110, 86), *BRAKE, (118, "low", None, 158),
        (118, "high", None, 158),
    ],
    "no capping": BRAKE,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_readings_under_each_policy(kind):
    assert sent(ROUND, Policy(kind=kind)) == ROUNDS[kind]


def test_every_figure_of_the_policy_is_used():
    policy = Policy(
        t1=0.5, t2=0.6, hysteresis=0.1, low_mhz=1000, low_mhz_2=900, high_mhz=950, brake_mhz=300,
        telemetry_s=1.0, cap_s=7.0, brake_s=3.0,
    )  # fmt: skip
    readings = [
        (1, 0.51),
        (2, 0.61),
        (3, 10, 0.61),
        (11, 0.51),
        (12, 0.49),
        (13, 0.39),
        (14, 1.1),
        (17, 0.49),
    ]
    assert sent(readings, policy) == [
        (1, "low", 1000, 8),
        (2, "low", 900, 9),
        (10, "high", 950, 17),  # the low cap landed at 9
        (12, "low", 1000, 19),
        (12, "high", None, 19),
        (13, "low", None, 20),
        (14, "all", 300, 17),
        (17, "all", None, 20),
    ]


def test_readings_of_a_tenth_of_a_second_add_up():
    """Sums of 0.1 are not exact: the reading that begins where the cap lands must still count."""
    policy, now, told = Policy(telemetry_s=0.1, cap_s=4.0), 0.0, []
    controller = Controller(policy)
    for _ in range(60):
        now += policy.telemetry_s
        told += controller.read(now, 0.95)
    assert [(c.group, round(c.sent, 6)) for c in told] == [("low", 0.1), ("high", 4.2)]


@pytest.mark.parametrize("kind", KINDS)
def test_delays_of_nothing_are_no_effect_before_its_cause(kind):
    """A cap that lands at once is still not seen in the reading that sent it."""
    policy = dataclasses.replace(Policy(kind=kind), cap_s=0.0, brake_s=0.0)
    told = sent([(2, 6, 0.95), (8, 1.01), (10, 0.5)], policy)
    assert [one for one in told if one[1] == "all"] == [(8, "all", 288, 8), (10, "all", None, 10)]
    high = [one[0] for one in told if one[1] == "high"]
    assert high == {"polca": [4], "cap all": [2]}.get(kind, [])
    assert all(lands == at for at, _, _, lands in told)
