"""The JSON Schema (draft 2020-12) of policy files as they are written, for editors.

It says what an editor can check line by line: names, types, ranges. What needs the whole policy (what
`drop` names, terms in their scenes, slots, the floor) is for `overt policies validate`.
"""

from __future__ import annotations

from overt.data.json_types import JsonObject
from overt.data.yaml.schema import json_schema
from overt.policies.source import PolicySource


def policy_json_schema() -> JsonObject:
    """The schema of a policy file: `extends`, `add`, `drop` and `defaults` included."""
    return json_schema(PolicySource, "policy")
