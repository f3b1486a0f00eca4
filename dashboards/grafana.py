"""The few words of Grafana's dashboard model that ours needs.

Which question: what is a dashboard made of? Values alone; `dashboards.rendering` makes Grafana's JSON of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#8e8e8e"

Kind = Literal["timeseries", "stat", "table", "state-timeline", "heatmap"]
Form = Literal["range", "table", "heatmap"]


@dataclass(frozen=True)
class Query:
    """One PromQL expression. `legend` is Grafana's template over labels; a table takes the last value alone."""

    expr: str
    legend: str = ""
    form: Form = "range"


@dataclass(frozen=True)
class Panel:
    """One panel. `steps` are thresholds as (from, colour), the first from minus infinity; `mappings` name values;
    `options` stand before those of the kind.
    """

    title: str
    description: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),)
    mappings: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    stacked: bool = False
    maximum: float | None = None
    overrides: Sequence[Mapping[str, Any]] = ()
    transformations: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A titled group of panels, laid out from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice above the panels: the values of `label` among the series of `metric`."""

    name: str
    metric: str
    label: str


@dataclass(frozen=True)
class Annotation:
    """Marks on every time axis; `title` is a template over labels."""

    name: str
    expr: str
    title: str
    colour: str


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    tags: Sequence[str]
    variables: Sequence[Variable]
    annotations: Sequence[Annotation]
    rows: Sequence[Row]


def table(
    title: str,
    description: str,
    columns: Mapping[str, str],
    units: Mapping[str, str],
    *,
    names: Mapping[str, str],
    hidden: Sequence[str] = (),
    join: str | None = None,
) -> Panel:
    """A table with one column per query; `hidden` queries only bring labels. Rows are joined by one label, or merged
    by all that they share.
    """
    refs = {f"Value #{chr(ord('A') + index)}": column for index, column in enumerate(columns)}
    combine: dict[str, Any] = {"id": "merge", "options": {}}
    if join is not None:
        combine = {"id": "joinByField", "options": {"byField": join, "mode": "outer"}}
    dropped = ["Time", *(f"Time {number}" for number in range(1, len(columns) + 1))]
    dropped += [ref for ref, column in refs.items() if column in hidden]
    organize = {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(dropped, True),
            "renameByName": {**names, **{ref: column for ref, column in refs.items() if column not in hidden}},
        },
    }
    return Panel(
        title,
        description,
        [Query(expr, form="table") for expr in columns.values()],
        kind="table",
        width=24,
        overrides=[unit_of(column, unit) for column, unit in units.items()],
        transformations=[combine, organize],
    )


def unit_of(field: str, unit: str, *, axis: str | None = None) -> dict[str, Any]:
    """The unit of one field, named or by a regular expression between slashes."""
    matcher = "byRegexp" if field.startswith("/") else "byName"
    properties = [{"id": "unit", "value": unit}]
    if axis is not None:
        properties.append({"id": "custom.axisPlacement", "value": axis})
    return {"matcher": {"id": matcher, "options": field}, "properties": properties}
