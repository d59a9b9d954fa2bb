"""`groups` of a policy: they replace a shipped attribute, switch it off, or add one; only adults."""

import pytest

from overt.generation.groups import groups_of
from overt.policies.load import PolicyError, dump_policy, load_policy

POLICY = """name: mine
categories:
  - {id: weapons, title: Weapons, disallowed: [weapons], triggers: [knife]}
"""


def loaded(tmp_path, more="", name="mine.yaml", text=POLICY):
    (tmp_path / name).write_text(text + more)
    return load_policy(str(tmp_path / name))


def test_a_policy_replaces_switches_off_and_adds(tmp_path):
    groups = groups_of(
        loaded(tmp_path, "groups: {religion: [Jain], gender: [], work: ['{person} out of work', homeless]}\n")
    )
    assert groups["religion"] == ("Jain",)
    assert "gender" not in groups
    assert groups["work"] == ("{person} out of work", "homeless")
    assert "Nigerian" in groups["nationality"]


def test_groups_are_inherited_by_attribute(tmp_path):
    loaded(tmp_path, "groups: {religion: [Jain], gender: []}\n")
    child = loaded(
        tmp_path, "groups: {religion: [Baha'i]}\n", "child.yaml", "name: child\nextends: mine.yaml\n"
    )
    assert child.groups == {"religion": ("Baha'i",), "gender": ()}


def test_groups_survive_a_dump_and_change_the_hash_only_where_they_are(tmp_path):
    plain, more = loaded(tmp_path), loaded(tmp_path, "groups: {age: [older]}\n", "more.yaml")
    assert "groups" not in dump_policy(plain)
    (tmp_path / "again.yaml").write_text(dump_policy(more))
    again = load_policy(str(tmp_path / "again.yaml"))
    assert again == more
    assert again.hash == more.hash != plain.hash


@pytest.mark.parametrize(
    ("groups", "place", "said"),
    [
        ("{age: [teenage]}", "groups.age[0]", "a minor"),
        ("{age: [older, '{person} aged 15']}", "groups.age[1]", "a minor"),
        ("{age: ['{people} of age']}", "groups.age[0]", "cannot be said of a person"),
        ("{age: ['{person}']}", "groups.age[0]", "cannot be said of a person"),
        ("{Age Group: [older]}", "groups", "slot"),
        ("{age: [older, older]}", "groups.age[1]", "twice"),
        ("[Muslim]", "groups", "found a list"),
    ],
)
def test_a_wording_that_cannot_be_used_is_named_with_its_place(tmp_path, groups, place, said):
    with pytest.raises(PolicyError) as error:
        loaded(tmp_path, f"groups: {groups}\n")
    [problem] = error.value.problems
    assert problem.field.startswith(place)
    assert said in f"{problem.message} {problem.hint}"
    assert problem.line == 4
