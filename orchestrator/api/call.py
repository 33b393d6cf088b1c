"""One call of a route: who makes it, and the transaction in which it is answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Response, request
from sqlalchemy import exc

from orchestrator.api import idempotency
from orchestrator.api.auth import Identity
from orchestrator.api.idempotency import Key, KeyTaken, Minted
from orchestrator.api.operation import Operation
from orchestrator.errors import Conflict
from orchestrator.transaction import Transaction
from orchestrator.wiring import Parts

Result = TypeVar("Result")
Work = Callable[[Transaction], Any]
RACES = 3


@dataclass(frozen=True)
class Call:
    parts: Parts
    identity: Identity
    operation: Operation
    is_list: bool = False  # the body was a list of what it may be one or many of

    @property
    def digest(self) -> Callable[[str], str]:
        return self.parts.config.digest

    def fetch(self, work: Callable[[Transaction], Result]) -> Result:
        """What `work` finds, read only, for this caller."""
        return self._run(work, read_only=True)

    def transact(self, work: Callable[[Transaction], Result]) -> Result:
        """What `work` returns, having written, for this caller."""
        return self._run(work, read_only=False)

    def read(self, work: Work) -> Response:
        """The answer that `work` finds."""
        return self.answer(self.fetch(work))

    def answer(self, value: Any) -> Response:
        """A found value in the operation's form."""
        return self._response(self.operation.status, self.operation.dump(value))

    def write(self, work: Work, *, minted: Minted | None = None, fingerprint: str = "") -> Response:
        """Run `work` and answer with what it returns, once for each Idempotency-Key.

        `fingerprint` stands for the body where that is not the same bytes each time it is sent.
        """
        key = Key.of(request, fingerprint or body_digest()) if request.method == "POST" else None
        if key is None:
            return self.answer(self._settled(work))

        def once(tx: Transaction) -> Any:
            idempotency.take(tx, key)
            answer = self.operation.plain(work(tx))
            idempotency.keep(tx, key, self.operation.status, answer, minted)
            return answer

        try:
            status, answer = self.operation.status, self._settled(once)
        except KeyTaken:
            status, answer = self._run(lambda tx: idempotency.replay(tx, key, minted), read_only=True)
        body = (
            None if answer is None else json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        )
        return self._response(status, body)

    def _settled(self, work: Callable[[Transaction], Result]) -> Result:
        """Two requests may each see that a name is free; the unique index lets one in, and the other looks
        again and finds it taken."""
        for _ in range(RACES):
            try:
                return self._run(work, read_only=False)
            except exc.IntegrityError:
                continue
        raise Conflict("Others change the same thing at the same moment; try again shortly.")

    def _run(self, work: Callable[[Transaction], Result], *, read_only: bool) -> Result:
        transactions, caller = self.parts.transactions, self.identity
        return transactions.run(work, tenant_id=caller.tenant_id, actor=caller.actor, read_only=read_only)

    def _response(self, status: int, body: bytes | None) -> Response:
        if body is None:
            return Response(status=204)
        return Response(body, status, content_type="application/json")


def body_digest() -> str:
    return hashlib.sha256(request.get_data()).hexdigest()
