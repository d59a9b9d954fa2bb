"""The parts of a run's outcomes, one for each target."""

from overt.data.run.folder import RunFolder
from overt.data.run.outcome_parts import OutcomeParts


def test_no_part_is_left_behind_whole_or_half(tmp_path):
    """Neither by a thread that still writes nor by a process that was killed in the middle."""
    stages = tmp_path / "stages"
    stages.mkdir()
    for name in (".outcomes.0.part", "..outcomes.1.part.123.456.tmp"):
        (stages / name).write_text("of a process that was killed\n")
    with OutcomeParts(RunFolder(tmp_path), 2) as parts:
        assert list(stages.iterdir()) == []
        parts.write(0, [])
        (stages / "..outcomes.1.part.1.2.tmp").write_text("of a thread that still writes\n")
    assert list(stages.iterdir()) == []
