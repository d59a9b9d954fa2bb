"""What a policy that cannot be used raises: every problem with its place, all of them in one error."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.yaml.problems import Problem, YamlError


class PolicyError(YamlError):
    """A policy that cannot be used, with all its problems: the file's own by line, then its base's."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems, "policy")
