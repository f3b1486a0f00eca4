"""The house of design, held by tests: floors, the order of the packages, purity, and owned tasks.

Imports are read from the sources, those inside functions and under TYPE_CHECKING included. Every law is a function
from modules to sentences that name the offending line; each is shown a module that breaks it, then the real ones.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("storage", "health", "gateway")
"""A package imports itself and those before it."""

FLOORS: Mapping[str, int] = {
    # F4 entry: wiring, the only place that builds objects.
    "gateway.__main__": 4,
    "gateway.app": 4,
    "gateway.books": 4,
    "gateway.cli": 4,
    # F3 shells.
    "gateway.calls": 3,
    "gateway.router": 3,
    "gateway.overlays": 3,
    "gateway.listens": 3,
    "gateway.contexts": 3,
    "gateway.asides": 3,
    "gateway.control": 3,
    "gateway.dispatch": 3,
    "gateway.evidence": 3,
    "gateway.fleet": 3,
    "gateway.http": 3,
    "gateway.live": 3,
    "gateway.pipeline": 3,
    "gateway.task_watch": 3,
    "gateway.voices": 3,
    "health.monitor": 3,
    "health.scheduler": 3,
    # F2 edges: sockets, pipes, files, databases, clocks.
    "gateway.archive": 2,
    "gateway.call_search": 2,
    "gateway.call_shapes": 2,
    "gateway.catalog_memory": 2,
    "gateway.clock": 2,
    "gateway.interaction": 2,
    "gateway.keyfile": 2,
    "gateway.logs": 2,
    "gateway.metrics": 2,
    "gateway.questions": 2,
    "gateway.rounds": 2,
    "gateway.sessions": 2,
    "gateway.states": 2,
    "gateway.streams": 2,
    "gateway.subscriptions": 2,
    "gateway.upstream": 2,
    "health.board": 2,
    "health.ledger": 2,
    "health.metrics": 2,
    "storage": 2,
    # F1 pure: values in, values out.
    "gateway.abilities": 1,
    "gateway.access": 1,
    "gateway.batch": 2,
    "gateway.capabilities": 1,
    "gateway.capturing": 2,
    "gateway.catalog": 1,
    "gateway.chat_calls": 1,
    "gateway.chat_tools": 1,
    "gateway.config": 1,
    "gateway.endings": 1,
    "gateway.frames": 1,
    "gateway.glossary": 1,
    "gateway.groups": 1,
    "gateway.local": 1,
    "gateway.lookup": 1,
    "gateway.methods": 1,
    "gateway.moments": 1,
    "gateway.naming": 1,
    "gateway.ownership": 1,
    "gateway.paging": 1,
    "gateway.protocol": 1,
    "gateway.redact": 1,
    "gateway.registry": 1,
    "gateway.request": 1,
    "gateway.retention": 1,
    "gateway.routing": 1,
    "gateway.sealing": 1,
    "gateway.secrets": 1,
    "gateway.sink": 1,
    "gateway.task_ids": 1,
    "gateway.task_places": 1,
    "gateway.templates": 1,
    "gateway.upstream.values": 1,
    "gateway.uris": 1,
    "storage.capture": 1,
    "storage.paths": 1,
    "gateway.views": 1,
    "health.plan": 1,
    "health.recent": 1,
    "health.state": 1,
    "storage.days": 1,
    "storage.pace": 1,
    "storage.retention": 1,
    # F0 words.
    "gateway": 0,
    "gateway.errors": 0,
    "gateway.settings": 0,
    "health": 0,
    "health.errors": 0,
    "health.probe": 0,
    "health.settings": 0,
    "storage.errors": 0,
    "storage.records": 0,
    "storage.registration": 0,
    "storage.settings": 0,
    "storage.tasks": 0,
}
"""The longest matching prefix counts; a bare package name stands for its `__init__` where its modules are listed."""

IMPURE_MODULES = frozenset(
    {
        "aiohttp",
        "asyncio",
        "logging",
        "os",
        "random",
        "secrets",
        "socket",
        "sqlalchemy",
        "subprocess",
        "threading",
        "time",
    }
)
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "open", "urandom", "getenv"})
HOLDS_TASKS = "storage.tasks"
BROAD_EXCEPT = frozenset({"gateway.pipeline", "health.scheduler", "storage.committing"})
LAZY_IMPORTS = "gateway.cli"


@dataclass(frozen=True)
class Import:
    """`target` is a module of ours, or the whole dotted name of anybody else's."""

    target: str
    line: int
    in_function: bool


@dataclass(frozen=True)
class Module:
    """One source file under its dotted name."""

    name: str
    source: str
    known: frozenset[str]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def floor(self) -> int | None:
        return floor_of(self.name)

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        lazy = {id(node) for function in self._functions() for node in ast.walk(function)}
        return tuple(
            Import(target, node.lineno, id(node) in lazy)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for target in self._targets(node)
        )

    @property
    def ours(self) -> Iterator[Import]:
        return (one for one in self.imports if one.target.partition(".")[0] in PACKAGES and one.target != self.name)

    def _functions(self) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def _targets(self, node: ast.Import | ast.ImportFrom) -> set[str]:
        if isinstance(node, ast.Import):
            return {alias.name for alias in node.names}
        base = node.module or ""
        names = {f"{base}.{alias.name}" for alias in node.names}
        return {name if name in self.known else base for name in names}


Law = Callable[[Sequence[Module]], Iterator[str]]


def floor_of(name: str) -> int | None:
    """The floor of a module, by the longest prefix in FLOORS; None when nobody has placed it."""
    if name in FLOORS:
        return FLOORS[name]
    parent = name.rpartition(".")[0]
    if "." in parent or parent == "storage":
        return floor_of(parent)
    return None


def every_module_has_a_floor(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.floor is None:
            yield f"{module.name} stands on no floor: add it to FLOORS in {Path(__file__).name}"


def imports_go_down(modules: Sequence[Module]) -> Iterator[str]:
    """Down, or along the floor: to the same package or to one that the order of packages puts below it."""
    for module in modules:
        for one in module.ours:
            own, other = module.floor, floor_of(one.target)
            if own is not None and other is not None and other > own:
                yield f"{module.name}:{one.line} (F{own}) imports {one.target} (F{other})"


def packages_keep_their_order(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        for one in module.ours:
            if PACKAGES.index(one.target.partition(".")[0]) > PACKAGES.index(module.package):
                yield f"{module.name}:{one.line} imports {one.target}: {' ← '.join(PACKAGES)} is the only direction"


def there_is_no_circle(modules: Sequence[Module]) -> Iterator[str]:
    graph = {module.name: {one.target for one in module.ours if one.target in module.known} for module in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"a circle of imports: {' → '.join(reversed(error.args[1]))}"


def pure_floors_are_pure(modules: Sequence[Module]) -> Iterator[str]:
    """No await, clock, environment, randomness, file or log on F0 and F1; a Protocol may describe what awaits."""
    for module in modules:
        if module.floor not in (0, 1) or module.name == HOLDS_TASKS:
            continue
        for one in module.imports:
            if one.target.partition(".")[0] in IMPURE_MODULES:
                yield f"{module.name}:{one.line} imports {one.target} on a pure floor"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
                yield f"{module.name}:{node.lineno} awaits on a pure floor"
            if isinstance(node, ast.Call) and _called(node) in IMPURE_CALLS:
                yield f"{module.name}:{node.lineno} calls {ast.unparse(node.func)} on a pure floor"


def tasks_have_an_owner(modules: Sequence[Module]) -> Iterator[str]:
    """A task group owns its tasks; everything else is spawned by `storage.tasks.Tasks`."""
    for module in modules:
        if module.name == HOLDS_TASKS:
            continue
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and _called(node) in {"create_task", "ensure_future"}
                and not _is_group(node.func, module.tree)
            ):
                yield f"{module.name}:{node.lineno} calls {ast.unparse(node.func)}: use storage.tasks.Tasks.spawn"


def imports_stand_at_the_top(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if not module.name.startswith(LAZY_IMPORTS):
            for one in module.imports:
                if one.in_function:
                    yield f"{module.name}:{one.line} imports {one.target} inside a function"


def broad_excepts_stand_in_named_places(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if module.name in BROAD_EXCEPT:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_again(node):
                yield f"{module.name}:{node.lineno} swallows every exception; name the ones that can happen"


def every_module_says_what_it_is_for(modules: Sequence[Module]) -> Iterator[str]:
    for module in modules:
        if not ast.get_docstring(module.tree):
            yield f"{module.name} has no docstring: which question does it answer, and what may it touch?"


LAWS: tuple[Law, ...] = (
    every_module_has_a_floor,
    imports_go_down,
    packages_keep_their_order,
    there_is_no_circle,
    pure_floors_are_pure,
    tasks_have_an_owner,
    imports_stand_at_the_top,
    broad_excepts_stand_in_named_places,
    every_module_says_what_it_is_for,
)

BREACHES: tuple[tuple[Law, Mapping[str, str], str], ...] = (
    (every_module_has_a_floor, {"gateway.novelty": ""}, "gateway.novelty"),
    (imports_go_down, {"gateway.naming": "from gateway.upstream import http"}, "gateway.naming:1"),
    (imports_go_down, {"storage.errors": "import storage.writer"}, "storage.writer"),
    (
        packages_keep_their_order,
        {"health.monitor": "def f():\n    from gateway import errors"},
        "health.monitor:2",
    ),
    (packages_keep_their_order, {"storage.writer": "import health.probe"}, "storage.writer:1"),
    (
        there_is_no_circle,
        {"gateway.naming": "import gateway.uris", "gateway.uris": "from gateway import naming"},
        "gateway.naming → gateway.uris",
    ),
    (pure_floors_are_pure, {"gateway.naming": "import os.path"}, "imports os.path"),
    (pure_floors_are_pure, {"health.state": "def f(t):\n    return t.datetime.now()"}, "health.state:2"),
    (
        pure_floors_are_pure,
        {"gateway.protocol.sse": "async def f(x):\n    await x"},
        "gateway.protocol.sse:2",
    ),
    (
        tasks_have_an_owner,
        {"gateway.http.door": "import asyncio\nasyncio.create_task(f())"},
        "gateway.http.door:2",
    ),
    (tasks_have_an_owner, {"storage.writer": "loop.create_task(f())"}, "loop.create_task"),
    (
        imports_stand_at_the_top,
        {"gateway.control": "class A:\n    def f(self):\n        import json"},
        "imports json",
    ),
    (
        broad_excepts_stand_in_named_places,
        {"storage.users": "try:\n    f()\nexcept:\n    pass"},
        "storage.users:3",
    ),
    (
        broad_excepts_stand_in_named_places,
        {"health.board": "try:\n    f()\nexcept (OSError, Exception) as e:\n    log(e)"},
        "health.board:3",
    ),
    (every_module_says_what_it_is_for, {"storage.users": "x = 1"}, "storage.users"),
)

ALLOWED: tuple[tuple[Law, Mapping[str, str]], ...] = (
    (imports_go_down, {"gateway.http.door": "from gateway.pipeline import Pipeline"}),
    (imports_go_down, {"gateway.errors": "from storage.records import Outcome"}),
    (imports_go_down, {"gateway.control": "from health.monitor import Monitor"}),
    (
        tasks_have_an_owner,
        {"health.monitor": "async def f():\n async with TaskGroup() as all:\n  all.create_task(g())"},
    ),
    (imports_stand_at_the_top, {"gateway.cli.call": "def f():\n    import aiohttp"}),
    (
        broad_excepts_stand_in_named_places,
        {"storage.users": "try:\n    f()\nexcept Exception:\n    g()\n    raise"},
    ),
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_house_keeps(law: Law) -> None:
    breaches = list(law(house()))
    assert not breaches, "\n" + "\n".join(breaches)


@pytest.mark.parametrize(("law", "sources", "named"), BREACHES)
def test_a_breach_is_named(law: Law, sources: Mapping[str, str], named: str) -> None:
    assert any(named in sentence for sentence in law(modules_of(sources)))


@pytest.mark.parametrize(("law", "sources"), ALLOWED)
def test_what_is_allowed_passes(law: Law, sources: Mapping[str, str]) -> None:
    assert list(law(modules_of(sources))) == []


def test_every_law_is_shown_a_breach() -> None:
    assert {law for law, _, _ in BREACHES} == set(LAWS)


def house() -> list[Module]:
    return modules_of(
        {
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
            for package in PACKAGES
            for path in sorted((ROOT / package).rglob("*.py"))
        }
    )


def modules_of(sources: Mapping[str, str]) -> list[Module]:
    return [Module(name, source, frozenset(sources)) for name, source in sources.items()]


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _is_group(function: ast.expr, tree: ast.Module) -> bool:
    groups = {
        ast.unparse(item.optional_vars)
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if item.optional_vars is not None and "TaskGroup" in ast.unparse(item.context_expr)
    }
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) in groups


def _is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    if caught is None:
        return True
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"} for name in names)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(handler))
