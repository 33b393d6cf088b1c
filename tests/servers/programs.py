"""Where the servers' programs are: on PATH, or where packages put them beside an ordinary user's PATH."""

import shutil
from glob import glob

from tests.servers.server import MissingServerError

FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/lib/postgresql/*/bin",  # Debian keeps the programs of each PostgreSQL version apart
    "/usr/pgsql-*/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)


def find(*names: str, package: str) -> str:
    """The path of the first of `names` that is installed; MissingServerError names the package."""
    for name in names:
        if path := shutil.which(name):
            return path
    for name in names:
        for folder in FOLDERS:
            # The newest version first: 9 < 15, though not in the alphabet.
            for path in sorted(glob(f"{folder}/{name}"), key=lambda path: (len(path), path), reverse=True):
                return path
    raise MissingServerError(f"no {' or '.join(names)} on this machine; install the package {package}")
