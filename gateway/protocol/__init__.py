"""The MCP wire as pure functions: bytes and values in, bytes and values out. No I/O, clock or randomness."""
