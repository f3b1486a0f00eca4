"""How long the configuration keeps records.

Which question: what do the words of the admin mean for each server? Pure. The rule: what a server's own words leave out
is as for all.
"""

from __future__ import annotations

from datetime import timedelta

from gateway.settings import Config
from storage.retention import Rules, Terms


def rules(config: Config) -> Rules:
    """What may be deleted."""
    kept = config.retention
    return Rules(
        everywhere=_terms(kept.calls, kept.payloads),
        servers={
            spec.slug: _terms(spec.retention.calls or kept.calls, spec.retention.payloads or kept.payloads)
            for spec in config.servers.values()
            if spec.retention is not None
        },
        most_calls=kept.most_calls,
        health=_days(kept.health),
    )


def _terms(calls: float | None, payloads: float | None) -> Terms:
    return Terms(_days(calls), _days(payloads))


def _days(days: float | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)
