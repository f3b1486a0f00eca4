"""The data path, the doors and the control path of the MCP gateway."""

__version__ = "0.1.0"
