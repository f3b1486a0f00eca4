"""How long records are kept.

Which question: at which age does what go, and of which server? Pure. The rule: nothing goes that nobody has asked to
go: without a word in the configuration everything is kept for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from storage.settings import RetentionSettings, ServerRetention

FOREVER = "forever"
UNITS: Mapping[str, timedelta] = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
SIZES: Mapping[str, int] = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True)
class Ages:
    """When a server's calls go, and what was asked and answered in them; None: never."""

    calls: timedelta | None = None
    payloads: timedelta | None = None

    @property
    def strips(self) -> bool:
        """Whether payloads go before their calls do."""
        return self.payloads is not None and (self.calls is None or self.payloads < self.calls)


@dataclass(frozen=True, slots=True)
class Terms:
    """The whole of it: `servers` are those with ages of their own, by slug; `size` is in bytes; `others` are the calls
    that another application has written.
    """

    common: Ages = Ages()
    servers: Mapping[str, Ages] | None = None
    transitions: timedelta | None = None
    size: int | None = None
    others: bool = False

    @property
    def keeps_all(self) -> bool:
        ages = (self.common, *(self.servers or {}).values())
        by_age = any(one.calls is not None or one.payloads is not None for one in ages)
        return not (by_age or self.transitions is not None or self.size is not None)

    @property
    def shortest(self) -> timedelta | None:
        """The youngest age at which any call goes."""
        ages = (one.calls for one in (self.common, *(self.servers or {}).values()))
        return min((age for age in ages if age is not None), default=None)

    @property
    def longest(self) -> Ages:
        """The ages at which the calls of every server, and their payloads, are gone; None where some stay for ever."""
        ages = (self.common, *(self.servers or {}).values())
        gone = [one.payloads if one.strips else one.calls for one in ages]
        return Ages(_longest([one.calls for one in ages]), _longest(gone))

    def of(self, slug: str | None) -> Ages:
        """The ages of one server's calls."""
        return (self.servers or {}).get(slug or "", self.common)


def terms(common: RetentionSettings, servers: Mapping[str, ServerRetention | None]) -> Terms:
    """What the configuration says; `servers` by slug. Texts are as their patterns allow."""
    own = {slug: _over(common, one) for slug, one in servers.items() if one is not None}
    return Terms(
        Ages(age_of(common.calls), age_of(common.payloads)),
        own,
        age_of(common.transitions),
        None if common.size is None else size_of(common.size),
        common.others,
    )


def age_of(text: str) -> timedelta | None:
    """`90d` as a duration; None for `forever`."""
    return None if text == FOREVER else int(text[:-1]) * UNITS[text[-1]]


def size_of(text: str) -> int:
    """`20GB` in bytes."""
    return int(text[:-2]) * SIZES[text[-2:]]


def _over(common: RetentionSettings, own: ServerRetention) -> Ages:
    return Ages(age_of(own.calls or common.calls), age_of(own.payloads or common.payloads))


def _longest(ages: list[timedelta | None]) -> timedelta | None:
    known = [age for age in ages if age is not None]
    return max(known) if len(known) == len(ages) else None
