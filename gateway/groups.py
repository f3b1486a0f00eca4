"""The endpoints that stand in front of several servers, as the configuration asks for them.

Which question: which servers are behind `/mcp` and behind each `/groups/{name}/mcp`, under which names? Pure. The
rule: a group names servers as the file does; one that is disabled, or that the registry does not have, is absent.
"""

from __future__ import annotations

from gateway.routing import AGGREGATE, Selection, group_key
from gateway.settings import Config, Group


def selections(config: Config) -> tuple[Selection, ...]:
    """The aggregate, then the groups in the order of the file."""
    aggregate = Selection(AGGREGATE, prefixed=config.aggregate.names == "prefixed")
    return (aggregate, *(_selection(config, name, group) for name, group in config.groups.items()))


def _selection(config: Config, name: str, group: Group) -> Selection:
    slugs = frozenset(config.servers[server].slug for server in group.servers)
    return Selection(group_key(name), slugs, group.names == "prefixed", group.description)
