"""A client's request, understood.

Which question: who asks for what, at which door, with which client? A value; it holds no I/O. The rule: whatever the
client says of itself is bounded, recorded and passed on, never trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Raw

from gateway.protocol.params import Params
from gateway.protocol.versions import Era
from gateway.routing import Endpoint, Server
from gateway.task_ids import Holder
from gateway.upstream.values import ClientFacts, Scope
from storage.records import Caller


@dataclass(frozen=True, slots=True)
class Request:
    """One JSON-RPC request of a client. `headers` are the HTTP request's; `sid` names its legacy session; `streams`
    says that it takes an event stream for an answer.
    """

    endpoint: Endpoint
    caller: Caller
    id: Raw
    method: str
    params: Params
    client: ClientFacts
    headers: Mapping[str, str]
    sid: str | None = None
    streams: bool = True

    @property
    def era(self) -> Era:
        return self.client.era

    @property
    def holder(self) -> Holder:
        """Who is given the ids of tasks."""
        return self.endpoint.holder(self.caller.user_id, known=self.caller.key is not None)

    @property
    def scope(self) -> Scope:
        """Who may share a server's session with this request."""
        return Scope(self.sid, self.caller.user_id)

    def headers_for(self, server: Server) -> dict[str, str]:
        """The client's headers that the allowlist passes to `server`."""
        return {name: self.headers[name] for name in server.spec.forward_headers if name in self.headers}
