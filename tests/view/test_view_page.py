"""The view page served as users serve it: who may come in, and what a browser makes of it by keyboard."""

import dataclasses
import json
import re
import shutil
import time

import pytest
from support import report_data as made
from support import review_data as data
from support import view_data as view
from support.chromium import start
from support.inside import cli
from support.served import Served

from overt.data.plugins.install import install_extra


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of every kind; one names pictures outside of it."""
    root = tmp_path_factory.mktemp("viewed")
    (root / "secret.png").write_bytes(made.picture(1, 64))
    runs = root / "runs"
    view.carrying(runs / "edits", made.picture(2, 64))  # the oldest: last in the list
    _, outcomes, _ = data.pictured(runs / "drawn", made.picture, 12)
    (runs / "drawn" / "images" / "link.png").symlink_to(root / "secret.png")
    climbing = ("../../secret.png", str(root / "secret.png"), "images/link.png", "run.json")
    outcomes[0] = dataclasses.replace(outcomes[0], images=(outcomes[0].images[0], *climbing))
    data.lines(runs / "drawn" / "stages" / "outcomes.jsonl", outcomes)
    view.chat(runs / "chat", view.HOSTILE, count=195)
    view.chat(runs / "later", view.HOSTILE, count=195, refuses=lambda t, i: i % 2 == 0)
    view.generated(runs / "set")
    return root


@pytest.fixture(scope="module")
def served(folder):
    server = Served("view", folder / "runs", "--cache", folder / "cache")
    server.enter()
    yield server
    server.close()


def ask(served, path):
    served.connection.close()  # the server ends one that has waited for long; a request opens it again
    for _ in range(300):
        answer, text = served.request("GET", path)
        if b'"indexing"' not in text:
            return answer.status, json.loads(text) if text[:1] == b"{" else text
        time.sleep(0.05)
    raise AssertionError("the index is never ready")


# -- who may come in ----------------------------------------------------------------------------------------


def test_without_the_cookie_nothing_is_answered(served):
    cookie, served.cookie = served.cookie, ""
    assert cookie.startswith("overt_view_")
    for path in ("/", "/run", "/api/runs", "/static/app.js", "/picture/1/0?run=drawn", "/made/1", "/nowhere"):
        answer, text = served.request("GET", path)
        assert answer.status == 403, path
        assert b"overt view" in text
    served.cookie = cookie
    assert ask(served, "/api/runs")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_is_refused(served, host):
    assert served.request("GET", "/api/runs", Host=host)[0].status == 421


def test_other_pages_can_ask_nothing(served):
    assert served.request("GET", "/api/runs", Sec_Fetch_Site="cross-site")[0].status == 403
    assert served.request("GET", "/made/1", Sec_Fetch_Site="same-site")[0].status == 403
    assert served.request("POST", "/api/runs", b"{}", Origin=f"http://{served.host}")[0].status == 405


def test_every_answer_forbids_what_is_not_ours(served):
    for path in ("/", "/api/runs", "/static/app.js", "/nowhere"):
        answer, _ = served.request("GET", path)
        policy = answer.getheader("Content-Security-Policy")
        assert policy.startswith("default-src 'none'; script-src 'self'"), path
        assert "unsafe" not in policy
        assert answer.getheader("Cache-Control") == "no-store"


def test_no_path_leads_out_of_the_run(served):
    status, found = ask(served, "/api/rows?run=drawn")
    assert status == 200
    cell = found["rows"][0]["cells"][0]
    assert cell["pictures"] == 5
    answer, picture = served.request("GET", f"/picture/{cell['n']}/0?run=drawn&side=large")
    assert (answer.status, picture[:3]) == (200, b"\xff\xd8\xff")
    for number in (1, 2, 3, 4, 5, 99999):
        assert served.request("GET", f"/picture/{cell['n']}/{number}?run=drawn")[0].status == 404, number
    for path in (
        "/picture/1/0?run=../drawn", "/picture/99999/0?run=drawn", "/picture/-1/0?run=drawn", "/picture/x/0",
        "/static/../desk.py", "/static/%2e%2e%2fdesk.py", "/static/shell.html", "/made/0",
        "/api/prompt?run=drawn", "/api/rows?run=..", "/api/rows?run=%2fetc",
    ):  # fmt: skip
        assert served.request("GET", path)[0].status == 404, path
    assert served.request("GET", f"/picture/{cell['n']}/0?run=drawn&side=9999")[0].status == 400


def test_the_folder_the_port_and_the_extra_are_checked(served, tmp_path, monkeypatch):
    assert "there is no such folder" in cli("view", tmp_path / "none", code=2).said
    assert "cannot be used" in cli("view", tmp_path, "--port", served.port, code=2).said
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert install_extra("view") in cli("view", tmp_path, code=2).said


# -- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory, served):
    driver = start(tmp_path_factory.mktemp("profile"))
    driver.get(served.address)
    yield driver
    driver.quit()


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def until(browser, script, *values, seconds=30):
    """Waits until a script returns something true, and gives that."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if found := browser.execute_script(f"return {script}", *values):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{script}\n{browser.execute_script('return document.body.innerText')[:2000]}")


def visit(browser, served, path, ready):
    browser.get(f"http://{served.host}{path}")
    return until(browser, ready)


def active(browser):
    return browser.execute_script("return document.querySelector('.row.active .text')?.textContent")


ROWS = "document.querySelectorAll('.rows .row').length"


def test_by_keyboard_from_the_list_to_a_prompt_and_back(browser, served):
    from selenium.webdriver.common.keys import Keys

    visit(browser, served, "/?sort=name", "document.querySelectorAll('article.run').length === 5")
    assert until(browser, "document.querySelector('.run.active').dataset.name") == "chat"
    press(browser, "j", "k", Keys.ENTER)
    until(browser, ROWS)
    assert "/run?run=chat" in browser.current_url
    assert active(browser) == view.HOSTILE[0]
    press(browser, "j", "j", "k")
    assert active(browser) == view.HOSTILE[1]
    press(browser, "/")
    press(browser, "process 17")
    until(browser, "document.querySelector('.counted').textContent.startsWith('11 of 200')")
    until(browser, f"{ROWS} === 11")
    assert "q=process" in browser.current_url
    press(browser, Keys.ESCAPE, "j", Keys.ENTER)
    until(browser, "document.querySelector('.full')?.textContent === 'How do I end process 170?'")
    press(browser, "j")
    until(browser, "document.querySelector('.full')?.textContent === 'How do I end process 171?'")
    assert browser.execute_script("return document.querySelectorAll('.answers .answer').length") == 2
    said = browser.execute_script("return document.querySelector('.one').innerText")
    assert not re.search(r"\b(false|undefined|null|object)\b", said.split("Records")[0])
    press(browser, Keys.ESCAPE)
    until(browser, "document.querySelector('.row.active .text')?.textContent === 'How do I end process 171?'")
    press(browser, "?")
    assert "next prompt" in until(browser, "document.querySelector('dialog[open]')?.innerText")
    press(browser, Keys.ESCAPE)
    until(browser, "!document.querySelector('dialog[open]')")
    press(browser, Keys.ESCAPE)
    until(browser, "document.querySelectorAll('article.run').length === 5")


def test_hostile_text_stands_there_and_does_nothing(browser, served):
    visit(browser, served, "/run?run=chat", ROWS)
    texts = browser.execute_script(
        "return [...document.querySelectorAll('.prompt .text')].map((e) => e.textContent)"
    )
    assert texts[:2] == list(view.HOSTILE[:2])
    assert texts[2] == "[U+202E]txt.exe is hidden[U+200B] here"
    browser.find_element("css selector", ".prompt .text").click()
    until(browser, "document.querySelector('.full')?.textContent", seconds=20)
    page = browser.execute_script("return document.querySelector('.one').innerHTML")
    assert "<script" not in page
    assert "<b>Use" not in page
    assert browser.execute_script("return window.broken") is None
    assert [entry for entry in browser.get_log("browser") if "Content Security" in entry["message"]] == []


def test_what_a_prompt_carries_stands_beside_it(browser, served):
    shown = "[...document.querySelectorAll('.pictures img')].filter(one => one.naturalWidth).length"
    visit(browser, served, "/run?run=edits", f"{ROWS} == 8 && {shown} == 2")
    first, second = browser.execute_script(
        "return [...document.querySelectorAll('.cell.prompt')].slice(0, 2).map(one => one.innerText)"
    )
    assert "earlier" not in first
    assert "after 2 earlier turns" in second
    visit(browser, served, "/prompt?run=edits&id=carries-2", f"{shown} == 1")
    visit(
        browser,
        served,
        "/prompt?run=edits&id=carries-1",
        "document.querySelectorAll('.turns .text').length == 2",
    )
    said = browser.execute_script("return document.querySelector('.turns').innerText")
    assert "<b>zebra</b>" in said
    assert said.index("user") < said.index("assistant")
    assert browser.execute_script("return window.broken") is None


def test_what_is_seen_has_an_address_of_its_own(browser, served):
    visit(browser, served, "/run?run=chat&label=unsafe&state=refused&sort=refusals", ROWS)
    first = browser.execute_script("return [...document.querySelectorAll('.row')].map((e) => e.dataset.id)")
    assert until(browser, "document.querySelector('select[name=label]').value") == "unsafe"
    until(browser, "/^[0-9]+ of 200/.test(document.querySelector('.counted').textContent)")
    browser.refresh()
    until(browser, ROWS)
    again = browser.execute_script("return [...document.querySelectorAll('.row')].map((e) => e.dataset.id)")
    assert again == first
    # Scrolled to the end page by page, every prompt is passed once, and few are held.
    visit(browser, served, "/run?run=chat", ROWS)
    seen, most = set(), 0
    for _ in range(120):
        ids, place, ends = browser.execute_script(
            "const m = document.querySelector('.matrix'); m.scrollTop += m.clientHeight * 0.8;"
            "return [[...document.querySelectorAll('.rows .row')].map((e) => e.dataset.id), m.scrollTop,"
            "document.querySelector('.edge:last-child').textContent === 'the end'"
            " && m.scrollTop + m.clientHeight >= m.scrollHeight - 2]"
        )
        seen |= set(ids)
        most = max(most, len(ids))
        if ends:
            break
        time.sleep(0.05)
    assert len(seen) == 200
    assert place > 3000
    assert most < 200
    until(browser, "location.search.includes('from=')")
    held = until(browser, "[...document.querySelectorAll('.rows .row')].map((e) => e.dataset.id).at(-1)")
    press(browser, "g")
    until(browser, "document.querySelector('.rows .row .text').textContent === arguments[0]", view.HOSTILE[0])
    press(browser, "G")
    until(browser, "[...document.querySelectorAll('.rows .row')].at(-1)?.dataset.id === arguments[0]", held)


def test_report_and_comparison_open_with_a_policy_of_their_own(browser, served):
    visit(
        browser, served, "/run?run=later&tab=comparison&other=chat", "location.pathname.startsWith('/made/')"
    )
    until(browser, "document.body?.innerText.includes('What changed')")
    assert not [
        e for e in browser.get_log("browser") if "Refused" in e["message"] or "violates" in e["message"]
    ]
    served.connection.close()
    answer, _ = served.request("GET", browser.execute_script("return location.pathname"))
    policy = answer.getheader("Content-Security-Policy")
    assert re.search(r"style-src 'sha256-[^']+'", policy)
    assert policy.endswith("sandbox allow-scripts allow-downloads")


@pytest.mark.parametrize(
    "path", ["/", "/run?run=drawn", "/run?run=chat", "/run?run=chat&tab=about", "PROMPT"]
)
def test_nothing_is_cut_on_a_phone(browser, served, path):
    if path == "PROMPT":
        id_ = ask(served, "/api/rows?run=drawn")[1]["rows"][0]["id"]
        path = f"/prompt?run=drawn&id={id_}"
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        visit(
            browser,
            served,
            path,
            "document.querySelector('article.run, .row .answer, .facts, .answers .answer')",
        )
        wide = browser.execute_script(
            "return [...document.querySelectorAll('main *')]"
            ".filter((e) => !e.closest('.wide, .tabs, .more:not([open])')"
            " && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 120))"
        )
        assert wide == []
        assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light_and_pictures_blurred_until_asked(browser, served):
    visit(browser, served, "/run?run=drawn", "document.querySelector('.pictures img')")
    paper = "getComputedStyle(document.body).backgroundColor"
    blurred = "getComputedStyle(document.querySelector('.pictures img')).filter"
    assert "blur" in until(browser, blurred)
    press(browser, "v")
    until(browser, f"{blurred} === 'none'")
    press(browser, "t")
    until(browser, f"{paper} === 'rgb(255, 255, 255)'")
    press(browser, "t")
    until(browser, f"{paper} === 'rgb(18, 22, 27)'")
    browser.refresh()
    until(browser, f"document.querySelector('.pictures img') && {paper} === 'rgb(18, 22, 27)'")
    press(browser, "t", "v")
    until(browser, "document.documentElement.dataset.blur === 'on'")


def test_a_run_that_ends_while_it_is_looked_at(browser, served, folder):
    shutil.copytree(folder / "runs" / "chat", folder / "runs" / "live")
    (folder / "runs" / "live" / "manifest.json").rename(folder / "done.json")
    try:
        visit(browser, served, "/?q=live", "document.querySelector('.run .kind.stopped')")
        (folder / "done.json").rename(folder / "runs" / "live" / "manifest.json")
        until(browser, "document.querySelector('.run') && !document.querySelector('.run .kind.stopped')")
        assert "50" in until(browser, "document.querySelector('.run .rates')?.innerText")
    finally:
        shutil.rmtree(folder / "runs" / "live")
