"""The servers, who watches them, and the gateways that share this database.

Which question: what is registered, how is it, and who takes care of it? Descriptions alone. The rule: hot state never
stands in a row that another table references, because a child's insert locks its parent.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, Table, Text, false, true

from storage.tables.base import ZERO, created, metadata, updated
from storage.types import Instant, JsonText, ascii_name, choice, digest, long_bytes, long_text, name, real, uid, varchar

mcp_servers = Table(
    "mcp_servers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", varchar(100), nullable=False),
    Column("description", Text),
    Column("host", varchar(200), nullable=False),
    Column("port", Integer, nullable=False),
    Column("status", choice("online", "offline", "maintenance"), server_default="offline"),
    Column("capabilities", JsonText),
    Column("server_metadata", JsonText),
    Column("response_time", real()),
    Column("success_rate", real()),
    Column("server_load", real()),
    created(),
    updated(),
    Column("slug", ascii_name(64)),
    Column("origin", varchar(8), nullable=False, server_default="adopted"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("maintenance", Boolean, nullable=False, server_default=false()),
    Column("position", Integer, nullable=False, server_default=ZERO),
    Column("spec", JsonText),
    Column("spec_sha256", digest()),
    Column("file_revision", BigInteger),
    Index("ix_mcp_servers_host", "host"),
    Index("ix_mcp_servers_status", "status"),
    Index("uq_mcp_servers_slug", "slug", unique=True),
)
"""`origin`: config, api or adopted; `position`: the place in the file; `spec`: the registration as JSON text with
its `${VAR}`s unresolved. `maintenance` is the administrator's wish, `status` what the monitor shows.
"""

server_health = Table(
    "server_health",
    metadata,
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
)
"""Hot state. Nothing references this table and it references nothing: a child's insert would lock its parent."""

server_transitions = Table(
    "server_transitions",
    metadata,
    Column("server_id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("from_state", varchar(12), nullable=False),
    Column("to_state", varchar(12), nullable=False),
    Column("reason", varchar(64), nullable=False),
    Column("detail", varchar(1000)),
    Column("replica_id", uid(), nullable=False),
    Column("lease_token", BigInteger, nullable=False),
    Index("ix_server_transitions_at", "at"),
)

server_catalogs = Table(
    "server_catalogs",
    metadata,
    Column("server_id", Integer, primary_key=True, autoincrement=False),
    Column("fetched_at", Instant, nullable=False),
    Column("sha256", digest(), nullable=False),
    Column("era", varchar(10), nullable=False),
    Column("protocol_version", varchar(32), nullable=False),
    Column("instructions", long_text()),
    Column("server_info", long_text()),
    Column("capabilities", long_text()),
    Column("tools", long_bytes(), nullable=False),
    Column("prompts", long_bytes()),
    Column("resources", long_bytes()),
    Column("templates", long_bytes()),
)
"""The last good catalog of each server; `server_info`, `capabilities` and what it lists are its own JSON."""

replicas = Table(
    "replicas",
    metadata,
    Column("id", uid(), primary_key=True),
    Column("name", varchar(255), nullable=False),
    Column("version", varchar(32), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("draining", Boolean, nullable=False, server_default=false()),
    Column("in_flight", JsonText),
)

leases = Table(
    "leases",
    metadata,
    Column("name", name(100), primary_key=True),
    Column("owner", uid()),
    Column("token", BigInteger, nullable=False, server_default=ZERO),
    Column("until", Instant, nullable=False),
)

generations = Table(
    "generations",
    metadata,
    Column("name", varchar(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""`registry` is bumped in the transaction of each change to the registry."""

client_sessions = Table(
    "client_sessions",
    metadata,
    Column("sid", uid(), primary_key=True),
    Column("user_id", Integer, nullable=False),
    Column("ended_at", Instant),
    Column("expires_at", Instant, nullable=False),
    Index(None, "expires_at"),
)
"""A row is written at the first fact that a sealed session id cannot carry; no row, no such fact."""
