"""The operations endpoints over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import CollectorRegistry

from gateway.access import frontier
from gateway.http.operations import Operations
from gateway.http.readiness import Readiness, Reason
from gateway.metrics import CallMetrics, Exposition, ReadinessMetrics

GOOD = Reason("database", True, "reachable, schema current")
BAD = Reason("records", False, "too many records wait")
WARNING = Reason("configuration", False, "the last reload was refused", warning=True)

Client = TestClient[web.Request, web.Application]
Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
def serve(aiohttp_client: Callable[[web.Application], Awaitable[Client]]) -> Serve:
    async def serve(*reasons: Reason, bound: str = "127.0.0.1", hosts: tuple[str, ...] = ()) -> Client:
        async def report(reason: Reason) -> Reason:
            return reason

        checks = {reason.check: lambda reason=reason: report(reason) for reason in reasons}
        registry = CollectorRegistry()
        CallMetrics(registry).refusal("parse")
        census = {"up": 2, "down": 1}
        readiness = Readiness(checks, ReadinessMetrics(registry))
        operations = Operations(readiness, lambda: census, Exposition(registry))
        app, border = web.Application(), frontier(bound, hosts, ())
        app.add_routes([*operations.routes(lambda: border), *operations.metrics_routes(lambda: border)])
        return await aiohttp_client(app)

    return serve


async def test_a_running_gateway_is_alive_whatever_is_wrong(serve: Serve) -> None:
    client = await serve(BAD)
    response = await client.get("/livez")
    assert (response.status, await response.json()) == (200, {"status": "alive"})


async def test_a_ready_gateway_says_why(serve: Serve) -> None:
    client = await serve(GOOD)
    response = await client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {
        "status": "ready",
        "degraded": [],
        "checks": [{"name": "database", "ok": True, "reason": "reachable, schema current"}],
    }


async def test_one_failing_check_makes_it_unready_and_is_named(serve: Serve) -> None:
    client = await serve(GOOD, BAD)
    response = await client.get("/readyz")
    report = await response.json()
    assert (response.status, report["status"]) == (503, "unready")
    assert {"name": "records", "ok": False, "reason": "too many records wait"} in report["checks"]


async def test_a_warning_is_told_and_leaves_it_ready(serve: Serve) -> None:
    client = await serve(GOOD, WARNING)
    response = await client.get("/readyz")
    report = await response.json()
    assert (response.status, report["status"], report["degraded"]) == (200, "ready", ["configuration"])
    assert report["checks"][1] == {
        "name": "configuration",
        "ok": False,
        "reason": "the last reload was refused",
        "warning": True,
    }


@pytest.mark.parametrize(("reason", "status"), [(GOOD, 200), (BAD, 503)])
async def test_healthz_is_readyz_with_the_servers_by_state(serve: Serve, reason: Reason, status: int) -> None:
    client = await serve(reason)
    response = await client.get("/healthz")
    assert response.status == status
    assert (await response.json())["servers"] == {"up": 2, "down": 1}


@pytest.mark.trap(26)
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
async def test_head_answers_as_get_does_without_a_body(serve: Serve, path: str) -> None:
    client = await serve(GOOD)
    head, get = await client.head(path), await client.get(path)
    assert (head.status, await head.read()) == (get.status, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
async def test_no_cache_keeps_an_old_answer(serve: Serve, path: str) -> None:
    client = await serve(GOOD)
    assert (await client.get(path)).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
async def test_metrics_are_rendered_in_the_format_that_is_asked_for(serve: Serve, accept: str, media: str) -> None:
    client = await serve(GOOD)
    response = await client.get("/metrics", headers={"Accept": accept})
    assert response.status == 200
    assert response.headers["Content-Type"].startswith(media)
    assert 'mcp_gateway_refusals_total{reason="parse"} 1.0' in await response.text()


async def test_a_scrape_shows_readiness_and_what_is_degraded_as_they_are_now(serve: Serve) -> None:
    page = await (await (await serve(GOOD, WARNING)).get("/metrics")).text()
    assert "mcp_gateway_ready 1.0" in page
    assert 'mcp_gateway_degraded{part="configuration"} 1.0' in page
    assert 'mcp_gateway_degraded{part="database"} 0.0' in page
    assert "mcp_gateway_ready 0.0" in await (await (await serve(GOOD, BAD)).get("/metrics")).text()


@pytest.mark.trap(59)
@pytest.mark.parametrize("path", ["/readyz", "/healthz", "/metrics"])
async def test_a_page_whose_name_was_rebound_to_us_reads_nothing(serve: Serve, path: str) -> None:
    client = await serve(GOOD)
    rebound = await client.get(path, headers={"Host": "evil.example:8080"})
    assert (rebound.status, "mcp_gateway" in await rebound.text()) == (421, False)
    foreign = await client.get(path, headers={"Origin": "https://evil.example"})
    assert foreign.status == 403
    assert (await client.get("/livez", headers={"Host": "evil.example"})).status == 200


@pytest.mark.parametrize("host", ["10.1.2.3:8080", "[fd00::7]:8080", "mcp.example.com", ""])
async def test_probes_by_address_and_without_a_host_pass_whatever_names_are_served(serve: Serve, host: str) -> None:
    client = await serve(GOOD, bound="0.0.0.0", hosts=("mcp.example.com",))
    assert (await client.get("/readyz", headers={"Host": host})).status == 200
