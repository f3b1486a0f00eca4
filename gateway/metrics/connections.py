"""Sessions, streams and children.

Which question: what does the gateway hold open, and what had to be opened again or thrown away? Touches the registry
that it is given. The rule: opened and ended come in pairs, and a pair counts for the side on which it happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

_LEGACY = "legacy"
"""Only the legacy era has sessions."""

_STREAMS = ("watch", "session")

_OF_LINES = frozenset({"not_json", "not_a_message", "overlong"})
"""What is wrong with a line of a child's output; whatever else is dropped was a message."""


class ConnectionMetrics:
    """The series of what is held open. Servers are named by their slug."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sessions = Gauge(
            "mcp_gateway_sessions",
            "Sessions held in memory: of clients with us, and of ours with servers.",
            ["side", "era"],
            registry=registry,
        )
        self._opened = Counter(
            "mcp_gateway_sessions_opened",
            "Sessions opened, by clients with us and by us with servers.",
            ["side", "server"],
            registry=registry,
        )
        self._reinitialised = Counter(
            "mcp_gateway_sessions_reinitialised",
            "Sessions with servers that had to be opened again, by what the server had said.",
            ["server", "reason"],
            registry=registry,
        )
        self._dropped = Counter(
            "mcp_gateway_frames_dropped", "Frames that no reader got.", ["reason"], registry=registry
        )
        self._streams = Gauge("mcp_gateway_streams_open", "Open event streams of clients.", registry=registry)
        self._upstream_streams = Gauge(
            "mcp_gateway_upstream_streams",
            "Open streams on which servers speak outside any call: our watch (stdio servers need none), and sessions'.",
            ["server", "kind"],
            registry=registry,
        )
        self._broken = Counter(
            "mcp_gateway_upstream_streams_broken",
            "Streams of servers that the server ended, or whose connection was lost, while they were listened to.",
            ["server", "kind"],
            registry=registry,
        )
        self._followed = Gauge(
            "mcp_gateway_resources_followed",
            "Resources of a server whose changes clients follow on subscriptions/listen.",
            ["server"],
            registry=registry,
        )
        self._children = Gauge(
            "mcp_gateway_children", "Running processes of stdio servers.", ["server"], registry=registry
        )
        self._starts = Counter(
            "mcp_gateway_child_starts", "Processes of stdio servers started.", ["server"], registry=registry
        )
        self._lines = Counter(
            "mcp_gateway_child_lines_dropped",
            "Lines of a child's output that were no JSON-RPC message.",
            ["server", "reason"],
            registry=registry,
        )
        self._sessions.labels("client", _LEGACY)  # born at 0, so that "none" can be told from "not measured"
        self._sessions.labels("server", _LEGACY)
        self._servers: dict[str, ServerConnections] = {}

    def client_sessions(self, count: Callable[[], int]) -> None:
        """Ask `count` at each scrape how many sessions of clients are held; it may be asked from another thread."""
        self._sessions.labels("client", _LEGACY).set_function(count)

    def client_session_opened(self) -> None:
        """A client has initialized."""
        self._opened.labels("client", "").inc()

    def stream_opened(self) -> None:
        """A client has begun to read an event stream."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """The stream has ended, or its client has gone."""
        self._streams.dec()

    def frames_dropped(self, reason: str, frames: int = 1) -> None:
        """Frames were thrown away."""
        self._dropped.labels(reason).inc(frames)

    def server(self, server: str) -> ServerConnections:
        """Who counts for this server; the same one until the server is forgotten."""
        if (connections := self._servers.get(server)) is None:
            connections = self._servers[server] = ServerConnections(
                server,
                sessions=self._sessions.labels("server", _LEGACY),
                opened=self._opened.labels("server", server),
                reinitialised=self._reinitialised,
                children=self._children.labels(server),
                starts=self._starts.labels(server),
                streams={kind: self._upstream_streams.labels(server, kind) for kind in _STREAMS},
                broken={kind: self._broken.labels(server, kind) for kind in _STREAMS},
                followed=self._followed.labels(server),
                frames=self._dropped,
                lines=self._lines,
            )
        return connections

    def forget(self, server: str) -> None:
        """Remove every series of the server; its connections may end later, unseen."""
        if (connections := self._servers.pop(server, None)) is not None:
            connections.forgotten = True
        for metric in (
            self._opened,
            self._reinitialised,
            self._children,
            self._starts,
            self._lines,
            self._upstream_streams,
            self._broken,
            self._followed,
        ):
            metric.remove_by_labels({"server": server})


class ServerConnections:
    """Counts what happens at one server (`gateway.upstream.values.UpstreamEvents`)."""

    def __init__(
        self,
        server: str,
        *,
        sessions: Gauge,
        opened: Counter,
        reinitialised: Counter,
        children: Gauge,
        starts: Counter,
        streams: Mapping[str, Gauge],
        broken: Mapping[str, Counter],
        followed: Gauge,
        frames: Counter,
        lines: Counter,
    ) -> None:
        self.forgotten = False
        self._server = server
        self._sessions = sessions
        self._opened = opened
        self._reinitialised = reinitialised
        self._children = children
        self._starts = starts
        self._streams = streams
        self._broken = broken
        self._followed = followed
        self._frames = frames
        self._lines = lines

    def session_opened(self) -> None:
        """We have opened a session with the server."""
        self._sessions.inc()
        self._opened.inc()

    def session_ended(self) -> None:
        """A session with the server is no more."""
        self._sessions.dec()

    def session_reinitialised(self, reason: str) -> None:
        """The server had forgotten a session, and another was opened in its place."""
        if not self.forgotten:
            self._reinitialised.labels(self._server, reason).inc()

    def child_started(self) -> None:
        """A process of the server runs."""
        self._children.inc()
        self._starts.inc()

    def child_ended(self) -> None:
        """A process of the server was reaped."""
        self._children.dec()

    def stream_opened(self, kind: str) -> None:
        """The server is listened to on a stream of this kind: `watch` or `session`."""
        self._streams[kind].inc()

    def stream_closed(self, kind: str, *, broken: bool) -> None:
        """Such a stream has ended; `broken`: not by us."""
        self._streams[kind].dec()
        if broken:
            self._broken[kind].inc()

    def following(self, resources: int) -> None:
        """So many of the server's resources are followed."""
        self._followed.set(resources)

    def dropped(self, reason: str) -> None:
        """Something that the server sent was thrown away (`gateway.upstream.exchange.Dropped`)."""
        if reason not in _OF_LINES:
            self._frames.labels(reason).inc()
        elif not self.forgotten:
            self._lines.labels(self._server, reason).inc()
