"""A whole configuration, read from one text.

Which question: what does this file say, all of it, or what is wrong with it? Pure. The rule: reading goes on after a
problem as far as sense allows, and `ConfigErrors` is raised once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from gateway.config import rules
from gateway.config.binding import Binder
from gateway.config.clients import FOREIGN, INPUTS, OURS, Listed, Reader
from gateway.config.document import read
from gateway.config.exposure import exposed
from gateway.config.interpolation import ReadFile, Variables
from gateway.config.keys import Path, fields_of, is_section, shown
from gateway.config.nodes import Node, Object, is_null, node_of
from gateway.config.overrides import KeyPath, overlaid, strangers
from gateway.config.problems import ConfigErrors, Place, Problem
from gateway.config.server_rules import findings, unserved
from gateway.naming import SLUG, slug_of
from gateway.settings import PATTERNS, SLUG_PATTERN, Config, Group, ServerSpec
from storage.registration import Registration

M = TypeVar("M", bound=BaseModel)

GROUPS = "groups"

NOT_IN_SPEC = frozenset({"slug", "description", "enabled", "maintenance"})
"""Keys of a server that a registration has a field for."""

_HOST_LENGTH = 200
_PORTS = {"http": 80, "https": 443}


class Configuration(Config):
    """What a file says, variables filled in. `servers` have their slugs, and timeouts and health over the common ones.

    `registrations` are the same servers as they were written, in order; `warnings` stop nobody; `places` is where
    each value stands.
    """

    registrations: tuple[Registration, ...] = ()
    warnings: tuple[Problem, ...] = ()
    places: Mapping[Path, Place] = {}

    def place(self, path: Path) -> Place:
        """Where the value at `path` stands, or what would hold it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]

    def server_place(self, name: str, key: str) -> Place:
        """Where a key of the server `name` stands, or the server."""
        return self.place((OURS if (OURS, name) in self.places else FOREIGN, name, key))

    def registration(self, slug: str) -> Registration | None:
        """The server of this slug, as it is written."""
        return next((one for one in self.registrations if one.slug == slug), None)


def parse(
    text: str,
    *,
    source: str,
    env: Mapping[str, str],
    read_file: ReadFile,
    flags: Mapping[KeyPath, str] | None = None,
) -> Configuration:
    """The configuration that `text` is, `source` being its name in messages. `flags` are keys that the command line
    sets: `{("listen", "port"): "8081"}`. Raises `ConfigErrors` with everything that is wrong.
    """
    variables = Variables(env, read_file)
    binder = Binder(variables)
    top = overlaid(top_of(text, source, binder), variables, flags or {}, binder.complain)
    return _Reading(binder, top).configuration(strangers(env))


def resolve(
    spec: Mapping[str, Any], *, source: str, env: Mapping[str, str], read_file: ReadFile, common: Config | None = None
) -> ServerSpec:
    """A server's spec as the registry keeps it, variables filled in. Raises `ConfigErrors`."""
    binder = Binder(Variables(env, read_file))
    found = binder.model(node_of(spec, Place(source)), ServerSpec, ())
    server = _server(binder, (), found, common or Config())
    if server is None or binder.problems:
        raise ConfigErrors(binder.problems)
    return server


def top_of(text: str, source: str, binder: Binder) -> Object:
    """The mapping that `text` is. Raises `ConfigErrors` when it is none."""
    node, problems = read(text, source)
    binder.problems.extend(problems)
    if node is None:
        raise ConfigErrors(
            [Problem(Place(source, 1, 1), "is empty; a server, or `servers: {}`, is the least it can say")]
        )
    if not isinstance(node, Object):
        raise ConfigErrors([Problem(node.place, "must be a mapping with keys such as listen, database, servers")])
    binder.places[()] = node.place
    return node


class _Reading:
    """One pass over the top of a file."""

    def __init__(self, binder: Binder, top: Object) -> None:
        self._binder = binder
        self._top = top
        self._clients = Reader(binder.complain)

    def configuration(self, warnings: Iterator[Problem]) -> Configuration:
        listed = self._clients.servers(self._top)
        common = Config(**self._sections(), groups=self._groups())
        servers = {one.path: self._named(one, common) for one in listed}
        self._check(common, {one.path: (one.name, _slug(one, servers[one.path])) for one in listed})
        self._check_groups(common.groups, [one.name for one in listed])
        if self._binder.problems:
            raise ConfigErrors(self._binder.problems)
        specs = {one.name: spec for one in listed if (spec := servers[one.path]) is not None}
        registrations = tuple(_registration(one, specs[one.name], position) for position, one in enumerate(listed))
        return Configuration(
            **{**dict(common), "servers": specs},
            registrations=registrations,
            warnings=tuple(sorted((*warnings, *self._clients.warnings, *self._doubts(listed, registrations)))),
            places=self._binder.places,
        )

    def _sections(self) -> dict[str, BaseModel]:
        """The sections that are sound; what is missing or flawed has its defaults."""
        kinds = {name: kind for name, kind in fields_of(Config).items() if is_section(kind)}
        found: dict[str, BaseModel] = {}
        for entry in self._top.entries:
            name = entry.key.text
            if name in kinds and (section := self._binder.model(entry.value, kinds[name], (name,))) is not None:
                found[name] = section
            elif name not in {*fields_of(Config), FOREIGN, INPUTS}:
                self._binder.unknown(entry.key, [*fields_of(Config), FOREIGN], ())
        return found

    def _groups(self) -> dict[str, Group]:
        """The groups that are sound."""
        found: dict[str, Group] = {}
        for entry in self._binder.entries(self._entry(GROUPS), (GROUPS,)):
            path: Path = (GROUPS, entry.key.text)
            node = Object(entry.key.place, ()) if is_null(entry.value) else entry.value
            if (group := self._binder.model(node, Group, path)) is None:
                continue
            if SLUG.fullmatch(entry.key.text):
                found[entry.key.text] = group
            else:
                words = f"{shown(path)} has a name that fits into no path; it must be {PATTERNS[SLUG_PATTERN]}"
                self._binder.complain(path, words, entry.key.place)
        return found

    def _entry(self, key: str) -> Node:
        """What stands under a key of the file."""
        found = (entry.value for entry in self._top.entries if entry.key.text == key)
        return next(found, Object(self._top.place, ()))

    def _check_groups(self, groups: Mapping[str, Group], servers: Sequence[str]) -> None:
        """A server that could not be read may well be what a group means."""
        flawed = self._binder.flawed
        if not {(OURS,), (FOREIGN,)} & flawed:
            unread = {str(path[1]) for path in flawed if path[0] in (OURS, FOREIGN)}
            for where, message in rules.groups(groups, servers, unread):
                self._binder.complain(where, message)

    def _named(self, one: Listed, common: Config) -> ServerSpec | None:
        found = self._binder.model(one.node, ServerSpec, one.path)
        self._binder.places[one.path] = one.place
        server = _server(self._binder, one.path, found, common)
        return server and server.model_copy(update={"name": one.name, "slug": _slug(one, server)})

    def _check(self, common: Config, slugs: Mapping[Path, tuple[str, str]]) -> None:
        binder, keys = self._binder, common.auth.keys
        key_places = [binder.place(("auth", "keys", index)) for index in range(len(keys))]
        found = [
            *rules.repeated_keys(keys, key_places),
            *rules.metrics_address(common.metrics.listen),
            *((path, f"{shown(path)} {message}") for path, message in rules.hidden(common.recording)),
            *rules.slugs(slugs, {path: binder.place(path) for path in slugs}),
        ]
        if not (binder.is_flawed(("auth",)) or binder.is_flawed(("listen",))):
            found.extend(rules.exposure(common.listen, keys))
        for path, message in found:
            binder.complain(path, message)

    def _doubts(self, listed: tuple[Listed, ...], registrations: tuple[Registration, ...]) -> Iterator[Problem]:
        if not listed:
            yield Problem(self._top.place, "no server is registered; add one under servers")
        for one, registration in zip(listed, registrations, strict=True):
            for path, message in chain(exposed(registration.spec), unserved(registration.spec)):
                where = (*one.path, *path)
                yield Problem(self._binder.place(where), f"{shown(where)} {message}")


def _server(binder: Binder, path: Path, found: ServerSpec | None, common: Config) -> ServerSpec | None:
    """`found` with its timeouts and health over the common ones, once its keys were held against each other."""
    if found is None:
        return None
    for finding in findings(found):
        if not any(binder.is_flawed((*path, key)) for key in finding.concerns):
            where = (*path, *finding.path)
            binder.complain(where, f"{shown(where)} {finding.message}".lstrip())
    return found.model_copy(
        update={
            "timeouts": found.timeouts and _over(common.timeouts, found.timeouts),
            "health": found.health and _over(common.health, found.health),
        }
    )


def _slug(one: Listed, server: ServerSpec | None) -> str:
    """A flawed server has the slug of its name until it says another one rightly."""
    return (server.slug if server else "") or slug_of(one.name)


def _over(common: M, own: M) -> M:
    return common.model_copy(update=own.model_dump(exclude_unset=True))


def _registration(one: Listed, server: ServerSpec, position: int) -> Registration:
    written = Binder(None).values(one.node, ServerSpec)
    host, port = _address(server)
    return Registration(
        slug=server.slug,
        name=server.name,
        description=written.get("description"),
        position=position,
        enabled=server.enabled,
        maintenance=server.maintenance,
        host=host,
        port=port,
        spec={key: value for key, value in written.items() if key not in NOT_IN_SPEC},
    )


def _address(server: ServerSpec) -> tuple[str, int]:
    if server.url is None:
        return "stdio", 0
    parts = urlsplit(server.url)
    return (parts.hostname or "")[:_HOST_LENGTH], parts.port or _PORTS[parts.scheme]
