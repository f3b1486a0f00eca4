"""People and what they say: users, chat sessions and messages grow what the other chat back ends keep of them; models,
files and calls of models get tables; the local user arrives.
"""

from __future__ import annotations

from uuid import uuid4

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    SmallInteger,
    String,
    Text,
    column,
    false,
    insert,
    select,
    table,
    text,
    true,
)

from storage.migrations.steps import Columns, Shape, add, create
from storage.migrations.widening import Wider
from storage.types import Instant, JsonText, ascii_name, bigint, choice, long_text, name, uid, varchar

revision = "gateway_0002"
down_revision = "gateway_0001"

ZERO = text("0")
LOCAL = "local"
NO_HASH = "!"


def upgrade() -> None:
    create("models", models())
    add("users", users())
    add("chat_sessions", chat_sessions())
    add("chat_messages", chat_messages())
    create("files", files())
    create("api_calls", api_calls())
    invite_local_user()


def models() -> Shape:
    columns: Columns = [
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
    ]
    return Shape(columns=columns)


def users() -> Shape:
    return Shape(
        columns=[
            Column("public_id", uid()),
            Column("nickname", varchar(100)),
            Column("system_prompt", Text),
            Column("last_login_at", Instant),
        ],
        wider={
            "email": Wider("VARCHAR(100)", nullable=True),
            "hashed_password": Wider("VARCHAR(255)"),
            "avatar": Wider("VARCHAR(500)"),
        },
        unique=[("public_id",)],
    )


def chat_sessions() -> Shape:
    return Shape(
        columns=[
            Column("public_id", uid()),
            Column("kind", ascii_name(8), nullable=False, server_default="chat"),
            Column("client_key", name(255)),
            Column("model_name", varchar(100)),
            Column("is_open", Boolean, nullable=False, server_default=true()),
            Column("next_position", Integer, nullable=False, server_default=ZERO),
        ],
        wider={"title": Wider("VARCHAR(255)", default="")},
        keys=[("created_at",)],
        unique=[("public_id",)],
    )


def chat_messages() -> Shape:
    return Shape(
        columns=[
            Column("public_id", uid()),
            Column("user_id", Integer),
            Column("content_type", choice("text", "image_url", "video_url"), nullable=False, server_default="text"),
            Column("status", choice("completed", "error", "pending"), nullable=False, server_default="completed"),
            Column("position", Integer),
            Column("tokens", Integer, nullable=False, server_default=ZERO),
            Column("model_id", name(255)),
        ],
        wider={"content": Wider("LONGTEXT")},
        keys=[("user_id",), ("model_id",), ("session_id", "created_at")],
        unique=[("public_id",), ("session_id", "position")],
        references={"user_id": "users", "model_id": "models"},
    )


def files() -> Shape:
    columns: Columns = [
        Column("id", bigint(), primary_key=True),
        Column("public_id", uid(), nullable=False),
        Column("user_id", Integer, nullable=False),
        Column("message_id", Integer),
        Column("filename", varchar(255), nullable=False),
        Column("file_path", varchar(1000), nullable=False),
        Column("file_type", varchar(100), nullable=False),
        Column("file_size", BigInteger, nullable=False),
        Column("created_at", Instant, nullable=False),
    ]
    return Shape(
        columns=columns,
        keys=[("user_id",), ("message_id",)],
        unique=[("public_id",)],
        references={"user_id": "users", "message_id": "chat_messages"},
    )


def api_calls() -> Shape:
    columns: Columns = [
        Column("id", bigint(), primary_key=True),
        Column("user_id", Integer, nullable=False),
        Column("session_id", Integer),
        Column("message_id", Integer),
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
    ]
    return Shape(
        columns=columns,
        keys=[
            ("session_id",),
            ("message_id",),
            ("created_at",),
            ("model_name",),
            ("user_id", "model_name", "created_at"),
        ],
        references={"user_id": "users", "session_id": "chat_sessions", "message_id": "chat_messages"},
    )


def invite_local_user() -> None:
    """Whose calls those are that reach a loopback gateway without a key; no hash matches the password."""
    people = table("users", column("username", String), column("hashed_password", String), column("public_id", String))
    connection = op.get_bind()
    if connection.execute(select(people.c.username).where(people.c.username == LOCAL)).first() is None:
        connection.execute(insert(people).values(username=LOCAL, hashed_password=NO_HASH, public_id=uuid4().hex))
