"""Uploads to the Hub: one commit per repository, so that it changes completely or not at all.

Gates are set and checked before any content is sent. Then the large files of every repository are sent, and
only then the commits are made. An interrupted upload leaves no commit, and the same command resumes it: the
Hub's client skips files (LFS) or chunks (Xet) that have arrived.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from overt.data.errors import InputError, OvertError, RunError
from overt.publish.card import RUN_KEY
from overt.publish.folder import BESIDE, Prepared

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

Say = Callable[[str], None]
_OURS = re.compile(rf"data/.+\.parquet|{BESIDE}")
_FRESH = {".gitattributes"}  # what a new repository holds
_NETWORKING = {"httpx", "httpx2", "httpcore", "requests", "urllib3"}
_AGAIN = (
    "Nothing was committed. The same command goes on: files that arrived whole are not sent again. "
    "If it keeps failing, look at the connection and at https://status.huggingface.co."
)


def upload(
    prepared: Sequence[Prepared],
    *,
    token: str | None = None,
    private: bool = False,
    update: bool = False,
    say: Say = lambda _: None,
) -> list[str]:
    """Uploads prepared repositories. Returns the addresses of the commits.

    Args:
        token: default: that of `hf auth login` or HF_TOKEN.
        private: repositories that are new are made private.
        update: a repository may hold another run; its data is replaced.

    Raises:
        InputError: no token, or one without rights; a name that is taken.
        RunError: the network, the Hub, or someone else writing at the same time.
    """
    api = _api(token)
    with speaking_hub(str(api.token)):
        _check_token(api, [one.repo.id for one in prepared])
    opened = []
    for one in prepared:
        with speaking_hub(str(api.token), one.repo.id):
            opened.append((one, *_open(api, one, private, update)))
    ready = []
    for one, parent, there in opened:
        with speaking_hub(str(api.token), one.repo.id):
            deletions, additions = _operations(one, there)
            say(f"sending {len(one.files)} files, {one.size / 1e6:,.1f} MB, to {one.repo.id}")
            api.preupload_lfs_files(one.repo.id, additions, repo_type="dataset", free_memory=False)
            operations: list[CommitOperationAdd | CommitOperationDelete] = [*deletions, *additions]
            ready.append((one, parent, operations))
    addresses: list[str] = []
    for one, parent, operations in ready:
        with speaking_hub(str(api.token), one.repo.id, committed=addresses):
            commit = api.create_commit(
                one.repo.id,
                operations,
                commit_message=f"overt publish ({one.run})",
                repo_type="dataset",
                parent_commit=parent,
            )
            addresses.append(str(commit.commit_url))
    return addresses


def upload_space(
    repo: str,
    files: Sequence[tuple[str, bytes]],
    *,
    token: str | None = None,
    update: bool = False,
) -> str:
    """Uploads a static page as a Space of its own, or replaces it there; the address of the commit.

    Raises:
        InputError, RunError: as `upload`; also where a Space of that name holds something else.
    """
    api = _api(token)
    with speaking_hub(str(api.token), repo):
        from huggingface_hub import CommitOperationAdd

        _check_token(api, [repo])
        created = _create(api, repo, "space", space_sdk="static")
        state = _state(api, repo, "space")
        foreign = state.files - _FRESH - {"README.md"} if "leaderboard.json" not in state.files else set()
        if foreign and not created and not update:
            raise _taken(repo)
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(name, data) for name, data in files],
            commit_message="overt leaderboard",
            repo_type="space",
            parent_commit=state.sha,
        )
    return str(commit.commit_url)


# -- steps ------------------------------------------------------------------------------------------------


def _api(token: str | None) -> HfApi:
    from huggingface_hub import HfApi, get_token

    import overt

    token = token or get_token()
    if not token:
        raise InputError(
            "there is no token for the Hub",
            fix="Log in with `hf auth login`, or set HF_TOKEN to a token that may write.",
        )
    return HfApi(token=token, library_name="overt", library_version=overt.__version__)


def _check_token(api: HfApi, repos: Sequence[str]) -> None:
    """Fails early if the token cannot write to the repositories."""
    me = api.whoami()
    access = (me.get("auth") or {}).get("accessToken") or {}
    if access.get("role") == "read":
        raise InputError(
            f"the token of {me.get('name')} may only read",
            fix="Make one that may write: https://huggingface.co/settings/tokens",
        )
    # A token with fine-grained rights need not say where it may write; then the Hub itself answers.
    mine = {me.get("name"), *(org.get("name") for org in me.get("orgs") or ())}
    for repo in repos:
        namespace = repo.partition("/")[0]
        if access.get("role") == "write" and namespace not in mine:
            known = ", ".join(sorted(str(name) for name in mine if name))
            raise InputError(
                f"the token's owner may not write to {namespace}", fix=f"They may write to: {known}."
            )


def _open(api: HfApi, one: Prepared, private: bool, update: bool) -> tuple[str | None, set[str]]:
    """Creates or finds the repository and sets its gate. Returns its last commit and its files."""
    from huggingface_hub import DatasetCard

    repo = one.repo
    card = DatasetCard.load(one.folder / "README.md")
    card.validate()  # a licence that the Hub does not know should not cost an upload
    created = _create(api, repo.id, "dataset", private=private or None)
    state = _state(api, repo.id, "dataset")
    if not created and not update and state.run != one.run and state.files - _FRESH:
        raise _taken(repo.id)
    if repo.is_gated:
        api.update_repo_settings(repo.id, gated="manual", repo_type="dataset")
        state = _state(api, repo.id, "dataset")
        if state.gate != "manual":
            raise RunError(
                f"the Hub did not put a gate in front of {repo.id}",
                fix="Nothing unsafe was sent. Set 'access requests' to manual in the repository's settings.",
            )
    return state.sha, state.files


def _create(
    api: HfApi, repo: str, kind: str, *, private: bool | None = None, space_sdk: str | None = None
) -> bool:
    """Creates the repository. Returns False if it exists already."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repo, repo_type=kind, exist_ok=False, private=private, space_sdk=space_sdk)
    except HfHubHTTPError as error:
        if error.response is None or error.response.status_code != 409:
            raise
        return False
    return True


@dataclass(frozen=True, slots=True)
class _State:
    """A repository as it stands on the Hub: last commit, files, gate, and the run that it holds."""

    sha: str | None
    files: set[str]
    gate: object
    run: object


def _state(api: HfApi, repo: str, kind: str) -> _State:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info: Any = api.repo_info(repo, repo_type=kind)  # its class differs between releases
    except RepositoryNotFoundError as error:  # it exists but is hidden from us
        raise _taken(repo) from error
    files = {sibling.rfilename for sibling in info.siblings or ()}
    run = info.card_data.to_dict().get(RUN_KEY) if info.card_data else None
    return _State(info.sha, files, getattr(info, "gated", None), run)


def _taken(repo: str) -> InputError:
    return InputError(
        f"{repo} is there already and holds something else",
        fix="Give another --repo. If it is yours and shall be replaced: --update.",
    )


def _operations(
    one: Prepared, there: set[str]
) -> tuple[list[CommitOperationDelete], list[CommitOperationAdd]]:
    """Deletions of stale files, and additions."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    stale = sorted(name for name in there - set(one.files) if _OURS.fullmatch(name))
    return (
        [CommitOperationDelete(name) for name in stale],
        [CommitOperationAdd(name, one.folder / name) for name in one.files],
    )


# -- errors -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def speaking_hub(token: str, repo: str = "", committed: Sequence[str] = ()) -> Iterator[None]:
    """Turns errors of the Hub's client into overt's errors, without the token."""
    from huggingface_hub.errors import LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        with _quiet_client():
            yield
    except OvertError:
        raise
    except LocalTokenNotFoundError as error:
        raise InputError("there is no token for the Hub", fix="Log in with `hf auth login`.") from error
    except OfflineModeIsEnabled as error:
        raise _offline() from error
    except Exception as error:
        spoken = _spoken(error, token, repo, committed)
        if spoken is None:
            raise
        raise spoken from None


def _spoken(error: Exception, token: str, repo: str, committed: Sequence[str]) -> OvertError | None:
    """The overt error for an error of the Hub, the network or the upload; None for any other."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    root = _root(error)
    if isinstance(root, HfHubHTTPError) and root.response is not None:
        return _refused(root, root.response.status_code, token, repo, committed)
    if isinstance(root, OfflineModeIsEnabled):
        return _offline()
    if _is_network(root) or isinstance(error, RuntimeError | OSError | ValueError):
        what = "the connection to the Hub broke" if _is_network(root) else "the upload failed"
        return RunError(f"{what}: {_scrubbed(root, token)}", where=repo, fix=_again(committed))
    return None


def _offline() -> InputError:
    return InputError("HF_HUB_OFFLINE is set", fix="Unset it to upload.")


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Silences the client's logs (retries, with signed addresses), and its progress bars unless stderr is a
    terminal."""
    bars = importlib.import_module("huggingface_hub.utils")
    names = ("huggingface_hub", "httpx", "httpx2")
    hidden = not sys.stderr.isatty() and not bars.are_progress_bars_disabled()
    if hidden:
        bars.disable_progress_bars()
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        if hidden:
            bars.enable_progress_bars()
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _refused(error: Exception, status: int, token: str, repo: str, committed: Sequence[str]) -> OvertError:
    """What an HTTP status of the Hub means."""
    words = _scrubbed(getattr(error, "server_message", None) or error, token)
    tokens = "https://huggingface.co/settings/tokens"
    if status == 401:
        return InputError(
            f"the Hub does not know this token: {words}",
            where=repo,
            fix=f"Log in again with `hf auth login`, or make a new token: {tokens}",
        )
    if status == 403:
        return InputError(
            f"the token has no right to do this: {words}",
            where=repo,
            fix=f"It needs write access to {repo.partition('/')[0] or 'the namespace'}: {tokens}",
        )
    if status == 412:
        return RunError("someone else wrote to it meanwhile", where=repo, fix="Run the same command again.")
    if status == 429:
        return RunError(
            f"the Hub asks for patience: {words}", where=repo, fix="Run the same command again later."
        )
    if status < 500:
        return RunError(f"the Hub refuses it (HTTP {status}): {words}", where=repo)
    return RunError(f"the Hub is in trouble (HTTP {status}): {words}", where=repo, fix=_again(committed))


def _again(committed: Sequence[str]) -> str:
    if committed:
        return f"{', '.join(committed)} is done, this one is not. Run the same command again."
    return _AGAIN


def _root(error: BaseException) -> BaseException:
    """The HTTP or network error that the client wrapped, else the error itself."""
    from huggingface_hub.errors import HfHubHTTPError

    seen = error
    while not isinstance(seen, HfHubHTTPError) and not _is_network(seen):
        inner = seen.__cause__ or seen.__context__
        if inner is None:
            return error
        seen = inner
    return seen


def _is_network(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return False
    return type(error).__module__.partition(".")[0] in _NETWORKING or isinstance(
        error, ConnectionError | TimeoutError
    )


def _scrubbed(error: object, token: str) -> str:
    text = str(error).replace(token, "…") if token else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
