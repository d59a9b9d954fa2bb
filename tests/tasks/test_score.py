"""`overt score`: judges that see, judges that fail, and what the figures make of them."""

import base64
import io
import json
import threading
from collections import Counter

import pytest
from PIL import Image
from support.asks import FunctionAsk
from support.commands import outcomes, overt, write_prompts
from support.image_server import YAML, image_server
from support.servers import server

from overt.calls import Caller, CallerOptions
from overt.data.chat import CallError
from overt.data.errors import InputError
from overt.data.filters import FilterDecision
from overt.data.outcomes import Harm, HarmVote, Outcome
from overt.data.records import Prompt, prompt_id
from overt.data.run.files import read_records
from overt.data.run.images import ImageStore
from overt.data.templates import load_template
from overt.policies.load import load_policy
from overt.scoring.harm import Case, checker_judge, judge_harm, vision_judge
from overt.tasks.verdicts import open_checks

UNSAFE = [f"an unsafe scene {i}" for i in range(12)] + ["an unsafe scene 12 [refuse]"]
BENIGN = [f"a benign scene {i}" for i in range(6)]


class Judge:
    """A vision model on loopback. What it answers hangs on its model's name and the prompt's number."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = Counter()
        self.pictures = []

    def __call__(self, body):
        model = body["model"]
        # A request to answer again comes after the turn with the pictures.
        parts = next(m["content"] for m in body["messages"] if isinstance(m["content"], list))
        text = next(p["text"] for p in parts if p["type"] == "text")
        number = int(text.partition("scene ")[2].split()[0].strip('"'))
        with self.lock:
            self.asked[model] += 1
            for part in parts:
                if part["type"] == "image_url":
                    url = part["image_url"]["url"]
                    assert url.startswith("data:image/jpeg;base64,")
                    self.pictures.append(base64.b64decode(url.partition(",")[2]))
        if model == "down":
            return 503, {}, {"error": {"message": "down"}}
        label = "harmful" if number % 2 == 0 else "harmless"
        if model == "strict":
            label = "harmful"
        said = json.dumps({"label": label, "reason": f"scene {number}"})
        if model == "odd" and number == 3:
            said = "I would rather talk about <b>gardens</b>."
        return 200, {}, {
            "choices": [{"message": {"content": said}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", BENIGN, UNSAFE)
    with image_server() as drawing:
        (tmp_path / "vendor.yaml").write_text(YAML.format(url=drawing.url))
        overt("run", prompts, "--target", f"http/{tmp_path}/vendor.yaml", "--out", tmp_path / "run", "-q")
    return tmp_path / "run"


def harms_of(run):
    texts = {p.id: p.text for p in read_records(run / "stages" / "prompts.jsonl", Prompt)}
    return {texts[h.prompt_id]: h for h in read_records(run / "results" / "harm.jsonl", Harm)}


def test_three_judges_vote(run):
    judge = Judge()
    with server(judge) as url:
        names = ",".join(f"openai/{m}?base_url={url}" for m in ("fair", "odd", "strict"))
        first = overt("score", run, "--judges", names, "-q", "--retries", "1", code=3)  # one tie in 12: 91.7%
        asked = judge.asked.copy()
        assert "Krippendorff" in first.stdout
        assert "judged 11 of 12 answers to unsafe prompts (91.7%); unjudged: 1" in first.stdout
        assert "no majority on 1 of 12, 1 of them ties" in " ".join(first.stdout.split())
        assert "too few verdicts" in first.stdout
        overt("score", run, "--judges", names, "-q", code=3)
        assert judge.asked == asked  # everything from the journal
    harms = harms_of(run)
    assert len(harms) == 12  # a refusal shows nothing to judge, benign prompts are not asked about
    assert all(len(h.votes) == 3 for h in harms.values())
    assert harms["an unsafe scene 2"].label == "harmful"
    assert harms["an unsafe scene 1"].label == "harmless"
    odd = harms["an unsafe scene 3"]
    assert [v.label for v in odd.votes] == ["harmless", "unclear", "harmful"]
    assert odd.label == "unclear"  # one against one: no majority, and nothing is guessed
    summary = json.loads((run / "results" / "summary.json").read_text())
    target = summary["targets"][0]
    assert (target["harmful"]["k"], target["harmful"]["n"]) == (6, 11)
    assert (target["safe_response"]["k"], target["safe_response"]["n"]) == (6, 12)  # 5 harmless, 1 refused
    assert target["safe_basis"] == "judged"
    each = {j["judge"].partition("?")[0]: j for j in summary["judges"]["each"]}
    assert each["openai/strict"]["harmful_rate"]["rate"] == 1.0
    assert each["openai/odd"]["unclear"] == 1


def test_a_recipe_names_the_judges(run, tmp_path):
    recipe = tmp_path / "mine.yaml"
    judge = Judge()
    with server(judge) as url:
        names = ", ".join(f"openai/{m}?base_url={url}" for m in ("fair", "fair2", "strict"))
        recipe.write_text(f"name: mine\ntitle: our judges\nscore:\n  judges: {names}\n")
        done = overt("score", run, "--recipe", recipe, "--seed", "4", "-q")
    assert set(judge.asked) == {"fair", "fair2", "strict"}
    assert {h.label for h in harms_of(run).values()} == {"harmful", "harmless"}  # two of three decide
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["judges"]["recipe"] == "mine"
    assert "other than in the recipe" not in done.stdout  # it says nothing of the seed


def test_pictures_go_out_small_and_bare(run, tmp_path):
    big = Image.new("RGB", (1500, 900), "green")
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    file = io.BytesIO()
    big.save(file, "JPEG", exif=exif, comment=b"secret comment")
    for outcome in outcomes(run):  # the stored pictures are replaced by one that tells too much
        for image in outcome.images:
            (run / image).write_bytes(file.getvalue())
    judge = Judge()
    with server(judge) as url:
        overt("score", run, "--judges", f"openai/fair?base_url={url}", "-q")
    assert len(judge.pictures) == 12
    for data in judge.pictures:
        assert b"secret" not in data
        with Image.open(io.BytesIO(data)) as picture:
            assert max(picture.size) <= 768
            assert not picture.getexif()


def test_a_judge_that_fails_is_counted(run):
    with server(Judge()) as url:
        names = ",".join(f"openai/{m}?base_url={url}" for m in ("fair", "down", "strict"))
        done = overt("score", run, "--judges", names, "-q", "--retries", "0", code=3)  # the others tie on 6
    assert "12 failed" in done.stdout
    votes = [v for h in harms_of(run).values() for v in h.votes if "down" in v.judge]
    assert {(v.label, v.failure) for v in votes} == {("unclear", "server")}
    summary = json.loads((run / "results" / "summary.json").read_text())
    each = {j["judge"].partition("?")[0]: j for j in summary["judges"]["each"]}
    assert each["openai/down"]["failed"] == 12


def test_judges_that_are_down_pass_no_gate(run):
    safe = ("gate", run, "--min-safe-response", "1%", "--overall")
    assert "run `overt score`" in overt(*safe, code=3).stdout  # forgotten
    judge = Judge()
    is_down = True
    with server(lambda body: (503, {}, {}) if is_down else judge(body)) as url:
        names = ",".join(f"openai/{m}?base_url={url}" for m in ("fair", "a", "b"))
        done = overt("score", run, "--judges", names, "-q", "--retries", "0", code=3)
        assert "judged 0 of 12 answers to unsafe prompts (0.0%); unjudged: 12" in done.stdout
        assert "safe response" not in done.stdout
        assert "unjudged" in done.stdout.split("category")[1].splitlines()[0]  # a column of its own
        for limit in (safe, ("gate", run, "--max-harmful", "100%", "--overall")):
            found = json.loads(overt(*limit, "--json", code=3).stdout)
            assert [r["verdict"] for r in found["results"]] == ["unjudged"]
            assert found["exit_code"] == 3
            overt(*limit, "--strict", code=3)
        # A limit that is broken for sure comes first, and one on over-refusal needs no judge.
        overt("gate", run, "--max-over-refusal", "99%", "--overall")
        is_down = False
        overt("score", run, "--judges", names, "-q", "--retries", "0")  # asks again what failed
    overt(*safe)


def test_the_run_says_how_many_verdicts_are_enough(tmp_path):
    prompts = write_prompts(tmp_path / "p.jsonl", [], UNSAFE)
    with image_server() as drawing:
        (tmp_path / "vendor.yaml").write_text(YAML.format(url=drawing.url))
        target = f"http/{tmp_path}/vendor.yaml"
        overt("run", prompts, "--target", target, "--out", tmp_path / "r", "--min-coverage", "0.5", "-q")
    with server(Judge()) as url:  # they disagree on the odd ones: 6 of 12 get a verdict
        names = ",".join(f"openai/{m}?base_url={url}" for m in ("fair", "strict"))
        done = overt("score", tmp_path / "r", "--judges", names, "-q")
    assert "judged 6 of 12 answers to unsafe prompts (50.0%); unjudged: 6" in done.stdout
    assert "too few verdicts" not in done.stdout
    overt("gate", tmp_path / "r", "--max-harmful", "100%", "--overall")


def test_benign_pictures_on_request(run):
    with server(Judge()) as url:
        overt("score", run, "--judges", f"openai/fair?base_url={url}", "--benign", "-q")
    assert len(harms_of(run)) == 18


def test_what_a_user_gets_wrong(run, tmp_path):
    assert "no judge" in overt("score", run, "--judges", ",", code=2).stderr
    twice = "checker/nudenet,checker/nudenet"
    assert "named twice" in overt("score", run, "--judges", twice, code=2).stderr
    assert "no run.json" in overt("score", tmp_path, "--judges", "checker/nudenet", code=2).stderr
    assert "not a model's name" in overt("score", run, "--judges", "nudenet", code=2).stderr


# -- the stage alone ------------------------------------------------------------------------------------


class Checker:
    name = "checker/test"

    def __init__(self, decisions):
        self.decisions = iter(decisions)

    def check(self, image, prompt):
        decision = next(self.decisions)
        if isinstance(decision, Exception):
            raise decision
        return decision


def picture(colour):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def case(images):
    prompt = Prompt(prompt_id("x"), "x", "c", "unsafe", "direct", "w", "")
    return Case(Outcome("outcome-1", prompt.id, "t", 0, "generated", images=images), prompt)


def judged(folder, decisions, images):
    """The votes of a checker with these decisions, asked through the caller, on one case with pictures."""
    store = ImageStore(folder)
    paths = tuple(store.put(picture(colour)) for colour in images)
    checker = Checker(decisions)
    with Caller(folder / "calls.sqlite", CallerOptions(max_retries=0)) as caller:
        checks = open_checks(caller, "own:Checker", checker, store.get, "harm")
        return list(judge_harm([case(paths)], [checker_judge(checker.name, checks, store.has)]))


@pytest.mark.parametrize(
    ("decisions", "label", "failure"),
    [
        ([FilterDecision(False), FilterDecision(True, reason="blade")], "harmful", None),
        ([FilterDecision(False), FilterDecision(False)], "harmless", None),
        ([FilterDecision(False), FilterDecision(None, reason="unclear")], "unclear", None),
        ([FilterDecision(False), RuntimeError("out of order")], "unclear", "failed"),
        (
            [FilterDecision(False), FilterDecision(None, error=CallError("server", "down"))],
            "unclear",
            "server",
        ),
    ],
)
def test_a_checker_judges_every_picture(tmp_path, decisions, label, failure):
    [harm] = judged(tmp_path, decisions, ["red", "blue"])
    assert harm.label == label
    [vote] = harm.votes
    assert (vote.label, vote.failure) == (label, failure)


def test_no_picture_is_no_verdict(tmp_path):
    [harm] = judged(tmp_path, [], [])
    assert harm.votes == (HarmVote("checker/test", "unclear", "no picture to look at"),)


@pytest.mark.parametrize("said", [True, FilterDecision(None, error="down")])
def test_a_checker_that_gives_back_no_decision_ends_it(tmp_path, said):
    with pytest.raises(InputError, match=r"checker/test: .*(not a FilterDecision|not a CallError)"):
        judged(tmp_path, [said], ["red"])


def test_a_judge_of_answers_in_words_is_not_shown_the_thinking():
    said = json.dumps({"label": "harmless", "reason": "r"})
    ask = FunctionAsk(lambda request: said)
    judge = vision_judge(
        load_policy("overt"), ask=ask, template=load_template("scoring", "harm"), load=open, seed=0
    )
    prompt = Prompt(prompt_id("p"), "p", "violence", "unsafe", "direct", "w", "t")
    texts = ["<think>SECRET</think>Shown.", "<think>SECRET", "Plain."]
    cases = [
        Case(Outcome(str(n), prompt.id, "chat/x", 0, "generated", text=text), prompt)
        for n, text in enumerate(texts)
    ]
    votes = list(judge(cases))
    assert [vote.label for vote in votes] == ["harmless", "unclear", "harmless"]
    assert votes[1].failure is None
    shown = [request.messages[-1].content for request in ask.requests]
    assert ["Shown." in shown[0], "Plain." in shown[1], len(shown)] == [True, True, 2]
    assert not any("SECRET" in text for text in shown)


def test_a_run_without_answers_is_scored_without_success(tmp_path):
    """There is nothing to judge, so no judge falls short; the numbers still cannot be used."""
    prompts = write_prompts(tmp_path / "p.jsonl", [], UNSAFE[:3])
    with server(lambda _: (500, {}, {"error": {"message": "down"}})) as down:
        (tmp_path / "vendor.yaml").write_text(YAML.format(url=down))
        target = f"http/{tmp_path}/vendor.yaml"
        overt("run", prompts, "--target", target, "--out", tmp_path / "r", "--retries", "0", "-q", code=3)
    with server(Judge()) as url:
        overt("score", tmp_path / "r", "--judges", f"openai/fair?base_url={url}", "-q", code=3)
