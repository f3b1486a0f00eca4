"""Everything that talks to an MCP server behind the gateway."""
