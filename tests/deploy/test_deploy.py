"""What the files under deploy/ and dashboards/ name exists, and our own programs accept them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.config import parse
from tests.support.prometheus import tool

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROVISIONING = ROOT / "dashboards" / "provisioning"


def yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def no_file(path: str) -> str:
    raise FileNotFoundError(path)


COMPOSE = yaml(DEPLOY / "compose.yaml")


def test_the_gateway_accepts_its_configuration_of_the_compose_file() -> None:
    text = (DEPLOY / "config.yaml").read_text(encoding="utf-8")
    env = {"DATABASE_URL": "mariadb://mcp:secret@database/mcp_chat", "GATEWAY_KEY_SHA256": "0" * 64}
    config = parse(text, source="deploy/config.yaml", env=env, read_file=no_file)
    assert (config.listen.port, config.metrics.listen) == (8080, "0.0.0.0:9464")
    assert not config.warnings


def test_every_file_that_is_mounted_exists() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    files = [mount.partition(":")[0] for mount in mounts if mount.startswith(".")]
    assert files
    assert [file for file in files if not (DEPLOY / file).exists()] == []


def test_every_volume_that_is_mounted_is_declared() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    named = {mount.partition(":")[0] for mount in mounts if not mount.startswith(".")}
    assert named == set(COMPOSE["volumes"])


def test_every_variable_of_the_compose_file_is_explained_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    example = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert example == wanted


def test_nothing_but_loopback_is_published() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_dashboard_is_mounted_where_grafana_is_told_to_look() -> None:
    (provider,) = yaml(PROVISIONING / "dashboards" / "mcp-gateway.yaml")["providers"]
    mounted = [mount.split(":")[1] for mount in COMPOSE["services"]["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/mcp-gateway.json" in mounted
    assert not provider["allowUiUpdates"]


def test_grafana_knows_the_scrape_interval() -> None:
    (source,) = yaml(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"]
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == yaml(DEPLOY / "prometheus.yml")["global"]["scrape_interval"]


def test_prometheus_scrapes_where_the_gateway_listens() -> None:
    (job,) = yaml(DEPLOY / "prometheus.yml")["scrape_configs"]
    _, _, port = yaml(DEPLOY / "config.yaml")["metrics"]["listen"].partition(":")
    assert job["static_configs"] == [{"targets": [f"gateway:{port}"]}]


@pytest.mark.parametrize("path", ["deploy/prometheus.yml", "dashboards/prometheus.yml"])
def test_promtool_accepts_the_prometheus_configuration(path: str) -> None:
    checked = subprocess.run([tool("promtool"), "check", "config", ROOT / path], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()
