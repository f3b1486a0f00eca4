"""The tables, as this version of the gateway needs them.

Which question: what does the database remember, in which columns? Touches nothing: these are descriptions.
The rule: the five documented tables (`users`, `chat_sessions`, `chat_messages`, `mcp_servers`, `server_calls`) keep
every documented column, and whatever is added to them is nullable or has a server default, because another back end
may go on inserting by the documented column list. A change here needs a migration; a test compares the two.

`docs/data-model.md` says which field of which chat back end lives in which column.
"""

from __future__ import annotations

from storage.tables.base import metadata
from storage.tables.calls import call_tallies, journals, server_call_payloads, server_calls
from storage.tables.chat import api_calls, chat_messages, chat_sessions, files, models, users
from storage.tables.fleet import (
    client_sessions,
    generations,
    leases,
    mcp_servers,
    replicas,
    server_catalogs,
    server_health,
    server_transitions,
)

__all__ = [
    "DOCUMENTED",
    "api_calls",
    "call_tallies",
    "chat_messages",
    "chat_sessions",
    "client_sessions",
    "files",
    "generations",
    "journals",
    "leases",
    "mcp_servers",
    "metadata",
    "models",
    "replicas",
    "server_call_payloads",
    "server_calls",
    "server_catalogs",
    "server_health",
    "server_transitions",
    "users",
]

DOCUMENTED = ("users", "chat_sessions", "chat_messages", "mcp_servers", "server_calls")
"""The tables of the documented `mcp_chat` database, parents first."""
