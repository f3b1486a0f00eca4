"""The records of calls.

Which question: what was called, with what, and how did it end? Descriptions alone. The rule: a row only grows, by the
rank in `record_state`; its identity is `call_uid`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, SmallInteger, Table, Text, text

from storage.tables.base import ZERO, created, metadata, updated
from storage.types import (
    Instant,
    JsonText,
    Second,
    bigint,
    choice,
    digest,
    long_bytes,
    name,
    real,
    tinyint,
    uid,
    varchar,
)

server_calls = Table(
    "server_calls",
    metadata,
    Column("id", bigint(), primary_key=True),
    Column("server_id", ForeignKey("mcp_servers.id"), nullable=False),
    Column("session_id", ForeignKey("chat_sessions.id"), nullable=False),
    Column("message_id", ForeignKey("chat_messages.id"), nullable=False),
    Column("request_data", JsonText, nullable=False),
    Column("response_data", JsonText),
    Column("status", choice("success", "failed", "timeout", "in_progress"), nullable=False),
    Column("error_message", Text),
    Column("response_time", real()),
    created(),
    updated(),
    Column("call_uid", uid()),
    Column("record_state", tinyint(), nullable=False, server_default=text("2")),
    Column("outcome", varchar(16)),
    Column("reason", varchar(64)),
    Column("link", varchar(8)),
    Column("method", varchar(64)),
    Column("target", name(255)),
    Column("user_id", Integer),
    Column("api_key_id", Integer),
    Column("key_name", varchar(64)),
    Column("client_name", varchar(100)),
    Column("client_version", varchar(50)),
    Column("client_era", varchar(10)),
    Column("server_era", varchar(10)),
    Column("operation_uid", uid()),
    Column("round", SmallInteger, nullable=False, server_default=ZERO),
    Column("attempts", SmallInteger, nullable=False, server_default=text("1")),
    Column("trace_id", uid()),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("total_us", BigInteger),
    Column("upstream_us", BigInteger),
    Column("request_bytes", BigInteger),
    Column("response_bytes", BigInteger),
    Column("journal_id", BigInteger),
    Column("journal_seq", BigInteger),
    Index("ix_server_calls_server_id", "server_id"),
    Index("ix_server_calls_session_id", "session_id"),
    Index("ix_server_calls_message_id", "message_id"),
    Index("ix_server_calls_status", "status"),
    Index("uq_server_calls_call_uid_created_at", "call_uid", "created_at", unique=True),
    Index("ix_server_calls_created_at_id", "created_at", "id"),
    Index("ix_server_calls_server_id_created_at", "server_id", "created_at"),
    Index("ix_server_calls_user_id_created_at", "user_id", "created_at"),
    Index("ix_server_calls_session_id_created_at", "session_id", "created_at"),
    Index("ix_server_calls_target_created_at", "target", "created_at"),
    Index("ix_server_calls_outcome_created_at", "outcome", "created_at"),
    Index("ix_server_calls_record_state_created_at", "record_state", "created_at"),
    Index("ix_server_calls_journal_id_journal_seq", "journal_id", "journal_seq"),
)
"""One row per forwarded request. `call_uid` is NULL in rows of another back end; `created_at` is the second inside
`call_uid`; `record_state` is the rank of `storage.records.RecordState`.
"""

server_call_payloads = Table(
    "server_call_payloads",
    metadata,
    Column("created_at", Second, primary_key=True),
    Column("call_uid", uid(), primary_key=True),
    Column("part", tinyint(), primary_key=True, autoincrement=False),
    Column("body", long_bytes(), nullable=False),
    Column("encoding", varchar(8), nullable=False, server_default="identity"),
    Column("total_bytes", BigInteger, nullable=False),
    Column("sha256", digest(), nullable=False),
)
"""Exact bytes of a call, redacted and capped; `part` 0 is the request, 1 the response. `created_at` is the call's;
`sha256` and `total_bytes` are of the redacted, uncapped bytes.
"""

journals = Table(
    "journals",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("replica_id", uid(), nullable=False),
    Column("worker", SmallInteger, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("applied_frame", BigInteger, nullable=False, server_default=ZERO),
    Column("started_seq", BigInteger, nullable=False, server_default=ZERO),
    Column("purged", BigInteger, nullable=False, server_default=ZERO),
    Column("set_aside", BigInteger, nullable=False, server_default=ZERO),
    Index("ix_journals_replica_id", "replica_id"),
)

call_tallies = Table(
    "call_tallies",
    metadata,
    Column("hour", Second, primary_key=True),
    Column("server_id", Integer, primary_key=True, autoincrement=False),
    Column("outcome", varchar(16), primary_key=True),
    Column("journal_id", BigInteger, primary_key=True, autoincrement=False),
    Column("calls", BigInteger, nullable=False),
    Column("total_us", BigInteger, nullable=False),
)
