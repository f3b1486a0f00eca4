"""The tables, as this version of the gateway needs them.

Which question: what does the database remember, in which columns? Touches nothing: these are descriptions.
The rule: the five documented tables (`users`, `chat_sessions`, `chat_messages`, `mcp_servers`, `server_calls`) keep
every documented column, and whatever is added to them is nullable or has a server default, because another back end
may go on inserting by the documented column list. A change here needs a migration; a test compares the two.

`docs/data-model.md` says which field of which chat back end lives in which column.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    false,
    text,
    true,
)

from storage.types import (
    Instant,
    JsonText,
    Second,
    Touched,
    ascii_name,
    bigint,
    choice,
    digest,
    long_bytes,
    long_text,
    name,
    real,
    tinyint,
    uid,
    varchar,
)

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMES)

DOCUMENTED = ("users", "chat_sessions", "chat_messages", "mcp_servers", "server_calls")
"""The tables of the documented `mcp_chat` database, parents first."""

NOW = text("CURRENT_TIMESTAMP")


def _created() -> Column[datetime]:
    return Column("created_at", Second, nullable=False, server_default=NOW)


def _updated() -> Column[datetime]:
    return Column("updated_at", Second, nullable=False, server_default=Touched(), onupdate=NOW)


users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("username", name(50), nullable=False),
    Column("email", name(100)),
    Column("hashed_password", varchar(255), nullable=False),
    Column("is_active", Boolean, server_default=true()),
    Column("is_superuser", Boolean, server_default=false()),
    Column("avatar", varchar(500)),
    Column("phone", varchar(20)),
    Column("full_name", varchar(100)),
    _created(),
    _updated(),
    Column("public_id", uid()),
    Column("nickname", varchar(100)),
    Column("system_prompt", Text),
    Column("last_login_at", Instant),
    Index("uq_users_username", "username", unique=True),
    Index("uq_users_email", "email", unique=True),
    Index("uq_users_phone", "phone", unique=True),
    Index("uq_users_public_id", "public_id", unique=True),
)
"""`username` and `email` are stored NFKC-casefolded. A password of `!` is matched by no hash."""

models = Table(
    "models",
    metadata,
    Column("id", name(255), primary_key=True),
    Column("display_name", varchar(255), nullable=False),
    Column("description", Text),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("max_context_tokens", Integer, nullable=False, server_default=text("4096")),
    Column("has_thinking", Boolean, nullable=False, server_default=false()),
    Column("default_params", JsonText),
    Column("service_url", varchar(500)),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

chat_sessions = Table(
    "chat_sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("title", varchar(255), nullable=False, server_default=""),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("session_data", JsonText),
    _created(),
    _updated(),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("public_id", uid()),
    Column("kind", ascii_name(8), nullable=False, server_default="chat"),
    Column("client_key", name(255)),
    Column("model_name", varchar(100)),
    Column("is_open", Boolean, nullable=False, server_default=true()),
    Column("next_position", Integer, nullable=False, server_default=text("0")),
    Index("ix_chat_sessions_user_id", "user_id"),
    Index("ix_chat_sessions_created_at", "created_at"),
    Index("uq_chat_sessions_public_id", "public_id", unique=True),
)
"""`kind`: `chat`, or `mcp` for the automatic session of calls that name none; `client_key` says whose it is."""

chat_messages = Table(
    "chat_messages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", ForeignKey("chat_sessions.id"), nullable=False),
    Column("message_type", choice("user", "assistant", "system"), nullable=False),
    Column("content", long_text(), nullable=False),
    Column("message_metadata", JsonText),
    _created(),
    _updated(),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("public_id", uid()),
    Column("user_id", ForeignKey("users.id")),
    Column(
        "content_type",
        choice("text", "image_url", "video_url"),
        nullable=False,
        server_default="text",
    ),
    Column(
        "status",
        choice("completed", "error", "pending"),
        nullable=False,
        server_default="completed",
    ),
    Column("position", Integer),
    Column("tokens", Integer, nullable=False, server_default=text("0")),
    Column("model_id", name(255), ForeignKey("models.id")),
    Index("ix_chat_messages_session_id", "session_id"),
    Index("ix_chat_messages_message_type", "message_type"),
    Index("ix_chat_messages_user_id", "user_id"),
    Index("ix_chat_messages_model_id", "model_id"),
    Index("ix_chat_messages_session_id_created_at", "session_id", "created_at"),
    Index("uq_chat_messages_public_id", "public_id", unique=True),
    Index("uq_chat_messages_session_id_position", "session_id", "position", unique=True),
)
"""`position` is NULL in rows of another back end; within one session `id` has their order."""

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
    _created(),
    _updated(),
    Column("slug", ascii_name(64)),
    Column("origin", varchar(8), nullable=False, server_default="adopted"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    Column("maintenance", Boolean, nullable=False, server_default=false()),
    Column("position", Integer, nullable=False, server_default=text("0")),
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
    Column("version", BigInteger, nullable=False, server_default=text("0")),
    Column("state", varchar(12), nullable=False, server_default="unknown"),
    Column("reason", varchar(64)),
    Column("since", Instant, nullable=False),
    Column("rise", SmallInteger, nullable=False, server_default=text("0")),
    Column("fall", SmallInteger, nullable=False, server_default=text("0")),
    Column("observed_at", Instant),
    Column("latency_us", BigInteger),
    Column("server_era", varchar(10)),
    Column("catalog_sha256", digest()),
    Column("lease_token", BigInteger, nullable=False, server_default=text("0")),
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
)
"""The last good catalog of each server; `server_info`, `capabilities` and `tools` are the server's own JSON."""

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
    _created(),
    _updated(),
    Column("call_uid", uid()),
    Column("record_state", tinyint(), nullable=False, server_default=text("2")),
    Column("outcome", varchar(16)),
    Column("reason", varchar(64)),
    Column("link", varchar(8)),
    Column("method", varchar(64)),
    Column("target", name(255)),
    Column("user_id", Integer),
    Column("api_key_id", Integer),
    Column("client_name", varchar(100)),
    Column("client_version", varchar(50)),
    Column("client_era", varchar(10)),
    Column("server_era", varchar(10)),
    Column("operation_uid", uid()),
    Column("round", SmallInteger, nullable=False, server_default=text("0")),
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
    Column("applied_frame", BigInteger, nullable=False, server_default=text("0")),
    Column("started_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("purged", BigInteger, nullable=False, server_default=text("0")),
    Column("set_aside", BigInteger, nullable=False, server_default=text("0")),
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
    Column("token", BigInteger, nullable=False, server_default=text("0")),
    Column("until", Instant, nullable=False),
)

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

generations = Table(
    "generations",
    metadata,
    Column("name", varchar(32), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""`registry` is bumped in the transaction of each change to the registry."""

files = Table(
    "files",
    metadata,
    Column("id", bigint(), primary_key=True),
    Column("public_id", uid(), nullable=False),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("message_id", ForeignKey("chat_messages.id")),
    Column("filename", varchar(255), nullable=False),
    Column("file_path", varchar(1000), nullable=False),
    Column("file_type", varchar(100), nullable=False),
    Column("file_size", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("uq_files_public_id", "public_id", unique=True),
    Index("ix_files_user_id", "user_id"),
    Index("ix_files_message_id", "message_id"),
)

api_calls = Table(
    "api_calls",
    metadata,
    Column("id", bigint(), primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("session_id", ForeignKey("chat_sessions.id")),
    Column("message_id", ForeignKey("chat_messages.id")),
    Column("model_name", varchar(100), nullable=False),
    Column("api_endpoint", varchar(255), nullable=False),
    Column("request_content", long_text()),
    Column("response_content", long_text()),
    Column("status_code", SmallInteger),
    Column("request_tokens", Integer, nullable=False, server_default=text("0")),
    Column("response_tokens", Integer, nullable=False, server_default=text("0")),
    Column("total_tokens", Integer, nullable=False, server_default=text("0")),
    Column("call_duration", Integer),
    Column("client_ip", varchar(45)),
    Column("user_agent", Text),
    Column("created_at", Instant, nullable=False),
    Index("ix_api_calls_session_id", "session_id"),
    Index("ix_api_calls_message_id", "message_id"),
    Index("ix_api_calls_created_at", "created_at"),
    Index("ix_api_calls_model_name", "model_name"),
    Index("ix_api_calls_user_id_model_name_created_at", "user_id", "model_name", "created_at"),
)
"""Calls of language models; `call_duration` is in milliseconds."""
