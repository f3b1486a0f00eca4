"""How long the configuration keeps records.

Which question: what do the common section and each server say, taken together? Pure. The rule: a server that the
configuration does not name is kept as the common section says.
"""

from __future__ import annotations

from gateway.settings import Config
from storage.retention import Terms, terms


def terms_of(config: Config) -> Terms:
    """The terms; `config.servers` have their slugs."""
    return terms(config.retention, {one.slug: one.retention for one in config.servers.values()})
