"""The page that Prometheus scrapes, and what rendering it costs the event loop."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.metrics import CallMetrics, Exposition

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    CallMetrics(registry).refusal("parse")
    return registry


async def test_without_a_wish_the_prometheus_text_format_is_rendered(registry: CollectorRegistry) -> None:
    page = await Exposition(registry).page("")
    assert page.content_type.startswith("text/plain; version=0.0.4")
    assert "mcp_gateway_refusals" in {family.name for family in parse_text(page.body.decode())}


async def test_openmetrics_is_rendered_for_whoever_asks_as_prometheus_does(registry: CollectorRegistry) -> None:
    page = await Exposition(registry).page(OPENMETRICS)
    assert page.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert page.body.endswith(b"# EOF\n")
    assert "mcp_gateway_refusals" in {family.name for family in parse_openmetrics(page.body.decode())}


async def test_a_large_page_leaves_the_event_loop_free() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("size", "A page of 10,000 lines.", ["number"], registry=registry)
    for number in range(600):
        histogram.labels(number).observe(1)
    turns = 0
    rendering = asyncio.gather(Exposition(registry).page(""))
    while not rendering.done():
        await asyncio.sleep(0)
        turns += 1
    (page,) = rendering.result()
    assert page.body.count(b"\n") > 10_000
    assert turns > 3, "the page was rendered between two turns of the event loop"
