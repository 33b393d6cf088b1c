"""Idempotency-Key: a request that is sent again gets its first answer and does nothing twice.

The key's row is the first statement of the request's own transaction. Two at once therefore come one after
the other by the unique index, and a request that failed leaves no row, so it may be sent again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Request
from sqlalchemy import delete, exc, insert, select, update

from orchestrator.config import Config
from orchestrator.errors import Conflict, IdempotencyMismatch, Invalid
from orchestrator.tasks.model import IdempotencyKey
from orchestrator.transaction import Transaction

HEADER = "Idempotency-Key"
LENGTH_LIMIT = 255
UNFINISHED = 0


class KeyTaken(Exception):  # noqa: N818  (an outcome, not an error)
    """Another request with this key has been, or is being, answered."""


@dataclass(frozen=True)
class Key:
    text: str
    request_digest: str

    @classmethod
    def of(cls, request: Request, fingerprint: str) -> Key | None:
        """The request's key, if it names one; `fingerprint` stands for its body."""
        text = request.headers.get(HEADER)
        if text is None:
            return None
        if not 1 <= len(text) <= LENGTH_LIMIT or not (text.isascii() and text.isprintable()):
            raise Invalid.field(HEADER, f"it must be 1 to {LENGTH_LIMIT} printable ASCII characters")
        whole = "\n".join((request.method, request.path, fingerprint))
        return cls(text, hashlib.sha256(whole.encode()).hexdigest())


@dataclass(frozen=True)
class Minted:
    """A secret that an answer tells once, in its field `name`.

    It is derived from a number used once, so that the answer can be given again without the secret being
    kept: whoever reads the database learns the number, which says nothing without the secret key.
    """

    name: str
    key: bytes = field(repr=False)
    form: Callable[[bytes], str] = field(repr=False)
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    given: str = field(default="", repr=False)  # chosen by the caller instead

    @classmethod
    def by(cls, config: Config, name: str, form: Callable[[bytes], str], given: str = "") -> Minted:
        return cls(name, config.derived_key("minted"), form, given=given)

    @property
    def value(self) -> str:
        return self.value_of(self.nonce)

    def value_of(self, nonce: str) -> str:
        return self.given or self.form(hmac.new(self.key, nonce.encode(), hashlib.sha256).digest())


def take(tx: Transaction, key: Key) -> None:
    """Claim the key for this transaction, or raise `KeyTaken`."""
    try:
        tx.execute(insert(IdempotencyKey), _row(tx, key, UNFINISHED, None))
    except exc.IntegrityError:
        raise KeyTaken from None


def keep(tx: Transaction, key: Key, status: int, answer: Any, minted: Minted | None) -> None:
    """Store the answer, without its secret."""
    if minted is not None and answer.get(minted.name) is not None:
        hidden = {name: value for name, value in answer.items() if name != minted.name}
        answer = {"nonce": minted.nonce, "rest": hidden}
    tx.execute(_of(update(IdempotencyKey), tx, key).values(status_code=status, answer=answer))


def keep_all(tx: Transaction, answered: Sequence[tuple[Key, int, Any]]) -> None:
    """Claim keys and store their answers, status beside them, in one step.

    Raises `IntegrityError` where one of them was used before: the transaction must then be rolled back.
    """
    rows = [_row(tx, key, status, answer) for key, status, answer in answered]
    if rows:
        tx.execute(insert(IdempotencyKey), rows)


def _row(tx: Transaction, key: Key, status: int, answer: Any) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "key": key.text,
        "request_digest": key.request_digest,
        "status_code": status,
        "answer": answer,
        "created_at": tx.now,
    }


def replay(tx: Transaction, key: Key, minted: Minted | None) -> tuple[int, Any]:
    """Status and answer of the first request. Raises `IdempotencyMismatch` where that was another one."""
    columns = (IdempotencyKey.request_digest, IdempotencyKey.status_code, IdempotencyKey.answer)
    row = tx.execute(_of(select(*columns), tx, key)).one_or_none()
    if row is None or row.status_code == UNFINISHED:
        raise Conflict(f"Another request with this {HEADER} is under way; try again shortly.")
    if row.request_digest != key.request_digest:
        raise IdempotencyMismatch(
            f"This {HEADER} was used for a request with another path or body; choose a new key."
        )
    if minted is None or "nonce" not in row.answer:
        return row.status_code, row.answer
    told = row.answer["rest"] | {minted.name: minted.value_of(row.answer["nonce"])}
    return row.status_code, told


def forget(tx: Transaction, key: Key) -> None:
    """The answer was taken back: the same request may be made again."""
    tx.execute(_of(delete(IdempotencyKey), tx, key))


def _of(statement: Any, tx: Transaction, key: Key) -> Any:
    return statement.where(IdempotencyKey.tenant_id == tx.tenant_id, IdempotencyKey.key == key.text)
