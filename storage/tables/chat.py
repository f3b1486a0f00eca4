"""People and what they say: the tables of chat back ends, which the gateway keeps for them.

Which question: who are the users, and what was said in which session? Descriptions alone. The rule is that of
`storage.schema`: documented columns stay, others are nullable or have a default.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    false,
    text,
    true,
)

from storage.tables.base import ZERO, created, metadata, updated
from storage.types import Instant, JsonText, ascii_name, bigint, choice, long_text, name, uid, varchar

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
    created(),
    updated(),
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
    created(),
    updated(),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("public_id", uid()),
    Column("kind", ascii_name(8), nullable=False, server_default="chat"),
    Column("client_key", name(255)),
    Column("model_name", varchar(100)),
    Column("is_open", Boolean, nullable=False, server_default=true()),
    Column("next_position", Integer, nullable=False, server_default=ZERO),
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
    created(),
    updated(),
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
    Column("tokens", Integer, nullable=False, server_default=ZERO),
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
    Column("request_tokens", Integer, nullable=False, server_default=ZERO),
    Column("response_tokens", Integer, nullable=False, server_default=ZERO),
    Column("total_tokens", Integer, nullable=False, server_default=ZERO),
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
