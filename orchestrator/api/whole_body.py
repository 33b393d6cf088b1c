"""Bodies that come in chunks, without a length: read to the limit, so that a longer one is refused.

Without a length the framework cuts such a body at the limit and takes the rest for the whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WholeBody:
    def __init__(self, application: Application, limit: int) -> None:
        self._application = application
        self._limit = limit

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        if chunked and not environ.get("CONTENT_LENGTH"):
            body = environ["wsgi.input"].read(self._limit + 1)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))  # one above the limit is refused by its length
            del environ["HTTP_TRANSFER_ENCODING"]
        return self._application(environ, start_response)
