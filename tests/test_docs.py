"""The tutorial's commands give what the page shows, and the site builds with every link whole."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"


# -- the tutorial -----------------------------------------------------------------------------------------


@dataclass
class Step:
    """A command of the page and what should come out; or a file that the reader writes first."""

    command: str
    output: str
    file: str = ""


def steps(page: str) -> list[Step]:
    """Fenced blocks with a title are files, `console` blocks are commands behind `$` with their output."""
    found: list[Step] = []
    for language, title, body in re.findall(
        r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', page, re.MULTILINE | re.DOTALL
    ):
        if title:
            found.append(Step("", body, file=title))
        elif language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append(Step(command, output))
    return found


def run(command: str, folder: Path, code: int) -> subprocess.CompletedProcess[str]:
    """In a shell, where `overt` is this Python's and `$?` is the exit code of the command before."""
    ours = f'overt() {{ {shlex.quote(sys.executable)} -m overt "$@"; }}; (exit {code}); {command}'
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        ["bash", "-c", ours], cwd=folder, capture_output=True, text=True, env=env, timeout=300
    )


def lines(text: str) -> list[str]:
    """Lines with blanks made alike, and how long something took left out."""
    return [" ".join(re.sub(r"\b\d+(\.\d+)? s\b", "# s", line).split()) for line in text.splitlines()]


def test_the_tutorial_shows_what_its_commands_print(tmp_path):
    """Every line of the page's output stands in the real one, in that order and number for number; `...` on
    the page is what was left out."""
    for package in ("better_profanity",):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the tutorial needs {package}")
    found = steps(TUTORIAL.read_text("utf-8"))
    assert {step.command.split()[1] for step in found if step.command.startswith("overt ")} >= {
        "policies", "generate", "show", "run", "report", "gate", "rewrite", "compare",
    }  # fmt: skip
    code = 0
    for place, step in enumerate(found):
        if step.file:
            (tmp_path / step.file).write_text(step.output)
            continue
        done = run(step.command, tmp_path, code)
        code = done.returncode
        after = found[place + 1].command if place + 1 < len(found) else ""
        # A command that ends with something else than 0 is followed by the code on the page.
        assert code == 0 or after == "echo $?", f"{step.command}\n{done.stdout}\n{done.stderr}"
        actual = iter(said := lines(done.stdout + done.stderr))
        for line in lines(step.output):
            if line and line != "...":
                assert any(line == other for other in actual), "\n".join([step.command, line, "in", *said])
    assert (tmp_path / "runs/monday/report/index.html").stat().st_size > 10_000


def test_a_changed_number_on_the_page_is_noticed():
    assert lines("all  12.2% [7.0, 20.6]") == lines("all 12.2%   [7.0, 20.6]")
    assert lines("all 12.2%") != lines("all 12.3%")
    assert lines("time  audit 0.3 s") == lines("time audit 12 s")


# -- the site ---------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """What a page refers to, what it loads, and the anchors that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and "href" in values:
            self.hrefs.append(values["href"])
        if tag == "link" and values.get("rel") not in ("canonical", "prev", "next", "edit"):
            self.loads.append(values.get("href", ""))
        if tag in ("script", "img", "iframe", "source", "video", "audio") and "src" in values:
            self.loads.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is not installed: pip install "overt[docs]"')
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {}
    for path in folder.rglob("*.html"):
        pages[path] = Links()
        pages[path].feed(path.read_text("utf-8"))
    return folder, pages


def test_every_link_of_the_site_leads_somewhere(site):
    folder, pages = site
    broken = []
    for page, links in pages.items():
        for link in links.hrefs + links.loads:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            address, anchor = urldefrag(link)
            path = page if not address else (page.parent / unquote(urlsplit(address).path)).resolve()
            if path.is_dir():
                path = path / "index.html"
            if page.name == "404.html" and link.startswith("/"):
                continue  # served at any depth, so its links begin at the root
            if not path.exists() or (anchor and path in pages and anchor not in pages[path].ids):
                broken.append(f"{page.relative_to(folder)}: {link}")
    assert len(pages) > 30
    assert not broken


def test_the_site_loads_nothing_from_elsewhere(site):
    """No fonts, no scripts, no styles of other hosts: it works offline and tells nobody who reads it."""
    folder, pages = site
    outside = [
        f"{page.relative_to(folder)}: {load}"
        for page, links in pages.items()
        for load in links.loads
        if urlsplit(load).scheme in ("http", "https") or load.startswith("//")
    ]
    assert not outside
    for style in folder.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", style.read_text("utf-8")), style


def test_every_command_has_a_page_with_all_of_its_options(site):
    import typer

    from overt.cli import app

    folder, _ = site
    for name, command in typer.main.get_command(app).commands.items():
        page = (folder / "reference" / "cli" / f"{name}.html").read_text("utf-8")
        for one in [command, *getattr(command, "commands", {}).values()]:
            for parameter in one.params:
                for option in [o for o in parameter.opts if o.startswith("--")]:
                    assert option in page, (name, option)


def test_every_field_of_a_policy_has_a_row(site):
    from overt.policies.load import policy_json_schema
    from overt.policies.topics import topic_names

    folder, pages = site
    page = folder / "reference" / "policy.html"
    assert "reference/policy.html" in pages[folder / "tutorial.html"].hrefs
    tables = page.read_text("utf-8").split("<h2 ")[1:]
    schema = policy_json_schema()
    parts = {"file": schema, **{name.lower(): part for name, part in schema["$defs"].items()}}
    assert len(parts) + 1 == len(tables)  # a part that the page does not know, or the list of topics
    for anchor, part in parts.items():
        (table,) = [text for text in tables if text.startswith(f'id="{anchor}"')]
        fields = (part if "properties" in part else part["anyOf"][-1])["properties"]
        rows = re.findall(
            r"<tr>\s*<td><code>(\w+)</code></td>\s*<td>(.*?)</td>\s*<td>(.+?)</td>", table, re.S
        )
        assert [name for name, *_ in rows] == list(fields)
        assert all(about.strip() and takes.strip() for _, about, takes in rows)
    text = page.read_text("utf-8")
    assert "fill {slot} in scenes" in text
    assert all(f"<code>{topic}</code>" in text for topic in topic_names())


def test_links_between_files_of_the_repository():
    """As they are read on a code host: a relative link leads to a file, an anchor to a heading."""
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            address, anchor = urldefrag(link)
            if urlsplit(link).scheme or address.startswith(("reference/", "../reference/")):
                continue  # another site; or made when the site is built, and looked at above
            target = (page.parent / unquote(address)).resolve() if address else page
            if not target.exists() or (anchor and anchor not in headings(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken


def headings(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


# -- the other pages --------------------------------------------------------------------------------------


def titled(page: str, title: str) -> str:
    """The block of a page that the reader is to save under this name."""
    return next(s.output for s in steps((ROOT / "docs" / page).read_text("utf-8")) if s.file == title)


def test_the_classes_of_the_how_to_pages_do_what_they_are_shown_for(tmp_path, monkeypatch):
    from PIL import Image

    from overt import registry
    from overt.data.records import Prompt
    from overt.data.rewrites import Candidate, FaithfulnessCase

    for page, file in (
        ("howto/own-filter.md", "shop_filter.py"),
        ("howto/own-filter.md", "shop_checker.py"),
        ("howto/own-judge.md", "our_judge.py"),
        ("howto/own-model.md", "painter.py"),
        ("howto/rewrite.md", "length_scorer.py"),
    ):
        (tmp_path / file).write_text(titled(page, file))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    text_filter = registry.load_filter("shop_filter:ShopFilter")
    assert text_filter.decide("A red blade").blocked is True
    assert text_filter.decide("A red leaf").blocked is False
    checker = registry.load_checker("shop_checker:ShopChecker")
    assert checker.check(Image.new("RGB", (8, 8), (255, 0, 0)), "").blocked is True
    assert checker.check(Image.new("RGB", (8, 8), (0, 0, 255)), "").blocked is False
    judge = registry.load_refusal_judge("our_judge:OurJudge")
    assert judge.judge("?", "I can't do that.").label == "full_refusal"
    assert judge.judge("?", "Gladly.").label == "compliance"
    assert registry.load_target("painter:Painter").name == "acme/painter"
    prompt = Prompt("p", "a red kite", "c", "benign", "direct", "w", "t@1")
    case = FaithfulnessCase(Candidate("c", "p", "a kite", "plain", "w", "t@1"), prompt, "t")
    ((row,),) = registry.load_scorer("length_scorer:LengthScorer").score([case], lambda path: b"")
    assert (row.value, row.model) == (2 / 3, "ours/length")


def test_the_files_of_the_how_to_pages_are_read(tmp_path, monkeypatch):
    from overt.data.labels import read_labels
    from overt.data.suites.load import load_suite, read_suite
    from overt.policies.load import load_policy
    from overt.tasks.targets import read_spec

    for page, file in (
        ("howto/own-policy.md", "petshop.yaml"),
        ("howto/who-is-depicted.md", "harbour.yaml"),
        ("howto/own-suite.md", "medicines.yaml"),
        ("howto/own-suite.md", "questions.csv"),
        ("howto/own-judge.md", "labels.csv"),
        ("howto/own-model.md", "vendor.yaml"),
        ("howto/own-model.md", "product.yaml"),
    ):
        (tmp_path / file).write_text(titled(page, file))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VENDOR_KEY", "k")
    assert "muzzle" in {t.term for t in load_policy("petshop.yaml").category("violence").triggers}
    prompts = read_suite(load_suite("medicines.yaml"), ["questions.csv"]).prompts
    assert [p.label for p in prompts] == ["benign", "unsafe", "benign"]
    assert len({p.seed_id for p in prompts}) == 2
    assert [row.label for row in read_labels(Path("labels.csv"), {}).rows] == [
        "compliance", "full_refusal", "full_refusal",
    ]  # fmt: skip
    assert read_spec("guarded/product.yaml").name == "guarded/our-product"
    from overt import registry

    assert registry.load_target("http/vendor.yaml").name.startswith("http/")


def test_the_commands_of_all_pages_exist_with_their_options():
    import typer

    from overt.cli import app

    known = dict(typer.main.get_command(app).commands)
    seen = set()
    for page in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/howto").glob("*.md")]:
        blocks = re.findall(r"^```\w+.*?\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        text = "\n".join(blocks).replace("\\\n", " ")
        for line in re.findall(r"(?:^|\s|run: )(overt [a-z-]+ ?.*)$", text, re.MULTILINE):
            words = shlex.split(line.split(" > ")[0], comments=True)
            command = known[words[1]]
            if hasattr(command, "commands"):
                command = command.commands[words[2]]
            seen.add(words[1])
            options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
            for option in (w.split("=")[0] for w in words if w.startswith("--")):
                assert option in options, (page.name, line)
    assert seen >= {
        "generate",
        "run",
        "score",
        "rewrite",
        "report",
        "gate",
        "compare",
        "judge-check",
        "publish",
    }


def test_the_action_is_yaml_with_the_steps_it_needs():
    import yaml

    flow = yaml.safe_load(titled("howto/ci-gate.md", ".github/workflows/over-refusal.yml"))
    said = " ".join(step.get("run", "") for step in flow["jobs"]["filter"]["steps"])
    for command in ("overt run", "overt gate", "overt compare", "--fail-on-worse", "overt report"):
        assert command in said


def test_lists_that_grow_by_merges_say_a_thing_once():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    wants = re.findall(r"^\| ([a-z][^|]*) \|", index, re.MULTILINE)
    changes = re.findall(r"^- (.{40})", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert len(wants) > 10
    assert len(changes) > 40
    assert [one for one in {*wants, *changes} if (wants + changes).count(one) > 1] == []
