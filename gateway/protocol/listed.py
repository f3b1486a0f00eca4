"""What servers list: four kinds of things, each with a method, a name and a notification of its own.

Which question: how is this kind of thing listed and told apart? Pure; a table.

MCP 2026-07-28 `server/tools`, `server/prompts`, `server/resources`; the same in MCP 2025-11-25.
"""

from __future__ import annotations

from enum import StrEnum


class Listed(StrEnum):
    """A kind; its value is the member of a list's result that holds the entries."""

    TOOLS = "tools"
    PROMPTS = "prompts"
    RESOURCES = "resources"
    TEMPLATES = "resourceTemplates"

    @property
    def method(self) -> str:
        """The method that lists them."""
        return "resources/templates/list" if self is Listed.TEMPLATES else f"{self}/list"

    @property
    def key(self) -> str:
        """The member that tells one entry from another."""
        return {Listed.RESOURCES: "uri", Listed.TEMPLATES: "uriTemplate"}.get(self, "name")

    @property
    def capability(self) -> str:
        """What a server that lists them advertises."""
        return "resources" if self is Listed.TEMPLATES else self.value

    @property
    def changed(self) -> str:
        """The notification that says that the list has changed."""
        return f"notifications/{self.capability}/list_changed"
