"""Scripts, read when they are published: a slip is told to a person at once, and not to a robot in the night.

A script is read by the server's Python and run by a robot's, which may be newer. So an error is told where
any Python would have it, and passed over where the line that it is about shows what a newer one reads.
"""

from __future__ import annotations

import re
import sys

from orchestrator.errors import Invalid

# Since when, and how it looks: in the line, or in what an older Python says of it.
_NEWER = [
    (
        (3, 12),
        re.compile(r"^f-string:|\b(f|fr|rf)['\"]", re.IGNORECASE | re.MULTILINE),
    ),  # quotes, lines within
    ((3, 12), re.compile(r"^\s*type\s+\w+\s*(=|\[)(?!\s*=)", re.MULTILINE)),
    ((3, 13), re.compile(r"\b(def|class)\s+\w+\s*\[")),  # with defaults; without, since 3.12
    ((3, 14), re.compile(r"\b(t|tr|rt)['\"]", re.IGNORECASE)),
    ((3, 14), re.compile(r"\bexcept\b[^:(]*,")),
    ((3, 15), re.compile(r"^\s*lazy\s+(import|from)\b", re.MULTILINE)),
    ((3, 15), re.compile(r"^(iterable|dict) unpacking cannot be used in", re.MULTILINE)),
]


def check(data: bytes) -> None:
    """Raise `Invalid` where no Python that is known here would read it."""
    try:
        compile(data, "package", "exec", dont_inherit=True)
    except SyntaxError as error:
        if not _may_be_newer(data, error):
            raise _refused(error) from None
    except ValueError as error:
        raise _refused(error) from None
    except (RecursionError, MemoryError):
        raise Invalid.field("package", "the script is nested too deeply to be parsed") from None


def _may_be_newer(data: bytes, error: SyntaxError) -> bool:
    first = error.lineno or 0
    lines = data.splitlines()[max(first - 1, 0) : max(error.end_lineno or 0, first)]
    seen = "\n".join([error.msg, *[line.decode("utf-8", "replace") for line in lines]])
    return any(sys.version_info < since and looks.search(seen) for since, looks in _NEWER)


def _refused(error: Exception) -> Invalid:
    return Invalid.field("package", f"the script cannot be parsed as Python: {error}")
