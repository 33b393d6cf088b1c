"""What a worker node is told by its environment, read once, with every mistake named."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from workers.activities.addresses import Allowed
from workers.activities.allowed_commands import AllowedCommand, read_commands

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
# What a program needs to feel at home. Everything else, the node's secrets above all, stays with the node.
PASSED_ON = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "HOME", "USER", "LOGNAME", "SHELL"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "BOTSWAIN_HEARTBEAT_SECONDS"),
)


class SettingsError(Exception):
    """The settings cannot be used; `problems` has a sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """Durations are seconds. `shutdown_seconds` is what work in hand has when the node is to end,
    `closing_seconds` what a session has that a person closes."""

    server: str
    token: str = field(repr=False)
    name: str
    working_path: Path
    webhook_allowed: Allowed = field(default_factory=Allowed)
    commands: Mapping[str, AllowedCommand] = field(default_factory=dict)
    accounts: frozenset[str] = frozenset()
    require_account: bool = True
    closing_seconds: float = 30.0
    shutdown_seconds: float = 20.0
    drain_seconds: float = 3600.0
    robot_python: str = sys.executable  # runs the agents and their scripts: 3.9 or newer
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment. Raises `SettingsError` with every mistake at once."""
        return _Reader(os.environ if environ is None else environ).settings()


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name: value for name, value in environ.items() if value != ""}
        self._problems: list[str] = []

    def settings(self) -> Settings:
        name = self._name()
        settings = Settings(
            server=self._server(),
            token=self._token(),
            name=name,
            working_path=self._working_path(name),
            webhook_allowed=self._webhook_allowed(),
            commands=self._commands(),
            accounts=frozenset(self._list("BOTSWAIN_SESSION_ACCOUNTS")),
            require_account=self._truth("BOTSWAIN_SESSIONS_REQUIRE_ACCOUNT", default=True),
            closing_seconds=self._seconds("BOTSWAIN_SESSION_CLOSING_SECONDS", 30.0),
            shutdown_seconds=self._seconds("BOTSWAIN_SHUTDOWN_SECONDS", 20.0),
            drain_seconds=self._seconds("BOTSWAIN_DRAIN_SECONDS", 3600.0),
            robot_python=self._environ.get("BOTSWAIN_ROBOT_PYTHON", sys.executable),
            environment=self._passed_on(),
        )
        if self._problems:
            raise SettingsError(self._problems)
        return settings

    def _server(self) -> str:
        given = self._environ.get("BOTSWAIN_SERVER", "")
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            self._problems.append(f"BOTSWAIN_SERVER must be like http://host:4500 (it is {given!r})")
        return given.rstrip("/")

    def _token(self) -> str:
        token = self._environ.get("BOTSWAIN_NODE_TOKEN", "").strip()
        if not token or not token.isascii() or not token.isprintable():
            self._problems.append(
                "BOTSWAIN_NODE_TOKEN must be a token of the role node: botswain token create --role node"
            )
        return token

    def _name(self) -> str:
        name = self._environ.get("BOTSWAIN_NODE_NAME") or f"worker-{socket.gethostname().partition('.')[0]}"
        if NAME.fullmatch(name) is None:
            self._problems.append(
                f"BOTSWAIN_NODE_NAME must be 1 to 100 letters, digits, dots, dashes and underscores "
                f"(it is {name!r})"
            )
        return name

    def _working_path(self, name: str) -> Path:
        given = self._environ.get("BOTSWAIN_NODE_PATH") or f"~/.botswain/{name}"
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError:
            self._problems.append("BOTSWAIN_NODE_PATH is needed, as this account has no home folder")
            return Path()

    def _webhook_allowed(self) -> Allowed:
        try:
            return Allowed.of(self._list("BOTSWAIN_WEBHOOK_ALLOW"))
        except ValueError as problem:
            self._problems.append(f"BOTSWAIN_WEBHOOK_ALLOW: {problem}")
            return Allowed()

    def _commands(self) -> Mapping[str, AllowedCommand]:
        given = self._environ.get("BOTSWAIN_COMMANDS")
        try:
            return read_commands(Path(given)) if given else {}
        except ValueError as problem:
            self._problems.append(f"BOTSWAIN_COMMANDS: {problem}")
            return {}

    def _seconds(self, name: str, default: float) -> float:
        given = self._environ.get(name)
        try:
            seconds = float(given) if given else default
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= 86_400:
            self._problems.append(f"{name} must be a number of seconds from 0 to 86400 (it is {given!r})")
        return seconds

    def _truth(self, name: str, *, default: bool) -> bool:
        given = self._environ.get(name)
        if given is None:
            return default
        if given.lower() not in TRUTHS:
            self._problems.append(f"{name} must be 1 or 0 (it is {given!r})")
        return TRUTHS.get(given.lower(), default)

    def _list(self, name: str) -> list[str]:
        return [item.strip() for item in self._environ.get(name, "").split(",") if item.strip()]

    def _passed_on(self) -> dict[str, str]:
        wanted = {*PASSED_ON, *self._list("BOTSWAIN_PASS_ENVIRONMENT")}
        own = {name: value for name, value in self._environ.items() if name in wanted}
        return own | {name: value for name, value in self._environ.items() if name.startswith("LC_")}
