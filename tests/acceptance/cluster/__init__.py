"""A real cluster for acceptance tests: the production's commands and environment, real HTTP, real signals."""

from tests.acceptance.cluster.api import Api, Problem
from tests.acceptance.cluster.cluster import Cluster, Settings
from tests.acceptance.cluster.part import Part
from tests.acceptance.cluster.replicas import Replicas
from tests.acceptance.cluster.robot import Handed, Robot
from tests.acceptance.cluster.waiting import eventually

__all__ = ["Api", "Cluster", "Handed", "Part", "Problem", "Replicas", "Robot", "Settings", "eventually"]
