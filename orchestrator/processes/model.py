"""Processes, their immutable versions, and the packages that these are made of."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class Process(OwnedByTenant, Base):
    __tablename__ = "processes"
    __table_args__ = (Index("uq_processes_tenant_id_name", "tenant_id", "name", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    name: Mapped[str] = mapped_column(Name(120))
    description: Mapped[str] = mapped_column(String(1000), default="")
    newest_version: Mapped[int] = mapped_column(default=0)
    stalled_after_seconds: Mapped[int | None]  # for new jobs: how long a run may make no progress
    on_stalled: Mapped[str] = mapped_column(String(10), server_default="tell")  # tell, abort
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProcessVersion(OwnedByTenant, Base):
    __tablename__ = "process_versions"
    __table_args__ = (Index("uq_process_versions_process_id_version", "process_id", "version", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    process_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int]
    file_name: Mapped[str] = mapped_column(String(255))
    entry: Mapped[str] = mapped_column(
        String(255)
    )  # the script to run: the .py itself, or a name in the .zip
    package_id: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Package(OwnedByTenant, Base):
    """The bytes of a version, once for each digest and tenant."""

    __tablename__ = "packages"
    __table_args__ = (Index("uq_packages_tenant_id_sha256", "tenant_id", "sha256", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)


class PackageChunk(OwnedByTenant, Base):
    """A mebibyte of a package: a whole one may be larger than the database takes in one packet."""

    __tablename__ = "package_chunks"

    package_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary().with_variant(mysql.MEDIUMBLOB, "mysql"))
