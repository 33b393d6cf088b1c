"""botswain.sleep: waits."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from workers.activities.activity import Arguments, Context, read

LONGEST = 3600.0


class Sleep(Arguments):
    seconds: Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)]


def sleep(arguments: Any, context: Context) -> Any:
    """`seconds`, 0 to 3600."""
    seconds = read(Sleep, arguments).seconds
    context.wait(seconds)
    return {"seconds": seconds}
