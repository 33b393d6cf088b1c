"""What an activity is given and what it may say: the one page to read before writing one.

    def greet(arguments: Any, context: Context) -> Any:
        name = read(Greeting, arguments).name
        return {"greeting": f"Hello, {name}"}

Named in an installed package's entry points, group `botswain.activities`, as `"acme.greet" =
"acme.hello:greet"`. The result is a JSON value. An activity may be begun again after a failure, where its
creator allowed several attempts, and after its node was lost: `context.task` is the same each time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from workers.settings import Settings

Model = TypeVar("Model", bound=BaseModel)


class ActivityError(Exception):
    """It failed; the text is one sentence for a person, and all that is reported."""


class Interrupted(ActivityError):  # noqa: N818  (a wish, not an error)
    """The activity is to end now: its lease is lost, or its node ends."""


@dataclass
class Context:
    """`task` is the task's GUID. Long work asks `interrupted` now and then, and pauses with `wait`."""

    settings: Settings
    task: str
    interrupted: threading.Event = field(default_factory=threading.Event)
    why: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _callbacks: list[Callable[[], None]] = field(default_factory=list, repr=False)

    def interrupt(self, why: str) -> None:
        """End the activity soon. Called from other threads; said again, it changes nothing."""
        with self._lock:
            if self.interrupted.is_set():
                return
            self.why = why
            self.interrupted.set()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()

    def check(self) -> None:
        """Raise `Interrupted` if the activity is to end."""
        if self.interrupted.is_set():
            raise Interrupted(self.why)

    def wait(self, seconds: float) -> None:
        """Pause; raises `Interrupted` as soon as the activity is to end."""
        self.interrupted.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def on_interrupt(self, callback: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `callback` from another thread when the activity is to end."""
        with self._lock:
            already = self.interrupted.is_set()
            self._callbacks.append(callback)
        if already:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


Activity = Callable[[Any, Context], Any]


class Arguments(BaseModel):
    """Base of an activity's arguments: nothing is guessed, and an unknown field is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


def read(model: type[Model], arguments: Any) -> Model:
    """The arguments as `model`. Raises `ActivityError` that names each field that is wrong."""
    if not isinstance(arguments, dict):
        raise ActivityError("arguments: give an object with the activity's fields.")
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise ActivityError("; ".join(_sentence(one) for one in found[:20])) from None


def _sentence(one: Any) -> str:
    place = ".".join(str(part) for part in one["loc"]) or "arguments"
    text = {"missing": "it is missing", "extra_forbidden": "there is no such field"}.get(one["type"])
    if text is None:
        said = str(one["msg"]).removeprefix("Value error, ")
        text = said[:1].lower() + said[1:]
    return f"{place[:200]}: {text}"
