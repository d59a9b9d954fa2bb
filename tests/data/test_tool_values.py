"""The part of JSON Schema by which arguments of tools are checked."""

import pytest

from overt.data.tools import NotACall, check_value

PLAN = {
    "type": "object",
    "properties": {
        "units": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {"type": "integer", "minimum": 0, "maximum": 4},
        },
        "tier": {"type": "string", "enum": ["a", "b"]},
    },
    "required": ["units"],
}


@pytest.mark.parametrize("value", [{"units": [0]}, {"units": [4, 2]}, {"units": [1], "tier": "b"}])
def test_what_fits(value):
    check_value(value, PLAN, "plan")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"units": []}, "the number of plan.units must be at least 1"),
        ({"units": [0] * 1_000_000}, "the number of plan.units must be at most 2"),
        ({"units": [5]}, "plan.units[0] must be at most 4"),
        ({"units": [0, -1]}, "plan.units[1] must be at least 0"),
        ({"units": [True]}, "plan.units[0] must be of type integer"),
        ({"units": [[[[]]]]}, "plan.units[0] must be of type integer"),
        ({"units": [1], "tier": "c"}, "plan.tier must be one of a, b"),
        ({}, "plan lacks 'units'"),
        ([], "plan must be of type object"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(value, reason):
    with pytest.raises(NotACall) as error:
        check_value(value, PLAN, "plan")
    assert str(error.value) == reason


def test_no_number_is_within_no_bounds():
    with pytest.raises(NotACall, match="at least 0"):
        check_value(float("nan"), {"type": "number", "minimum": 0}, "speed")


def test_of_a_million_unknown_names_few_are_told():
    value = {"units": [1], **{f"x{n}": 1 for n in range(100_000)}}
    with pytest.raises(NotACall) as error:
        check_value(value, PLAN, "plan")
    assert len(str(error.value)) < 400
