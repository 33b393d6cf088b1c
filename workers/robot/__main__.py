"""python robot.pyz --server URL --guid GUID [--once] [--work-dir DIR]"""

from __future__ import annotations

import argparse
import hashlib
import os
import queue
import signal
import sys
import threading
import uuid
from pathlib import Path
from typing import Optional, Sequence
from urllib.parse import urlsplit

from .heartbeat import interval
from .life import Life
from .outbox import Outbox
from .protocol import Server, authorization, place_of
from .transport import Transport
from .voice import Voice
from .workdir import WorkDir, WorkDirError, default_root

USAGE, REFUSED, BROKEN = 2, 1, 3  # exit codes; 0 is a life that ended as it should


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse, then live. Returns the exit code."""
    options = _parse(argv)
    header = authorization(options.guid, options.secret)
    voice = Voice(options.guid, options.secret, header.split()[1])
    try:
        work = WorkDir(options.work_dir)
        transport = Transport(options.server, header, options.ca)
    except WorkDirError as trouble:
        voice.say(str(trouble))
        return USAGE
    except (OSError, ValueError) as trouble:
        voice.say(f"--ca: {options.ca} cannot be used as a CA: {trouble}")
        return USAGE
    server = Server(transport, options.guid, place_of(options.server, work.instance))
    # A session's GUID is new each time; what an earlier session of the robot has left is still its own.
    identity = os.environ.get("BOTSWAIN_ROBOT_ID") or options.guid
    outbox = Outbox(work.outbox, hashlib.sha256(identity.encode()).hexdigest()[:16])
    return _supervise(Life(server, work, outbox, voice, options.once, interval()), voice)


def _parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "robot.pyz",
        description="A robot: takes its jobs from Botswain and runs their scripts.",
        allow_abbrev=False,
    )
    parser.add_argument("--server", metavar="URL", help="address of Botswain (or BOTSWAIN_SERVER)")
    parser.add_argument("--guid", help="this robot's GUID; hidden from ps in BOTSWAIN_ROBOT_GUID")
    parser.add_argument("--once", action="store_true", help="end when there is no job")
    parser.add_argument("--work-dir", metavar="DIR", type=Path, help="runs, packages and undelivered results")
    parser.add_argument("--ca", metavar="FILE", help="certificate of a private authority, PEM")
    options = parser.parse_args(argv)
    # run.py keeps both from the scripts.
    guid, options.secret = (
        os.environ.get("BOTSWAIN_ROBOT_GUID", ""),
        os.environ.get("BOTSWAIN_ROBOT_SECRET", ""),
    )
    options.server = options.server or os.environ.get("BOTSWAIN_SERVER", "")
    try:
        options.work_dir = options.work_dir or default_root()
    except RuntimeError:
        parser.error("--work-dir is needed, as this account has no home folder")
    if not _is_address(options.server):
        parser.error("--server (or BOTSWAIN_SERVER) must be like http://host:4500")
    try:
        options.guid = str(uuid.UUID((options.guid or guid).strip(" {}")))
    except ValueError:
        parser.error("--guid (or BOTSWAIN_ROBOT_GUID) must be the robot's GUID")
    return options


def _is_address(server: str) -> bool:
    try:
        url = urlsplit(server)
        named = bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return named and url.scheme in ("http", "https") and not (url.username or url.query or url.fragment)


def _supervise(life: Life, voice: Voice) -> int:
    """Let the life run on a thread, so that this one is free for signals at any time.

    A SimpleQueue, as it alone may be used by a signal handler that interrupts a thread within it.
    """
    inbox: queue.SimpleQueue[Optional[int]] = queue.SimpleQueue()  # None: asked to leave; else the exit code
    for name in ("SIGTERM", "SIGINT", "SIGBREAK", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: inbox.put(None))
    threading.Thread(target=lambda: inbox.put(_lived(life, voice)), name="life", daemon=True).start()
    while True:
        try:
            word = inbox.get(timeout=1.0)  # on Windows a wait without end would not see Ctrl-C
        except queue.Empty:
            continue
        if word is not None:
            return word
        life.stop()


def _lived(life: Life, voice: Voice) -> int:
    try:
        return life.live()
    except Exception as mistake:
        voice.say(f"the agent has failed, which it should not: {type(mistake).__name__}: {mistake}")
        return BROKEN


if __name__ == "__main__":
    sys.exit(main())
