"""The error for a policy that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from overt.data.yaml.problems import Problem, YamlError


class PolicyError(YamlError):
    """Holds all problems of a policy: those of its file by line, then those of its base."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems, "policy")
