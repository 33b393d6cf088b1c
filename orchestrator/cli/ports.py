"""Whether a port can be listened on, and one that can."""

from __future__ import annotations

import errno
import socket

from orchestrator.cli.refusal import Refusal


def refuse_busy(host: str, port: int) -> None:
    """Raise `Refusal` unless `host:port` is free.

    The server itself would not notice: it lets several processes share a port.
    """
    try:
        _listen(host, port).close()
    except socket.gaierror:
        raise Refusal(f"--host {host} is not an address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Refusal(f"port {port} is in use; choose another with --port or PORT=") from None
        raise Refusal(f"cannot listen on {host}, port {port}: {error.strerror}") from None


def free_port(wish: int) -> int:
    """`wish`, or another free port of the loopback interface where that is taken."""
    for port in (wish, 0):
        try:
            with _listen("127.0.0.1", port) as listener:
                return int(listener.getsockname()[1])
        except OSError:
            continue
    raise Refusal("no port of the loopback interface is free")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, _, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener
