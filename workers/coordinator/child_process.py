"""The first backend: the agent is a child process of the node, with a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

from workers.coordinator.accounts import Account, account_for
from workers.coordinator.backends import (
    FAILED,
    LOGGED_OFF,
    CannotOpenError,
    Ending,
    Handle,
    Session,
    SessionBackend,
)
from workers.lifeline import die_with_parent
from workers.robot.build import build_pyz
from workers.settings import Settings

LOG_TAIL = 4096


class ChildProcessBackend(SessionBackend):
    """`python robot.pyz --once`, built into the node's working path, where every account can read it."""

    name: ClassVar[str] = "child-process"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._robots = settings.working_path / "robots"
        self._pyz = settings.working_path / "robot.pyz"

    def prepare(self) -> None:
        """Raises `OSError` where the working path cannot be written."""
        self._robots.mkdir(mode=0o711, parents=True, exist_ok=True)
        build_pyz(self._pyz)

    def open(self, session: Session) -> Handle:
        account = account_for(session.account, self._settings)
        if account is not None:
            self._check_way(account)
        try:
            folder = self._folder(session, account)
            process = self._start(session, account, folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotOpenError(f"The robot's agent cannot be started: {error}") from None
        return Handle(session, process.pid, process)

    def _check_way(self, account: Account) -> None:
        """Else the agent would only say that it cannot find its own file."""
        for folder in self._pyz.parents:
            if not folder.stat().st_mode & 0o001:
                raise CannotOpenError(
                    f"The account {account.name} cannot pass through {folder}: set BOTSWAIN_NODE_PATH to a "
                    "folder that every account may reach."
                )

    def _folder(self, session: Session, account: Account | None) -> Path:
        """One for each robot and account: what it keeps there outlives the session, its unreported results
        above all, and belongs to whoever wrote it."""
        folder = self._robots / f"{session.robot_id}{'-' + account.name if account else ''}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if account is not None:
                os.chown(folder, account.uid, account.gid)
        return folder

    def _start(self, session: Session, account: Account | None, folder: Path) -> subprocess.Popen[bytes]:
        # The log is the node's, beside the folder: within it, a link could point anywhere.
        with open(self._log(session), "wb") as log:
            return subprocess.Popen(
                [self._settings.robot_python, str(self._pyz), "--once", "--work-dir", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=self._environment(session, account),
                start_new_session=True,
                umask=0o077,
                preexec_fn=die_with_parent(),  # runs after the switch of account, which would undo it
                **(account.spawn_options() if account else {}),
            )

    def _environment(self, session: Session, account: Account | None) -> dict[str, str]:
        environment = dict(self._settings.environment)
        if account is not None:
            environment |= {"HOME": str(account.home), "USER": account.name, "LOGNAME": account.name}
        return environment | {
            "BOTSWAIN_SERVER": session.server,
            "BOTSWAIN_ROBOT_GUID": session.guid,
            "BOTSWAIN_ROBOT_ID": session.robot_id,
        }

    def _log(self, session: Session) -> Path:
        return self._robots / f"{session.robot_id}.log"

    def ending(self, handle: Handle) -> Ending | None:
        process: subprocess.Popen[bytes] = handle.own
        exit_code = process.poll()
        if exit_code is None:
            return None
        if exit_code == 0:
            return Ending(LOGGED_OFF, "The robot logged off: there was nothing for it to do.")
        how = f"with exit code {exit_code}" if exit_code > 0 else f"by {_signal_name(-exit_code)}"
        said = self._last_words(handle.session)
        return Ending(FAILED, f"The robot's agent ended {how}{': ' + said if said else '.'}")

    def _last_words(self, session: Session) -> str:
        """The last line of its log, made fit to be shown."""
        with contextlib.suppress(OSError), open(self._log(session), "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LOG_TAIL))
            lines = log.read().decode("utf-8", "replace").split("\n")
            printable = ["".join(c if c.isprintable() else " " for c in line).strip() for line in lines]
            return next((line[-400:] for line in reversed(printable) if line), "")
        return ""

    def close(self, handle: Handle, *, hard: bool) -> None:
        process: subprocess.Popen[bytes] = handle.own
        if process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if hard:
                os.killpg(process.pid, signal.SIGKILL)  # its script dies with it, by its own lifeline
            else:
                process.send_signal(signal.SIGTERM)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
