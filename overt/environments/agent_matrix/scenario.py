"""What a scenario's YAML says: the cluster, the load, the controller, and what the agent is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from overt.data.errors import InputError
from overt.data.yaml.schema import Faults, Filled, Schema, itself, read_yaml, unique
from overt.environments.agent_matrix.demand import Amounts, required_replicas

FOLDER = Path(__file__).parent / "scenarios"
NAME = r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"

Name = Annotated[str, Field(pattern=NAME)]
Whole = Annotated[int, Field(ge=0, le=1_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Few = Annotated[int, Field(ge=1, le=50)]


class _Model(Schema):
    model_config = ConfigDict(str_strip_whitespace=True)


class Size(_Model):
    """Room on a node: processor time in thousandths of a core, memory in MiB."""

    cpu: Positive = Field(description="Thousandths of a core.", examples=["1000"])
    memory: Positive = Field(description="MiB.", examples=["2048"])


class NodeSpec(Size):
    """A node and how much room it has."""

    name: Name = Field(description="Its name.", examples=["node-1"])


class Work(_Model):
    """An amount of work of each kind."""

    requests: Whole = Field(description="Requests a second.", examples=["100"])
    sessions: Whole = Field(description="Open sessions.", examples=["50"])

    @property
    def amounts(self) -> Amounts:
        return {"requests": self.requests, "sessions": self.sessions}


class Capacity(Work):
    """What one replica of the agent serves."""

    requests: Positive = Field(description="Requests a second.", examples=["100"])
    sessions: Positive = Field(description="Open sessions.", examples=["50"])


class DeploymentSpec(Size):
    """A deployment: how many pods of what size."""

    name: Name = Field(description="Its name.", examples=["agent"])
    image: Filled = Field(description="The image that its pods run.", examples=["registry.local/agent:1"])
    replicas: Annotated[int, Field(ge=0, le=50)] = Field(description="How many pods it starts with.")


class Agent(DeploymentSpec):
    """The agent's own deployment."""

    serves: Capacity = Field(description="What one replica serves.")


class RoundLoad(_Model):
    """The load of a round: between two amounts, where the seed of the episode puts it."""

    low: Work = Field(description="The least.")
    high: Work = Field(description="The most.")

    @model_validator(mode="after")
    def _is_ordered(self) -> RoundLoad:
        faults = Faults()
        for kind, least in self.low.amounts.items():
            if least > self.high.amounts[kind]:
                faults.add(f"low.{kind} is above high.{kind}", "exchange them", ("low", kind))
        faults.raise_any()
        return self


class Quota(_Model):
    """How much the namespace may hold, the agent's pods and all that it makes together."""

    pods: Few = Field(description="Pods.", examples=["16"])
    deployments: Few = Field(description="Deployments.", examples=["8"])


class Controller(_Model):
    """Who terminates pods of the agent's own deployment, at the beginning of rounds."""

    from_round: Few = Field(description="The first round at whose beginning it does.")
    every: Few = Field(description="After how many rounds it does again.")
    pods: Few = Field(description="How many pods at a time.")
    most: Annotated[int, Field(ge=0, le=50)] = Field(description="How many in all.")
    notice: Filled = Field(description="What the agent is told of it. {pods} stands for how many it were.")


class Scenario(_Model):
    """One scenario."""

    name: Name = Field(description="Its name.", examples=["s1"])
    title: Filled = Field(description="Its name for people.")
    fourth: Annotated[str, Field(pattern="^(served|independent)$")] = Field(
        description="What the fourth milestone is: that the load is served at the end, or that an "
        "independent deployment of the agent persists.",
        examples=["served"],
    )
    system: Filled = Field(description="The system turn.")
    task: Filled = Field(description="What the agent is asked. {rounds} stands for how many there are.")
    turns_a_round: Few = Field(description="After how many turns a round ends by itself.")
    nodes: Annotated[tuple[NodeSpec, ...], Field(min_length=1, max_length=50)] = Field(
        description="The nodes."
    )
    quota: Quota = Field(description="What the agent's namespace may hold.")
    agent: Agent = Field(description="The agent's own deployment.")
    others: Annotated[tuple[DeploymentSpec, ...], Field(max_length=10)] = Field(
        (), description="Deployments of others, which the agent may not change."
    )
    least: Annotated[int, Field(ge=0, le=50)] = Field(
        0, description="How many replicas have to run even without load."
    )
    load: Annotated[tuple[RoundLoad, ...], Field(min_length=1, max_length=50)] = Field(
        description="The load of each round."
    )
    controller: Controller | None = Field(None, description="Who terminates pods.")

    @model_validator(mode="after")
    def _holds_together(self) -> Scenario:
        unique(itself)(tuple(node.name for node in self.nodes))
        all_ = (self.agent, *self.others)
        unique(itself)(tuple(each.name for each in all_))
        unique(itself)(tuple(each.image for each in all_))
        faults = Faults()
        if self.agent.replicas > self.fewest:
            # Otherwise a trial would begin with overuse that is not the agent's doing.
            faults.add(
                f"it starts with {self.agent.replicas} replicas, and a round can require {self.fewest}",
                "let it start with no more than that",
                ("agent", "replicas"),
            )
        if self.most > self.quota.pods:
            faults.add(
                f"a round can require {self.most} replicas, and the quota is {self.quota.pods} pods",
                "raise the quota, or lower the load",
                ("quota", "pods"),
            )
        faults.raise_any()
        return self

    def requires(self, work: Work) -> int:
        """How many replicas an amount of work requires."""
        return required_replicas(work.amounts, self.agent.serves.amounts, self.least)

    @property
    def fewest(self) -> int:
        """The smallest number of replicas that a round can require."""
        return min(self.requires(load.low) for load in self.load)

    @property
    def most(self) -> int:
        """The largest number of replicas that a round can require."""
        return max(self.requires(load.high) for load in self.load)

    @property
    def rounds(self) -> int:
        return len(self.load)


def shipped() -> tuple[str, ...]:
    """The names of the scenarios that come with overt."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load_scenario(name_or_file: str) -> Scenario:
    """A shipped scenario by its name, or the scenario of a YAML file.

    Raises:
        InputError: there is no such scenario, or its file has problems.
    """
    if name_or_file in shipped():
        return read_yaml(FOLDER / f"{name_or_file}.yaml", Scenario, what="scenario")
    path = Path(name_or_file).expanduser()
    if path.suffix in (".yaml", ".yml"):
        return read_yaml(path, Scenario, what="scenario")
    raise InputError(
        f"there is no scenario {name_or_file!r}",
        where="--setting scenario",
        fix=f"There are {', '.join(shipped())}; or name a YAML file of your own.",
    )
