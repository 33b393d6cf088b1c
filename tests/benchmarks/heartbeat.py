"""A known robot's heartbeat to which nothing has happened, beside a Flask route that does nothing.

Both on granian with the same settings, both asked by the same client on 32 connections. The no-op is asked
twice over: by GET, and by a POST with the heartbeat's own headers and body, which it does not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.benchmarks import load, wire
from tests.benchmarks.cluster import Cluster, ended, pause_between_measures, serve_bare
from tests.benchmarks.figures import Figure, Target, in_turn
from tests.benchmarks.options import Options
from tests.benchmarks.robots import Robot
from tests.benchmarks.servers import Servers

CONNECTIONS = 32
ROBOTS = 64
UNIT = "requests/s"


def run(servers: Servers, options: Options) -> Iterator[Figure]:
    with (
        servers.redis() as redis,
        servers.database("sqlite") as database,
        Cluster(database, f"{redis}/0", servers.folder, scheduler=False) as cluster,
    ):
        noop, noop_port = serve_bare("tests.benchmarks.flask_noop:create_app", servers.folder)
        with ended(noop):
            beats = _familiar_beats(cluster)
            posts = [beat.replace(b"/api/robot/heartbeat", b"/noop", 1) for beat in beats]
            gets = [f"GET /noop HTTP/1.1\r\nHost: {wire.HOST}\r\n\r\n".encode()]
            measures = {
                "heartbeat": partial(_rate, cluster.port, beats, options),
                "get": partial(_rate, noop_port, gets, options),
                "post": partial(_rate, noop_port, posts, options),
            }
            found = in_turn(measures, options.rounds)
    goal, client = Target(ratio_at_least=0.9), {"client": load.client(), "connections": CONNECTIONS}
    for base, name in (("get", "Flask no-op, GET"), ("post", "Flask no-op, the same POST")):
        yield Figure(
            "heartbeat", "steady heartbeat", UNIT, found["heartbeat"], name, found[base], goal, client
        )


def _rate(port: int, requests: list[bytes], options: Options) -> float:
    pause_between_measures()
    return load.requests_per_second(port, requests, CONNECTIONS, options.seconds)


def _familiar_beats(cluster: Cluster) -> list[bytes]:
    """Heartbeats of robots that every process of the API has met: each has a connection with both."""
    robots = [Robot(guid) for guid in cluster.new_robots(ROBOTS)]
    beats = [robot.heartbeat for robot in robots]
    for _ in range(3):
        wire.rate(cluster.port, beats, CONNECTIONS, 0.5)
    return beats
