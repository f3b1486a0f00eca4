"""README.md and docs/: what they name exists, and what an operator reads in Prometheus is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboards.synthetic import SyntheticGateway

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = ("gateway", "health", "storage", "tests", "dashboards", "deploy", "docs")


def outside_code(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names by which GitHub knows the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", outside_code(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    for target in re.findall(r"\]\(([^)\s]+)\)", outside_code(page)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    missing = [f"{path}#{anchor}" for path, anchor in links(page) if not path.exists()]
    missing += [
        f"{path}#{anchor}" for path, anchor in links(page) if anchor and path.exists() and anchor not in anchors(path)
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_ours_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{'|'.join(CODE)})/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not ((ROOT / name).exists() or (ROOT / f"{name}.py").exists())] == []


def test_the_operations_page_names_every_metric_and_no_other() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| Metrics `mcp_gateway_…`.+?(?=\n\n)", page, re.MULTILINE | re.DOTALL)
    rows = table.splitlines()[2:]
    told = {f"mcp_gateway_{name}" for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    told |= set(re.findall(r"`(mcp_(?:server|client)_operation_\w+)`", page))
    known = set()
    for family in SyntheticGateway().registry.collect():
        if not family.name.startswith("process_"):
            known.add(f"{family.name}_total" if family.type == "counter" else family.name)
    assert told == known
