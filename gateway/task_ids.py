"""Task ids: what a server's tasks are called for one caller, and whose an id is.

Which question: which task of which server is this id of a client's? Pure. The rule: to a server that sees one
credential for everybody an id alone opens a task, so the gateway lets an id open it for the caller that was given it,
on the endpoint where that was. What seals an id always seals it alike: a task has one name in all messages.

Callers that nobody can tell apart have the server's own ids, where a single server stands behind the endpoint.

MCP 2025-11-25 `basic/utilities/tasks` (Security Considerations), ext-tasks 2026-07-28 (Security Considerations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gateway.errors import GatewayError, Kind
from gateway.sealing import BadSeal, Sealer


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is given ids, and where: `bare` says that they are the server's own."""

    user_id: int
    endpoint: str
    bare: bool


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    user_id: int
    endpoint: str
    server_id: int
    task_id: bytes


class TaskIds:
    """Seals and opens ids."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def names(self, holder: Holder, server_id: int, known: Mapping[str, str] | None = None) -> TaskNames:
        """What the tasks of a server are called for `holder`; `known`: ids, and what the client called them."""
        return AS_THEY_ARE if holder.bare else TaskNames(self, holder, server_id, known or {})

    def seal(self, holder: Holder, server_id: int, task_id: str) -> str:
        """A name that any header can carry."""
        own = task_id.encode("utf-8", "surrogatepass")
        sealed = _Sealed(holder.user_id, holder.endpoint, server_id, own)
        return self._sealer.seal_alike(msgspec.msgpack.encode(sealed))

    def read(self, holder: Holder, name: str) -> tuple[int, str]:
        """The server's id and its own id of the task. Raises INVALID_PARAMS, in the same words whatever is wrong."""
        try:
            sealed = msgspec.msgpack.decode(self._sealer.unseal(name), type=_Sealed)
            task_id = sealed.task_id.decode("utf-8", "surrogatepass")
        except (BadSeal, ValueError):
            raise unknown_task() from None
        if (sealed.user_id, sealed.endpoint) != (holder.user_id, holder.endpoint):
            raise unknown_task()
        return sealed.server_id, task_id


@dataclass(frozen=True, slots=True)
class TaskNames:
    """What the tasks of one server are called for one holder; without `ids` they keep their names. `known` stands
    before what would be sealed now: a client that asks by a name hears of that name, also when keys have changed.
    """

    ids: TaskIds | None = None
    holder: Holder = Holder(0, "", bare=True)
    server_id: int = 0
    known: Mapping[str, str] = field(default_factory=dict)

    def out(self, task_id: str) -> str:
        """The server's `task_id` as the client sees it."""
        if self.ids is None:
            return task_id
        return self.known.get(task_id) or self.ids.seal(self.holder, self.server_id, task_id)

    def back(self, name: str) -> str:
        """What the server calls it; a name that this server was not given (a client has tasks as well) stays."""
        if self.ids is None:
            return name
        try:
            server_id, task_id = self.ids.read(self.holder, name)
        except GatewayError:
            return name
        return task_id if server_id == self.server_id else name


AS_THEY_ARE = TaskNames()


def unknown_task() -> GatewayError:
    return GatewayError(Kind.INVALID_PARAMS, "Unknown task", reason="unknown_task")
