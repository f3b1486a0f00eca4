"""The documented `mcp_chat` database, as MySQL shows it.

Which question: what may stand in a database that was made by that document? Pure. The rule: this is the document and
not our schema; it never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MCP_CHAT = """
users          id                int                                               NO   PRI  -                  auto_increment
users          username          varchar(50)                                       NO   UNI  -                  -
users          email             varchar(100)                                      NO   UNI  -                  -
users          hashed_password   varchar(200)                                      NO   -    -                  -
users          is_active         tinyint(1)                                        YES  -    1                  -
users          is_superuser      tinyint(1)                                        YES  -    0                  -
users          avatar            varchar(200)                                      YES  -    -                  -
users          phone             varchar(20)                                       YES  UNI  -                  -
users          full_name         varchar(100)                                      YES  -    -                  -
users          created_at        datetime                                          NO   -    CURRENT_TIMESTAMP  -
users          updated_at        datetime                                          NO   -    CURRENT_TIMESTAMP  update
chat_sessions  id                int                                               NO   PRI  -                  auto_increment
chat_sessions  title             varchar(200)                                      NO   -    -                  -
chat_sessions  user_id           int                                               NO   MUL  -                  -
chat_sessions  session_data      json                                              YES  -    -                  -
chat_sessions  created_at        datetime                                          NO   -    CURRENT_TIMESTAMP  -
chat_sessions  updated_at        datetime                                          NO   -    CURRENT_TIMESTAMP  update
chat_sessions  is_active         tinyint(1)                                        NO   -    1                  -
chat_messages  id                int                                               NO   PRI  -                  auto_increment
chat_messages  session_id        int                                               NO   MUL  -                  -
chat_messages  message_type      enum('user','assistant','system')                 NO   MUL  -                  -
chat_messages  content           text                                              NO   -    -                  -
chat_messages  message_metadata  json                                              YES  -    -                  -
chat_messages  created_at        datetime                                          NO   -    CURRENT_TIMESTAMP  -
chat_messages  updated_at        datetime                                          NO   -    CURRENT_TIMESTAMP  update
chat_messages  is_active         tinyint(1)                                        NO   -    1                  -
mcp_servers    id                int                                               NO   PRI  -                  auto_increment
mcp_servers    name              varchar(100)                                      NO   -    -                  -
mcp_servers    description       text                                              YES  -    -                  -
mcp_servers    host              varchar(200)                                      NO   MUL  -                  -
mcp_servers    port              int                                               NO   -    -                  -
mcp_servers    status            enum('online','offline','maintenance')            YES  MUL  offline            -
mcp_servers    capabilities      json                                              YES  -    -                  -
mcp_servers    server_metadata   json                                              YES  -    -                  -
mcp_servers    response_time     float                                             YES  -    -                  -
mcp_servers    success_rate      float                                             YES  -    -                  -
mcp_servers    server_load       float                                             YES  -    -                  -
mcp_servers    created_at        datetime                                          NO   -    CURRENT_TIMESTAMP  -
mcp_servers    updated_at        datetime                                          NO   -    CURRENT_TIMESTAMP  update
server_calls   id                int                                               NO   PRI  -                  auto_increment
server_calls   server_id         int                                               NO   MUL  -                  -
server_calls   session_id        int                                               NO   MUL  -                  -
server_calls   message_id        int                                               NO   MUL  -                  -
server_calls   request_data      json                                              NO   -    -                  -
server_calls   response_data     json                                              YES  -    -                  -
server_calls   status            enum('success','failed','timeout','in_progress')  NO   MUL  -                  -
server_calls   error_message     text                                              YES  -    -                  -
server_calls   response_time     float                                             YES  -    -                  -
server_calls   created_at        datetime                                          NO   -    CURRENT_TIMESTAMP  -
server_calls   updated_at        datetime                                          NO   -    CURRENT_TIMESTAMP  update
"""  # noqa: E501
"""Table, column, type, whether it takes NULL, key, default, and what else happens by itself; `-` is nothing."""

RELATIONS: tuple[tuple[str, str, str], ...] = (
    ("chat_messages", "session_id", "chat_sessions"),
    ("chat_sessions", "user_id", "users"),
    ("server_calls", "server_id", "mcp_servers"),
    ("server_calls", "session_id", "chat_sessions"),
    ("server_calls", "message_id", "chat_messages"),
)
"""The documented foreign keys: table, column, and the table whose `id` it holds."""


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """One column, in the words of the table above: lower case, without display widths, MariaDB's words as MySQL's."""

    type: str
    null: bool
    key: str | None
    default: str | None
    extra: str | None

    def __str__(self) -> str:
        """As one would write it in a CREATE TABLE."""
        default = f" DEFAULT {_literal(self.default)}" if self.default else ""
        update = " ON UPDATE CURRENT_TIMESTAMP" if self.extra == "update" else ""
        count = " AUTO_INCREMENT" if self.extra == "auto_increment" else ""
        return f"{self.type}{'' if self.null else ' NOT NULL'}{default}{update}{count}"


def _literal(default: str) -> str:
    return default if default == "CURRENT_TIMESTAMP" or default.isdigit() else f"'{default}'"


Shapes = Mapping[str, Mapping[str, ColumnShape]]
"""Table, column, shape."""


def documented() -> Shapes:
    """The document as values."""
    shapes: dict[str, dict[str, ColumnShape]] = {}
    for line in MCP_CHAT.strip().splitlines():
        table, column, kind, null, *rest = line.split()
        key, default, extra = (None if word == "-" else word for word in rest)
        shapes.setdefault(table, {})[column] = ColumnShape(kind, null == "YES", key, default, extra)
    return shapes
