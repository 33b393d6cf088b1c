"""Under whose account a session's agent runs on this machine."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.coordinator.backends import CannotOpenError
from workers.settings import Settings

Look = Callable[[str], pwd.struct_passwd]


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    home: Path
    groups: tuple[int, ...]

    def spawn_options(self) -> dict[str, Any]:
        """For Popen: the process is this account's before its program is loaded."""
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)}


def account_for(
    name: str, settings: Settings, look: Look = pwd.getpwnam, own_uid: int | None = None
) -> Account | None:
    """The account to switch to, or None where the agent runs under the node's own.

    Raises `CannotOpenError` where the robot's account cannot be had: it is unknown here, not this node's to
    use, or the node may not switch. BOTSWAIN_SESSIONS_REQUIRE_ACCOUNT=0 lets the last pass.
    """
    if not name:
        return None
    if settings.accounts and name not in settings.accounts:
        raise CannotOpenError(
            f"This node opens no sessions for the account {name} (BOTSWAIN_SESSION_ACCOUNTS)."
        )
    try:
        entry = look(name)
    except (KeyError, ValueError):
        raise CannotOpenError(f"There is no account {name!r} on this machine.") from None
    own = os.geteuid() if own_uid is None else own_uid
    if entry.pw_uid == own:
        return None
    if entry.pw_uid == 0:
        raise CannotOpenError(f"A robot may not run as {name}, which may do everything on this machine.")
    if own != 0:
        if settings.require_account:
            raise CannotOpenError(
                f"This node may not switch to the account {name}: run it as root or as {name}, or set "
                "BOTSWAIN_SESSIONS_REQUIRE_ACCOUNT=0 to run the robot under the node's own account."
            )
        return None
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir), groups)
