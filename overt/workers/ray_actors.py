"""Workers that are actors of Ray: on the cluster at RAY_ADDRESS, else on a cluster of this machine alone.

Of what Ray does beside the work, all is turned off that can be: usage statistics, the dashboard, its log on
the terminal. Its own cluster asks for a token, since its ports are open to the network: the token is made
anew and stands in the environment alone, so that none is written to ~/.ray. Its files lie in a folder that
goes with it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from overt.data.errors import InputError, RunError
from overt.data.local.devices import one_line
from overt.data.plugins.install import how_to_install
from overt.data.secrets import storable
from overt.workers.parts import TRIES, Answer, Item, Place, Reply, SeatLost, here
from overt.workers.processes import python_path

_SIDE_BY_SIDE = 16  # calls in one actor; more wait in it
_AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_GONE = "The same command goes on where this one ended."


class RayActors:
    """The engine of `--workers ray`: one actor for each GPU; of a cluster without any, one for each machine.

    Args:
        count: the actors; None: as above.

    Raises:
        InputError: Ray is not installed, cannot be reached, or has fewer GPUs.
    """

    tries = TRIES

    def __init__(self, count: int | None) -> None:
        self._is_own = not os.environ.get("RAY_ADDRESS")
        _set_environment(self._is_own)
        try:
            import ray  # type: ignore[import-not-found, unused-ignore]
        except ModuleNotFoundError as error:
            raise InputError("--workers ray needs the package ray", fix=how_to_install("ray")) from error
        self._ray: Answer = ray
        self._folder = ""
        try:
            self._join()
            self.count, self._needs = _shares(ray.cluster_resources(), len(ray.nodes()), count)
        except InputError:
            self.close()
            raise
        except Exception as error:  # Ray raises what its parts raise
            self.close()
            at = "on this machine" if self._is_own else "at RAY_ADDRESS"
            raise InputError(
                f"Ray cannot be started or reached {at}: {storable(one_line(error))}",
                fix="`ray status` says how a cluster is; --workers N needs no Ray.",
            ) from error

    def _join(self) -> None:
        own: dict[str, object] = {}
        if self._is_own:
            # Unix has room for about 100 letters in the name of a socket, and /tmp is short.
            short = "/tmp" if Path("/tmp").is_dir() else None
            self._folder = tempfile.mkdtemp(prefix="overt-ray-", dir=short)
            own = {"include_dashboard": False, "_temp_dir": self._folder}
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = python_path()  # of the actors on this machine
        try:
            self._ray.init(log_to_driver=False, logging_level="ERROR", **own)
        finally:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before

    def seat(self, number: int) -> RaySeat:
        return RaySeat(self._ray, number, self._needs, here())

    def close(self) -> None:
        self._ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _set_environment(is_own: bool) -> None:
    """Says to Ray what it reads from the environment when it is imported. What the user has set stays.

    Args:
        is_own: whether the cluster is one of this machine alone, which this process starts.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if is_own and "ray" not in sys.modules:
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")
        if not any(name in os.environ for name in _AUTH):
            os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})


def _shares(resources: Mapping[str, float], machines: int, count: int | None) -> tuple[int, dict[str, float]]:
    """The number of actors, and what each takes of the cluster.

    Raises:
        InputError: there are fewer GPUs than actors.
    """
    gpus, cores = int(resources.get("GPU", 0)), resources.get("CPU", 1.0)
    actors = count or gpus or max(1, machines)
    if gpus and actors > gpus:
        raise InputError(
            f"--workers ray:{actors}: the cluster has {gpus} GPUs",
            fix="Leave the number out: there is one worker for each GPU.",
        )
    if gpus:
        return actors, {"num_gpus": 1, "num_cpus": min(1.0, cores / actors)}
    return actors, {"num_cpus": cores // actors or cores / actors}


class _Actor:
    """What Ray makes on a machine of the cluster."""

    def __init__(self, place: Place) -> None:
        from overt.workers.worker import Worker

        self._worker = Worker(place)

    def answer(self, method: str, *arguments: Item) -> Reply:
        return self._worker.answer(method, *arguments)


class RaySeat:
    """One actor. Where it ends, the crew starts another and gives its batches out again, as of a process.
    Ray's own retries (`max_task_retries`) would send all that it had at once: beside the batch that ends it
    each time the innocent ones would be lost."""

    def __init__(self, ray: Answer, number: int, needs: Mapping[str, float], place: Place) -> None:
        self._ray, self.number = ray, number
        make = ray.remote(_Actor).options(
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=_SIDE_BY_SIDE,
            scheduling_strategy="SPREAD",
            **needs,
        )
        self._actor: Answer = make.remote(place)

    def call(self, method: str, *arguments: object) -> Reply:
        errors = self._ray.exceptions
        try:
            reply: Reply = self._ray.get(self._actor.answer.remote(method, *arguments))
        except errors.RayActorError as error:
            words = f"worker {self.number + 1}, of Ray: {storable(one_line(error))}"
            raise SeatLost(words) from None
        except errors.RayTaskError as error:  # an answer that cannot be sent
            return Reply(None, storable(one_line(error.cause or error)))
        except errors.RayError as error:
            raise RunError(f"Ray does not answer any more: {storable(one_line(error))}", fix=_GONE) from error
        return reply

    def close(self) -> None:
        try:
            self._ray.kill(self._actor)
        except Exception:  # it is gone, or Ray is
            return
