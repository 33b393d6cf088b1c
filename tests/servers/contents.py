"""What the tables of a migrated database hold, to be put back after a test."""

from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import Connection, Engine, MetaData, Table, select, text

# Rows can point at each other in a circle, and go in any order only while nobody looks.
WITHOUT_FOREIGN_KEYS = {
    "mysql": "SET SESSION foreign_key_checks = 0",
    "mariadb": "SET SESSION foreign_key_checks = 0",
    "postgresql": "SET LOCAL session_replication_role = replica",
}


@dataclass(frozen=True)
class Contents:
    """All tables and all their rows; small, as a migration leaves few."""

    rows: dict[Table, list[dict[str, Any]]]

    @classmethod
    def of(cls, engine: Engine) -> Self:
        """Read everything."""
        metadata = MetaData()
        metadata.reflect(engine)
        with engine.connect() as connection:
            return cls({table: _rows(connection, table) for table in metadata.tables.values()})

    def restore(self, engine: Engine) -> None:
        """Delete every row and insert those that were there first, in one transaction."""
        with engine.begin() as connection:
            connection.execute(text(WITHOUT_FOREIGN_KEYS[engine.dialect.name]))
            for table, rows in self.rows.items():
                connection.execute(table.delete())
                if rows:
                    connection.execute(table.insert(), rows)


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    columns = [column for column in table.columns if column.computed is None]  # those nobody may write
    return [dict(row) for row in connection.execute(select(*columns)).mappings()]
