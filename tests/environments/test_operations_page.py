"""The example on the page of operations can be played."""

import re
from pathlib import Path

from overt.environments.operations import Operations

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "operations.md"


def test_the_jobs_on_the_page_can_be_played(tmp_path):
    shown = re.search(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    path = tmp_path / "printers.yaml"
    path.write_text(shown[1])
    tasks = list(Operations().tasks({"jobs": [str(path)]}, ()))
    assert [task.prompt.category for task in tasks] == ["printers", "printers"]
