"""A simulated cluster: nodes with room, deployments that want pods, and a scheduler that places them.

It is a few lists in memory and deterministic: the same calls in the same order give the same pods on the same
nodes. No operation takes more work than the quota has pods.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from overt.environments.agent_matrix.scenario import NodeSpec, Quota, Size


class Refused(ValueError):
    """The cluster does not do what was asked; the text is what kubectl would print.

    kind: "unknown" (nothing of that name exists), "forbidden" (it is not the agent's), "quota", or "invalid".
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(slots=True)
class Deployment:
    """Pods of one image. `replicas` is how many it wants; `made` the round in which it was created, 0 for
    those of the beginning; `is_ours` whether the agent may change it."""

    name: str
    image: str
    replicas: int
    made: int = 0
    is_ours: bool = True


@dataclass(slots=True)
class Pod:
    """One pod; `node` is "" while it waits for room."""

    name: str
    deployment: Deployment
    node: str = ""

    @property
    def is_running(self) -> bool:
        return bool(self.node)


@dataclass
class Cluster:
    """Nodes, and what runs on them.

    images: what a pod of each image takes; there are no other images. quota: of what the agent may change.
    """

    nodes: tuple[NodeSpec, ...]
    images: dict[str, Size]
    quota: Quota
    deployments: dict[str, Deployment] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    _made: int = 0

    # -- what there is --------------------------------------------------------------------------------

    def deployment(self, name: str) -> Deployment:
        """Raises Refused: there is none of this name."""
        found = self.deployments.get(name)
        if found is None:
            raise Refused("unknown", f'deployments.apps "{name[:60]}" not found')
        return found

    def pod(self, name: str) -> Pod:
        """Raises Refused: there is none of this name."""
        for pod in self.pods:
            if pod.name == name:
                return pod
        raise Refused("unknown", f'pods "{name[:60]}" not found')

    def pods_of(self, deployment: Deployment) -> list[Pod]:
        return [pod for pod in self.pods if pod.deployment is deployment]

    def running(self, image: str) -> int:
        """How many pods of an image run, in whichever deployment."""
        return sum(pod.is_running and pod.deployment.image == image for pod in self.pods)

    def free(self, node: NodeSpec) -> tuple[int, int]:
        """The room that a node has left: processor time, memory."""
        taken = [self.images[pod.deployment.image] for pod in self.pods if pod.node == node.name]
        return node.cpu - sum(size.cpu for size in taken), node.memory - sum(size.memory for size in taken)

    # -- what can be done -----------------------------------------------------------------------------

    def add(self, name: str, image: str, replicas: int, made: int = 0, *, is_ours: bool = True) -> int:
        """Creates a deployment, with as many of its replicas as the quota allows.

        Returns:
            How many it wants then.

        Raises:
            Refused: the name is taken, the image does not exist, or the quota has no room for a deployment.
        """
        wanted = self.allowed_new(name, image, replicas) if is_ours else replicas
        self.deployments[name] = Deployment(name, image, wanted, made, is_ours)
        self.settle()
        return wanted

    def allowed_new(self, name: str, image: str, replicas: int) -> int:
        """How many replicas a new deployment would get; see `add`."""
        if image not in self.images:
            raise Refused("unknown", f'image "{image[:80]}" not found in the registry')
        if name in self.deployments:
            raise Refused("invalid", f'deployments.apps "{name[:60]}" already exists')
        ours = sum(each.is_ours for each in self.deployments.values())
        if ours >= self.quota.deployments:
            raise Refused("quota", f"exceeded quota: {ours} of {self.quota.deployments} deployments are used")
        return self._within_quota(replicas)

    def scale(self, name: str, replicas: int) -> int:
        """Sets how many pods a deployment wants, as far as the quota allows; returns how many those are.

        Raises:
            Refused: there is no such deployment, or it is not the agent's.
        """
        wanted = self.allowed(name, replicas)
        self.deployments[name].replicas = wanted
        self.settle()
        return wanted

    def allowed(self, name: str, replicas: int) -> int:
        """How many replicas a deployment would get; see `scale`."""
        found = self._ours(self.deployment(name))
        return self._within_quota(replicas, found)

    def remove(self, name: str) -> None:
        """Deletes a deployment and its pods.

        Raises:
            Refused: there is no such deployment, or it is not the agent's.
        """
        self._ours(self.deployment(name))
        del self.deployments[name]
        self.settle()

    def kill(self, name: str) -> None:
        """Deletes a pod; its deployment starts another one.

        Raises:
            Refused: there is no such pod, or it is not the agent's.
        """
        pod = self.pod(name)
        self._ours(pod.deployment)
        self.pods.remove(pod)
        self.settle()

    def _ours(self, deployment: Deployment) -> Deployment:
        if not deployment.is_ours:
            raise Refused("forbidden", f'deployments.apps "{deployment.name}" is forbidden: it is not yours')
        return deployment

    def _within_quota(self, replicas: int, besides: Deployment | None = None) -> int:
        others = sum(d.replicas for d in self.deployments.values() if d.is_ours and d is not besides)
        return min(replicas, self.quota.pods - others)

    # -- the controllers of the cluster itself --------------------------------------------------------

    def settle(self) -> None:
        """Makes the pods what the deployments want: the newest go first, new ones are placed in order."""
        self.pods = [pod for pod in self.pods if self.deployments.get(pod.deployment.name) is pod.deployment]
        for deployment in self.deployments.values():
            have = self.pods_of(deployment)
            for pod in have[deployment.replicas :]:
                self.pods.remove(pod)
            for _ in range(deployment.replicas - len(have)):
                self._made += 1
                self.pods.append(Pod(f"{deployment.name}-{self._made}", deployment))
        for pod in self.pods:
            if not pod.is_running:
                pod.node = self._place_for(self.images[pod.deployment.image])

    def _place_for(self, size: Size) -> str:
        """The node with the most memory left that has room, then the most processor time, then the first."""
        fitting = []
        for place, node in enumerate(self.nodes):
            cpu, memory = self.free(node)
            if cpu >= size.cpu and memory >= size.memory:
                fitting.append((-memory, -cpu, place))
        return self.nodes[min(fitting)[2]].name if fitting else ""
