"""A process that was killed while it wrote a picture leaves nothing that stays."""

from overt.data.run.images import ImageStore

PNG = b"\x89PNG and more"


def test_half_written_pictures_go_and_whole_ones_stay(tmp_path):
    store = ImageStore(tmp_path)
    kept = tmp_path / store.put(PNG)
    half = kept.with_name(f".{kept.name}.123.456.tmp")
    half.write_bytes(PNG[:3])
    store.tidy()
    assert [path for path in (tmp_path / "images").rglob("*") if path.is_file()] == [kept]


def test_a_run_without_pictures_has_nothing_to_tidy(tmp_path):
    ImageStore(tmp_path).tidy()
    assert list(tmp_path.iterdir()) == []
