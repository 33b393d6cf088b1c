"""Free TCP ports on the loopback interface."""

import random
import socket

# Below the range from which Linux, macOS and Windows choose the ports of outgoing connections. A port from
# that range can be taken by any client while a server restarts, and the server's URL must stay the same.
CHOICES = range(20000, 30000)


def free_port() -> int:
    """A port that nobody listens on now; chosen at random, so two processes seldom get the same."""
    for port in random.sample(CHOICES, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"200 ports tried between {CHOICES.start} and {CHOICES.stop}, and none is free")
