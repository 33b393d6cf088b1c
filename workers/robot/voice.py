"""What the agent says to its terminal: one line a fact, and never a secret."""

from __future__ import annotations

import contextlib
import sys
import time


class Voice:
    """Writes lines to standard error, with every known secret struck out."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = [secret for secret in secrets if secret]

    def say(self, text: str) -> None:
        """One line, with the time. A terminal that is gone or full does not disturb the work."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {self.redact(text)}"
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)

    def redact(self, text: str) -> str:
        """`text` without the secrets, however their letters are cased."""
        for secret in self._secrets:
            for form in (secret, secret.lower(), secret.upper()):
                text = text.replace(form, "***")
        return text
