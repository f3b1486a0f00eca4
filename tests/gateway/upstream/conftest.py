"""The transports are run on both event loops: asyncio's own, and uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

Factories = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]

ON_BOTH = frozenset({"test_child.py", "test_http.py", "test_stdio.py"})


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Factories:
    if item.path.name in ON_BOTH:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
