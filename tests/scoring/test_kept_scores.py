"""What scorers of faithfulness computed is kept in the journal, so that nothing is computed twice."""

import io

import pytest
from support import tiny_clip

from overt.calls import Caller, CallerOptions
from overt.data.errors import InputError
from overt.data.records import Prompt, prompt_id
from overt.data.rewrites import Candidate, Faithfulness, FaithfulnessCase, candidate_id
from overt.data.run.images import ImageStore
from overt.scoring.faithfulness.checked import score_checked
from overt.tasks.verdicts import shelf_of, version_of


def case(number, images=(), baseline=(), target="t"):
    text = f"a red kite {number}"
    original = Prompt(prompt_id(text), text, "violence", "benign", "direct", "w", "t@1")
    wording = f"a red toy kite {number}"
    candidate = Candidate(candidate_id(original.id, wording), original.id, wording, "plain", "w", "t@1")
    return FaithfulnessCase(candidate, original, target, tuple(images), tuple(baseline))


class Scorer:
    """Scores by the length of the wording; `asked` has the wordings that it was asked for."""

    name = "own/scorer"

    def __init__(self, ahead=1, gives=lambda case: len(case.candidate.text) / 100):
        self.asked, self._ahead, self._gives = [], ahead, gives

    def score(self, cases, load):
        read = []
        for case in cases:
            self.asked.append(case.candidate.text)
            read.append(case)
            if len(read) == self._ahead:
                yield from map(self._of, read)
                read = []
        yield from map(self._of, read)

    def _of(self, case):
        value = self._gives(case)
        return [Faithfulness(case.candidate.id, case.prompt.id, case.target, "text_text", "own", value)]


@pytest.fixture
def caller(tmp_path):
    with Caller(tmp_path / "calls.sqlite", CallerOptions()) as caller:
        yield caller


def scored(caller, scorer, cases):
    return list(score_checked(scorer, cases, lambda path: b"", shelf_of(caller, "own:Scorer", scorer)))


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_a_case_is_scored_once(caller, ahead):
    cases = [case(n) for n in range(10)]
    some = scored(caller, Scorer(), cases[2:5])
    again = Scorer(ahead)
    found = scored(caller, again, cases)
    assert again.asked == [c.candidate.text for n, c in enumerate(cases) if n not in (2, 3, 4)]
    assert [row.candidate_id for (row,) in found] == [c.candidate.id for c in cases]
    assert found[2:5] == some
    assert found == list(score_checked(Scorer(), cases, lambda path: b""))  # as if nothing were kept
    third = Scorer(ahead)
    assert scored(caller, third, cases) == found
    assert third.asked == []


def test_other_pictures_are_another_case(caller):
    scored(caller, Scorer(), [case(1, ["images/ab/abc.png"])])
    other = Scorer()
    scored(caller, other, [case(1, ["images/ab/abd.png"]), case(1, ["images/ab/abc.png"], target="u")])
    assert len(other.asked) == 1  # the pictures of the second are known, whoever drew them
    [[row]] = scored(caller, Scorer(), [case(1, ["images/ab/abc.png"], target="u")])
    assert row.target == "u"


def test_a_case_without_a_value_is_scored_again(caller):
    scored(caller, Scorer(gives=lambda case: None), [case(1)])
    again = Scorer()
    [[row]] = scored(caller, again, [case(1)])
    assert row.value is not None
    assert len(again.asked) == 1


def test_what_a_scorer_owes_is_told_where_some_is_kept(caller):
    cases = [case(n) for n in range(4)]
    scored(caller, Scorer(), cases[1:2])

    class Short(Scorer):
        def score(self, cases, load):
            yield self._of(next(iter(cases)))

    class Long(Scorer):
        def score(self, cases, load):
            read = list(cases)
            yield from (self._of(one) for one in [*read, read[0]])

    with pytest.raises(InputError, match="gave no record for 'a red toy kite 2'"):
        scored(caller, Short(), cases)
    with pytest.raises(InputError, match="gave more lists than there are cases"):
        scored(caller, Long(), [*cases, case(9)])


def test_versions_tell_scorers_apart(tmp_path):
    one, two = Scorer(), Scorer()
    one.version, two.version = 1, 2
    assert version_of("own:Scorer", one) != version_of("own:Scorer", two)
    assert version_of("own:Scorer", one) != version_of("own:Scorer?x=1", one)
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    for name in (f"clip/{tmp_path}", f"clip/ViT-B-32:{weights}", f"checker/hf/{tmp_path}?threshold=0.5"):
        seen = set()
        for content in (b"one", b"two"):
            weights.write_bytes(content)
            seen.add(version_of(name, None))
        assert len(seen) == 2
    policy = tmp_path / "policy.txt"
    policy.write_text("a")
    before = version_of(f"checker/llavaguard/x?policy={policy}", None)
    policy.write_text("b")
    assert version_of(f"checker/llavaguard/x?policy={policy}", None) != before


def test_clip_embeds_a_picture_once(tmp_path, caller):
    pytest.importorskip("open_clip")
    np = pytest.importorskip("numpy")
    from PIL import Image

    from overt.scoring.faithfulness.clip import ClipScorer

    folder = tiny_clip.clip(tmp_path / "clip")
    store = ImageStore(tmp_path)
    paths = []
    for seed in range(12):
        blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(blocks).save(file, "PNG")
        paths.append(store.put(file.getvalue()))
    cases = [case(n, [paths[n]], [paths[n - 1]]) for n in range(12)]

    def scores(cases):
        scorer = ClipScorer(str(folder), device="cpu", batch_size=4)
        encode, seen = scorer._encode_images, []
        scorer._encode_images = lambda tensors: (seen.append(len(tensors)), encode(tensors))[1]
        kept = shelf_of(caller, f"clip/{folder}", scorer)
        assert kept is None  # it keeps its vectors by itself
        found = list(score_checked(scorer, cases, store.get))
        return found, scorer.scale, sum(seen)

    half, _, embedded = scores(cases[:6])
    assert embedded == 7  # one of them is a baseline alone
    whole, scale, embedded = scores(cases)
    assert embedded == 5
    assert whole[:6] == half
    again, same, embedded = scores(cases)
    assert embedded == 0
    assert (again, same) == (whole, scale)
    (tmp_path / "clip" / "open_clip_model.safetensors").unlink()
    tiny_clip.clip(tmp_path / "clip", seed=1)
    assert scores(cases)[2] == 12  # other weights, other vectors
