"""Rows that people call by name: unique within a tenant, and found by name or public id."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, or_, select

from orchestrator.database import kept_guid
from orchestrator.errors import AlreadyExists, NotFound
from orchestrator.transaction import Transaction


class Named:
    """The rows of `model`, which has tenant_id, public_id and name; `noun` is what errors call one."""

    def __init__(self, model: Any, noun: str) -> None:
        self._noun = noun
        self._find = select(*model.__table__.columns).where(
            model.tenant_id == bindparam("p_tenant_id"),
            or_(model.name == bindparam("p_key"), model.public_id == bindparam("p_id")),
        )

    def find(self, tx: Transaction, key: str) -> Any | None:
        asked = {"p_tenant_id": tx.tenant_id, "p_key": key, "p_id": kept_guid(key)}
        return tx.execute(self._find, asked).first()

    def existing(self, tx: Transaction, key: str) -> Any:
        """Raises `NotFound`."""
        row = self.find(tx, key)
        if row is None:
            raise NotFound(f"There is no {self._noun} {key!r}.")
        return row

    def refuse_double(self, tx: Transaction, name: str) -> None:
        """Raises `AlreadyExists` where the name is taken."""
        if self.find(tx, name) is not None:
            raise AlreadyExists(f"There is already a {self._noun} named {name!r}; names are unique.")
