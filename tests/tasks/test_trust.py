"""A run's folder does not decide where keys and prompts go, or which code runs: what this user has not named
themselves is shown, and needs their yes."""

import json
import os
import shutil

import pytest
from support.commands import ENV, overt, write_prompts
from support.endpoint import endpoint, stats

SPY = "Zq9-a-key-of-another-service"


@pytest.fixture
def me(tmp_path):
    """A user's environment; `another` names nothing of theirs."""
    env = {
        **ENV,
        "XDG_STATE_HOME": str(tmp_path / "me"),
        "OPENAI_API_KEY": "sk-mine-0123456789",
        "OTHER_KEY": SPY,
    }
    return {name: value for name, value in env.items() if name != "OPENAI_BASE_URL"}


@pytest.fixture
def another(me, tmp_path):
    return {**me, "XDG_STATE_HOME": str(tmp_path / "another")}


@pytest.fixture
def prompts(tmp_path):
    return write_prompts(tmp_path / "p.jsonl", ["a harbour", "a street"])


def start(prompts, url, out, env, *more, target="openai/m"):
    at = ("--base-url", url) if url else ()
    overt("run", prompts, "--policy", "chat_assistant", "--target", target, *at, "--out", out,
          "--retries", "0", "--max-requests", "1", "-q", *more, code=4, env=env)  # fmt: skip


def resume(folder, env, *more, code=0):
    return overt("run", "--resume", folder, "-q", *more, code=code, env=env)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_my_own_run_goes_on(prompts, me, tmp_path):
    with endpoint() as url:
        start(prompts, url, tmp_path / "run", me)
        shutil.move(tmp_path / "run", tmp_path / "elsewhere")
        resume(tmp_path / "elsewhere", me)
        assert stats(url)["arrived"] == 2


def test_a_run_of_another_asks(prompts, me, another, tmp_path):
    with endpoint() as url:
        start(prompts, url, tmp_path / "run", another)
        done = resume(tmp_path / "run", me, code=2)
        assert url in done.stderr
        assert "OPENAI_API_KEY" in done.stderr
        assert "--trust-addresses" in done.stderr
        assert stats(url)["arrived"] == 1
        resume(tmp_path / "run", me, "--trust-addresses")
        assert stats(url)["arrived"] == 2
        resume(tmp_path / "run", me)  # it is mine now


def test_an_edited_address_or_variable(prompts, me, tmp_path):
    with endpoint() as url, endpoint() as thief:
        start(prompts, url, tmp_path / "run", me)
        addresses = tmp_path / "run" / "addresses.json"
        before = addresses.read_text()
        for data in (
            {"base_url": {"": thief}, "api_key_env": {}},
            {"base_url": {"target": thief}, "api_key_env": {"target": "OTHER_KEY"}},
            {"base_url": {"": url}, "api_key_env": {"": "OTHER_KEY"}},
            {"base_url": {"": f"{thief}/${{OTHER_KEY}}"}, "api_key_env": {}},
            {"base_url": {}, "api_key_env": {"": "OTHER_KEY"}},  # another service's key to OpenAI
        ):
            addresses.write_text(json.dumps(data))
            done = resume(tmp_path / "run", me, code=2)
            assert "OTHER_KEY" in done.stderr or thief in done.stderr
            assert SPY not in done.stderr
        # An address that is typed now is mine, but the variable beside it is not.
        addresses.write_text(json.dumps({"base_url": {"": thief}, "api_key_env": {"": "OTHER_KEY"}}))
        assert "OTHER_KEY" in resume(tmp_path / "run", me, "--base-url", url, code=2).stderr
        assert stats(thief)["arrived"] == 0
        assert stats(url)["arrived"] == 1
        resume(tmp_path / "run", me, "--base-url", url, "--api-key-env", "OPENAI_API_KEY")
        addresses.write_text(before)
        resume(tmp_path / "run", me)


def test_an_edited_name(prompts, me, tmp_path):
    """The name of the target in run.json, with its options; and a function that it makes overt call."""
    with endpoint() as url, endpoint() as thief:
        start(prompts, None, tmp_path / "run", me, target=f"openai/m?base_url={url}")
        good = (tmp_path / "run" / "run.json").read_text()
        mark = tmp_path / "was-run"
        for name in (
            f"openai/m?base_url={thief}",
            f"openai/m?base_url={url}&api_key_env=OTHER_KEY",
            f"os:system/touch {mark}",
            "antigravity:Class",
        ):
            (tmp_path / "run" / "run.json").write_text(good.replace(f"openai/m?base_url={url}", name))
            for words in (("run", "--resume", tmp_path / "run"), ("rewrite", tmp_path / "run"),
                          ("score", tmp_path / "run", "--judges", "checker/nudenet")):  # fmt: skip
                overt(*words, "-q", code=2, env=me)
        assert not mark.exists()
        assert stats(thief)["arrived"] == 0
        (tmp_path / "run" / "run.json").write_text(good)
        resume(tmp_path / "run", me)


def test_a_target_file_in_the_folder(prompts, me, another, tmp_path):
    with endpoint() as url:
        folder = tmp_path / "run"
        folder.mkdir()
        (tmp_path / "vendor.yaml").write_text(
            f"url: {url}/chat/completions\nheaders: {{X-Key: '${{OTHER_KEY}}'}}\njson: {{messages: "
            "[{role: user, content: '{{prompt}}'}]}\nmodality: text\ntext: $.choices[0].message.content\n"
        )
        start(prompts, None, folder, another, target=f"http/{tmp_path}/vendor.yaml")
        done = resume(folder, me, code=2)
        assert "OTHER_KEY" in done.stderr
        assert url in done.stderr
        assert stats(url)["arrived"] == 1
        resume(folder, me, "--trust-addresses")
        assert stats(url)["arrived"] == 2


def test_a_finished_run_of_another_is_not_reworded_or_made_again(prompts, me, another, tmp_path):
    with endpoint() as url:
        overt("run", prompts, "--policy", "chat_assistant", "--target", "openai/m", "--out", tmp_path / "run",
              "--base-url", url, "-q", env=another)  # fmt: skip
        assert url in overt("rewrite", tmp_path / "run", "--all", "-q", code=2, env=me).stderr
        overt("report", tmp_path / "run", env=me)  # reading asks nothing
        overt("show", tmp_path / "run", env=me)


def test_a_run_of_generate_asks_too(me, another, tmp_path):
    with endpoint() as url:
        out = tmp_path / "run"
        overt("generate", "--policy", "newsroom", "--benign", 1, "--unsafe", 0, "--model", "openai/m",
              "--base-url", f"model={url}", "--max-requests", "1", "--out", out, "-q", code=4,
              env=another)  # fmt: skip
        done = overt("generate", "--resume", out, "-q", code=2, env=me)
        assert url in done.stderr


def test_the_list_is_the_owners_alone(prompts, me, tmp_path):
    with endpoint() as url:
        start(prompts, url, tmp_path / "run", me)
    folder = tmp_path / "me" / "overt" / "places"
    assert oct(folder.stat().st_mode)[-3:] == "700"
    assert all(oct(path.stat().st_mode)[-3:] == "600" for path in folder.iterdir())
    assert not any(url in path.name + path.read_text() for path in folder.iterdir())
    assert len(list(folder.iterdir())) == 1


def test_the_providers_own_needs_no_yes(prompts, me, another, tmp_path):
    """Shown by how far it gets: past the question, to a port where nobody is."""
    environment = {**another, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    overt("run", prompts, "--policy", "chat_assistant", "--target", "openai/m", "--out", tmp_path / "run",
          "--retries", "0", "-q", code=None, env=environment)  # fmt: skip
    addresses = tmp_path / "run" / "addresses.json"
    addresses.write_text(json.dumps({"base_url": {"": ""}, "api_key_env": {"": "OPENAI_API_KEY"}}))
    done = overt("run", "--resume", tmp_path / "run", "--retries", "0", "-q", code=None,
                 env={**me, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})  # fmt: skip
    assert "trust-addresses" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="has no such terminals")
@pytest.mark.parametrize(("answer", "code", "arrived"), [("y", 0, 2), ("", 2, 1), ("n", 2, 1)])
def test_a_terminal_is_asked(prompts, me, another, tmp_path, answer, code, arrived):
    import pty
    import subprocess

    from support.commands import command

    with endpoint() as url:
        start(prompts, url, tmp_path / "run", another)
        mine, its = pty.openpty()
        os.write(mine, f"{answer}\n".encode())
        done = subprocess.Popen(command("run", "--resume", tmp_path / "run", "-q"), stdin=its, stderr=its,
                                stdout=subprocess.DEVNULL, env=me)  # fmt: skip
        assert done.wait(60) == code
        os.close(its)
        said = os.read(mine, 65536).decode()
        os.close(mine)
        assert f"{url} with the key in OPENAI_API_KEY" in " ".join(said.split())
        assert stats(url)["arrived"] == arrived


def test_a_key_in_a_name_is_asked_for_again(prompts, me, tmp_path):
    with endpoint() as url:
        target = f"openai/m?base_url={url}?key=Zq9abcdefgh12"
        start(prompts, None, tmp_path / "run", me, target=target)
        done = resume(tmp_path / "run", me, code=2)
        assert "?key=***" in done.stderr
        again = overt("run", prompts, "--policy", "chat_assistant", "--target", target, "--retries", "0",
                      "--out", tmp_path / "run", "-q", code=None, env=me)  # fmt: skip
        assert "other inputs" not in again.stderr
        assert "Zq9abc" not in again.stderr + (tmp_path / "run" / "run.json").read_text()
