"""A simulated Kubernetes: what it holds (`objects`), its command line (`line`), what it prints (`show`), what
it changes (`acts`, `fields`), and the world that puts them together (`kubectl`)."""

from overt.environments.operations.cluster.kubectl import Cluster

__all__ = ["Cluster"]
