"""The schema's one history, for SQLite, MariaDB and PostgreSQL alike."""
