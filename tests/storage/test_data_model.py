"""docs/data-model.md: every field of the five documents has a home, and every home exists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from storage.documented import documented
from storage.schema import metadata

PAGE = Path(__file__).parent.parent.parent / "docs" / "data-model.md"
HEADING = re.compile(r"^## `([a-z-]+)`$")
ROW = re.compile(r"^\| `(\w+\.\w+)` \| `(\w+)\.(\w+)` \|")

DOCUMENTS: Mapping[str, Mapping[str, str]] = {
    "mcp-chat": {
        "chat_messages": "id session_id message_type content message_metadata created_at updated_at is_active",
        "chat_sessions": "id title user_id session_data created_at updated_at is_active",
        "mcp_servers": "id name description host port status capabilities server_metadata response_time success_rate"
        " server_load created_at updated_at",
        "server_calls": "id server_id session_id message_id request_data response_data status error_message"
        " response_time created_at updated_at",
        "users": "id username email hashed_password is_active is_superuser avatar phone full_name"
        " created_at updated_at",
    },
    "moe-chat": {
        "users": "id username email hashed_password full_name is_active role system_prompt created_at updated_at"
        " last_login_at",
        "models": "id display_name description is_active max_context_tokens has_thinking default_params service_url"
        " created_at updated_at",
        "chats": "id user_id title created_at updated_at",
        "messages": "id chat_id role content status position model_id created_at updated_at",
        "files": "id user_id filename file_path file_type file_size created_at message_id",
    },
    "model-api-calls": {
        "users": "id username email password_hash nickname avatar_url phone status created_at updated_at last_login_at",
        "conversations": "id user_id title model_name status created_at updated_at",
        "messages": "id conversation_id user_id role content_type content status created_at",
        "api_calls": "id user_id conversation_id message_id model_name api_endpoint request_content response_content"
        " status_code request_tokens response_tokens total_tokens call_duration client_ip user_agent created_at",
    },
    "stellarchat": {
        "sessions": "id title created_at updated_at is_active",
        "messages": "id session_id role content created_at tokens metadata",
    },
    "async-chat-backend": {
        "users": "id username email created_at",
        "conversations": "id user_id created_at",
        "messages": "id conversation_id role content created_at",
    },
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_field_has_one_home(document: str) -> None:
    fields = [f"{table}.{field}" for table, names in DOCUMENTS[document].items() for field in names.split()]
    assert sorted(field for field, _, _ in _homes()[document]) == sorted(fields)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_home_is_a_column(document: str) -> None:
    for field, table, column in _homes()[document]:
        assert column in metadata.tables[table].columns, f"{field} should live in {table}.{column}"


def test_no_document_is_forgotten_or_invented() -> None:
    assert _homes().keys() == DOCUMENTS.keys()


def test_the_canonical_fields_are_columns_of_the_same_name_and_nothing_else_is_taken_for_documented() -> None:
    assert all(field == f"{table}.{column}" for field, table, column in _homes()["mcp-chat"])
    assert {table: set(columns) for table, columns in documented().items()} == {
        table: set(names.split()) for table, names in DOCUMENTS["mcp-chat"].items()
    }


def _homes() -> Mapping[str, list[tuple[str, str, str]]]:
    """Document → (field, table, column), as the page's tables say."""
    homes: dict[str, list[tuple[str, str, str]]] = {}
    document = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            document = match[1] if (match := HEADING.match(line)) else ""
        elif document and (row := ROW.match(line)):
            homes.setdefault(document, []).append((row[1], row[2], row[3]))
    return homes
