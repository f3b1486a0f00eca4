"""An `mcp_chat` database as another chat back end made it, and that back end at work.

It was made by MySQL statements of its own, in its own style (comments, named keys, times of Shanghai), and holds what
such databases hold: Chinese names, names used twice, rows whose parents are gone, and a revision of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database

FOREIGN_REVISION = "3f2a9c1b7d04"

STATEMENTS = [one for one in Path(__file__).with_suffix(".sql").read_text("utf-8").split(";\n") if one]

INSERTS: Mapping[str, str] = {
    "users": "INSERT INTO users (username, email, hashed_password) VALUES ('liming', 'liming@example.cn', 'x')",
    "chat_sessions": (
        "INSERT INTO chat_sessions (title, user_id) SELECT '新会话', id FROM users WHERE username = 'liming'"
    ),
    "chat_messages": (
        "INSERT INTO chat_messages (session_id, message_type, content, message_metadata)"
        " SELECT id, 'user', '你好 😀', '{\"k\": 1}' FROM chat_sessions WHERE title = '新会话'"
    ),
    "mcp_servers": "INSERT INTO mcp_servers (name, host, port, status) VALUES ('新服务', '127.0.0.1', 9, 'online')",
    "server_calls": (
        "INSERT INTO server_calls"
        " (server_id, session_id, message_id, request_data, response_data, status, response_time)"
        " SELECT s.id, m.session_id, m.id, '{}', '[1]', 'success', 1.5 FROM mcp_servers s, chat_messages m"
        " WHERE s.name = '新服务' AND m.content = '你好 😀'"
    ),
}
"""The other back end at work: each table by the documented columns, as it knows no others. Any engine runs these."""


async def make(db: Database) -> None:
    """Make the other back end's database, with its rows."""
    async with db.writing() as connection:
        await connection.exec_driver_sql("SET foreign_key_checks = 0")
        for statement in STATEMENTS:
            await connection.exec_driver_sql(statement.replace("%", "%%"))
        await connection.exec_driver_sql("SET foreign_key_checks = 1")


async def work(connection: AsyncConnection, *tables: str) -> None:
    """Let the other back end insert a row into these tables, or into every one."""
    for table in tables or INSERTS:
        done = await connection.execute(text(INSERTS[table].replace('": ', '"\\: ')))
        assert done.rowcount == 1, table
