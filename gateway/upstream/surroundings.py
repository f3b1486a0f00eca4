"""What everything around one server shares.

Which question: with which settings, clock and company does this server's code work? Values only. The rule: one of
these exists per server, and nothing in it is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.upstream.asking import Asker
from gateway.upstream.eras import Eras
from gateway.upstream.values import NOBODY, Audience, Terms, UpstreamEvents
from storage.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`clock` gives monotonic seconds; `tasks` owns what runs in the background; `audience` hears what the
    server says outside any call.
    """

    terms: Terms
    eras: Eras
    asker: Asker
    tasks: Tasks
    events: UpstreamEvents
    clock: Callable[[], float]
    audience: Audience = NOBODY
