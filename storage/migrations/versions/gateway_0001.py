"""The documented `mcp_chat` database.

On MySQL and MariaDB to the letter: types, nullability, keys, defaults and what happens at an update. On SQLite and
PostgreSQL the same columns in their words, and where revision 2 widens or loosens one, wide and loose from the start.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Column, Integer, Text, false, text, true

from storage.migrations.steps import Columns, Shape, create, on_mysql
from storage.types import JsonText, Second, Touched, bigint, choice, long_text, name, real, varchar

revision = "gateway_0001"
down_revision = "gateway_0000"


def upgrade() -> None:
    create("users", users())
    create("chat_sessions", chat_sessions())
    create("chat_messages", chat_messages())
    create("mcp_servers", mcp_servers())
    create("server_calls", server_calls())


def users() -> Shape:
    columns: Columns = [
        Column("id", Integer, primary_key=True),
        Column("username", name(50), nullable=False),
        Column("email", name(100), nullable=not on_mysql()),
        Column("hashed_password", varchar(200 if on_mysql() else 255), nullable=False),
        Column("is_active", Boolean, server_default=true()),
        Column("is_superuser", Boolean, server_default=false()),
        Column("avatar", varchar(200 if on_mysql() else 500)),
        Column("phone", varchar(20)),
        Column("full_name", varchar(100)),
        *_times(),
    ]
    return Shape(columns=columns, unique=[("username",), ("email",), ("phone",)])


def chat_sessions() -> Shape:
    columns: Columns = [
        Column("id", Integer, primary_key=True),
        Column("title", varchar(200), nullable=False)
        if on_mysql()
        else Column("title", varchar(255), nullable=False, server_default=""),
        Column("user_id", Integer, nullable=False),
        Column("session_data", JsonText),
        *_times(),
        Column("is_active", Boolean, nullable=False, server_default=true()),
    ]
    return Shape(columns=columns, keys=[("user_id",)], references={"user_id": "users"})


def chat_messages() -> Shape:
    columns: Columns = [
        Column("id", Integer, primary_key=True),
        Column("session_id", Integer, nullable=False),
        Column("message_type", choice("user", "assistant", "system"), nullable=False),
        Column("content", Text() if on_mysql() else long_text(), nullable=False),
        Column("message_metadata", JsonText),
        *_times(),
        Column("is_active", Boolean, nullable=False, server_default=true()),
    ]
    return Shape(
        columns=columns,
        keys=[("session_id",), ("message_type",)],
        references={"session_id": "chat_sessions"},
    )


def mcp_servers() -> Shape:
    columns: Columns = [
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
        *_times(),
    ]
    return Shape(columns=columns, keys=[("host",), ("status",)])


def server_calls() -> Shape:
    columns: Columns = [
        Column("id", Integer() if on_mysql() else bigint(), primary_key=True),
        Column("server_id", Integer, nullable=False),
        Column("session_id", Integer, nullable=False),
        Column("message_id", Integer, nullable=False),
        Column("request_data", JsonText, nullable=False),
        Column("response_data", JsonText),
        Column("status", choice("success", "failed", "timeout", "in_progress"), nullable=False),
        Column("error_message", Text),
        Column("response_time", real()),
        *_times(),
    ]
    return Shape(
        columns=columns,
        keys=[("server_id",), ("session_id",), ("message_id",), ("status",)],
        references={"server_id": "mcp_servers", "session_id": "chat_sessions", "message_id": "chat_messages"},
    )


def _times() -> tuple[Column[datetime], Column[datetime]]:
    return (
        Column("created_at", Second, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
        Column("updated_at", Second, nullable=False, server_default=Touched()),
    )
