"""The fleet: how a server is registered, how it is, what it offers, and who watches it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, SmallInteger, false, text, true

from storage.migrations.steps import Columns, Shape, add, create
from storage.types import Instant, JsonText, ascii_name, digest, long_bytes, long_text, name, uid, varchar

revision = "gateway_0003"
down_revision = "gateway_0002"

ZERO = text("0")


def upgrade() -> None:
    add("mcp_servers", mcp_servers())
    create("server_health", server_health())
    create("server_transitions", server_transitions())
    create("server_catalogs", server_catalogs())
    create("replicas", replicas())
    create("leases", leases())
    create("generations", generations())


def mcp_servers() -> Shape:
    return Shape(
        columns=[
            Column("slug", ascii_name(64)),
            Column("origin", varchar(8), nullable=False, server_default="adopted"),
            Column("enabled", Boolean, nullable=False, server_default=true()),
            Column("maintenance", Boolean, nullable=False, server_default=false()),
            Column("position", Integer, nullable=False, server_default=ZERO),
            Column("spec", JsonText),
            Column("spec_sha256", digest()),
            Column("file_revision", BigInteger),
        ],
        unique=[("slug",)],
    )


def server_health() -> Shape:
    columns: Columns = [
        Column("server_id", Integer, primary_key=True, autoincrement=False),
        Column("version", BigInteger, nullable=False, server_default=ZERO),
        Column("state", varchar(12), nullable=False, server_default="unknown"),
        Column("reason", varchar(64)),
        Column("since", Instant, nullable=False),
        Column("rise", SmallInteger, nullable=False, server_default=ZERO),
        Column("fall", SmallInteger, nullable=False, server_default=ZERO),
        Column("observed_at", Instant),
        Column("latency_us", BigInteger),
        Column("server_era", varchar(10)),
        Column("catalog_sha256", digest()),
        Column("lease_token", BigInteger, nullable=False, server_default=ZERO),
    ]
    return Shape(columns=columns)


def server_transitions() -> Shape:
    columns: Columns = [
        Column("server_id", Integer, primary_key=True, autoincrement=False),
        Column("version", BigInteger, primary_key=True, autoincrement=False),
        Column("at", Instant, nullable=False),
        Column("from_state", varchar(12), nullable=False),
        Column("to_state", varchar(12), nullable=False),
        Column("reason", varchar(64), nullable=False),
        Column("detail", varchar(1000)),
        Column("replica_id", uid(), nullable=False),
        Column("lease_token", BigInteger, nullable=False),
    ]
    return Shape(columns=columns, keys=[("at",)])


def server_catalogs() -> Shape:
    columns: Columns = [
        Column("server_id", Integer, primary_key=True, autoincrement=False),
        Column("fetched_at", Instant, nullable=False),
        Column("sha256", digest(), nullable=False),
        Column("era", varchar(10), nullable=False),
        Column("protocol_version", varchar(32), nullable=False),
        Column("instructions", long_text()),
        Column("server_info", long_text()),
        Column("capabilities", long_text()),
        Column("tools", long_bytes(), nullable=False),
    ]
    return Shape(columns=columns)


def replicas() -> Shape:
    columns: Columns = [
        Column("id", uid(), primary_key=True),
        Column("name", varchar(255), nullable=False),
        Column("version", varchar(32), nullable=False),
        Column("started_at", Instant, nullable=False),
        Column("seen_at", Instant, nullable=False),
        Column("draining", Boolean, nullable=False, server_default=false()),
        Column("in_flight", JsonText),
    ]
    return Shape(columns=columns)


def leases() -> Shape:
    columns: Columns = [
        Column("name", name(100), primary_key=True),
        Column("owner", uid()),
        Column("token", BigInteger, nullable=False, server_default=ZERO),
        Column("until", Instant, nullable=False),
    ]
    return Shape(columns=columns)


def generations() -> Shape:
    columns: Columns = [
        Column("name", varchar(32), primary_key=True),
        Column("value", BigInteger, nullable=False),
    ]
    return Shape(columns=columns)
