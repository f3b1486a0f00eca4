"""What the things of one server are called for one client: its resources, and its tasks.

Which question: how does this message of a server look to this client, and the client's to the server? Pure. The rule:
whatever passes between them goes through here, so that no name of one side reaches the other by another way.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Raw

from gateway import task_ids, task_places, uris
from gateway.protocol.jsonrpc import Message, MessageKind
from gateway.task_ids import TaskNames
from gateway.uris import Naming


@dataclass(frozen=True, slots=True)
class Glossary:
    """`uris` and `tasks` as they are called for the client."""

    uris: Naming = uris.AS_THEY_ARE
    tasks: TaskNames = task_ids.AS_THEY_ARE

    def notification_out(self, method: str, params: Raw | None) -> Raw | None:
        """The params of a server's notification."""
        if params is None:
            return None
        return uris.notification_out(method, task_places.notification_out(method, params, self.tasks), self.uris)

    def question_out(self, method: str, params: Raw | None) -> Raw | None:
        """The params of a server's own request."""
        if params is None:
            return None
        return uris.question_out(method, task_places.question_out(method, params, self.tasks), self.uris)

    def answer_back(self, response: Message) -> Raw:
        """The result or the error that the client answers a question with."""
        body = response.body or Raw(b"null")
        return task_places.back(body, self.tasks) if response.kind is MessageKind.RESULT else body


AS_THEY_ARE = Glossary()
