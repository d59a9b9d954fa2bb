"""What pip must be told depends on how overt came here (PEP 610)."""

import json
from pathlib import Path

import pytest

from overt.data.plugins.install import (
    EXTRAS,
    Installed,
    from_direct_url,
    how_to_install,
    install_extra,
    installed,
    project_in,
)

ROOT = Path(__file__).parents[2]
WHEEL = "file:///home/ada/wheels/overt-0.1.0-py3-none-any.whl"
REPOSITORY = {"vcs": "git", "requested_revision": "main", "commit_id": "1f3a"}


@pytest.mark.parametrize(
    ("said", "command"),
    [
        ({"url": WHEEL, "archive_info": {"hash": "sha256=1"}}, f'pip install "overt[filters] @ {WHEEL}"'),
        (
            {"url": "https://code.example/overt.git", "vcs_info": REPOSITORY},
            'pip install "overt[filters] @ git+https://code.example/overt.git@main"',
        ),
        (None, 'pip install "overt[filters]"'),
        ("not json", 'pip install "overt[filters]"'),
        ([1], 'pip install "overt[filters]"'),
        ({"url": 7}, 'pip install "overt[filters]"'),
    ],
)
def test_the_command_by_direct_url(said, command):
    text = said if said is None or isinstance(said, str) else json.dumps(said)
    assert from_direct_url(text).command("filters") == command


@pytest.mark.parametrize(
    ("info", "command"), [({"editable": True}, 'pip install -e ".['), ({}, 'pip install ".[')]
)
def test_a_folder_is_named_without_the_way_to_it(tmp_path, monkeypatch, info, command):
    found = from_direct_url(json.dumps({"url": "file:///home/ada/secret-client/overt-src", "dir_info": info}))
    said = found.command("local")
    assert said == f"{command}local]\"  # in overt's folder (overt-src)"
    (tmp_path / "overt-src").mkdir()
    monkeypatch.chdir(tmp_path / "overt-src")  # then the command alone does it
    assert found.command("local") == f'{command}local]"'


@pytest.mark.parametrize(
    ("said", "place", "command"),
    [
        (
            {"url": "file:///home/ada/wheels/overt-0.1.0%2Bg1-py3-none-any.whl", "archive_info": {}},
            "overt-0.1.0+g1-py3-none-any.whl",
            'pip install "./overt-0.1.0+g1-py3-none-any.whl[hub]"  # in the folder of that file',
        ),
        (
            {"url": "file:///home/ada/src/overt", "vcs_info": REPOSITORY},
            "git+file://.../overt@main",
            'pip install "overt[hub] @ git+file://.../overt@main"',
        ),
        ({"url": "https://pip.example/o.whl"}, "https://pip.example/o.whl", None),
        ({"url": "file:///home/ada/overt", "dir_info": {}}, "overt", None),
        (None, "", None),
    ],
)
def test_a_report_has_no_path(said, place, command):
    found = from_direct_url(json.dumps(said))
    assert found.for_a_report.place == place
    assert found.for_a_report.command("hub") == (command or found.command("hub"))


def test_a_key_in_an_address_is_not_repeated():
    said = json.dumps(
        {"url": "https://ada:hunter2-long-secret@code.example/overt.git", "vcs_info": {"vcs": "git"}}
    )
    assert "hunter2" not in from_direct_url(said).command("local")


def test_this_checkout_is_told_from_the_project_of_somebody_else(tmp_path):
    assert installed() == Installed("checkout", ROOT.name)
    assert install_extra("review").startswith('pip install -e ".[review]"')
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    assert project_in(tmp_path) == {}
    (tmp_path / "pyproject.toml").write_text("[project\n")
    assert project_in(tmp_path) == {}


def test_every_extra_that_is_named_exists():
    assert set(EXTRAS.values()) <= set(project_in(ROOT)["optional-dependencies"])
    assert how_to_install("nudenet") == install_extra("filters")
    assert how_to_install("flash_attn", "flash-attn") == "pip install flash-attn"
