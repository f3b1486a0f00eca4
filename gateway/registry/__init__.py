"""The registry between the configuration file, the database and the servers that are served.

Which question: how do the file and the table `mcp_servers` become one another, and servers? Pure: configuration and
rows in, values out. The rule: the file is the source for its own rows, and a row is not trusted for being there.
"""

from __future__ import annotations

from gateway.registry.exporting import exported
from gateway.registry.planning import Plan, plan
from gateway.registry.serving import Served, served
from gateway.registry.wording import as_json, sentences

__all__ = ["Plan", "Served", "as_json", "exported", "plan", "sentences", "served"]
