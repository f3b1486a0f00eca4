"""Where in messages the ids of tasks stand.

Which question: which of these bytes name a task of the server's? Pure. The rule: an id is renamed in the places that
the protocol defines and nowhere else; every other byte stays; where tasks keep their names, the very same objects
come back.

Tasks of 2025-11-25 are named in the results of requests with a `task`, in those of `tasks/*`, in
`notifications/tasks/status`, and by `_meta` in whatever belongs to one; tasks of the extension in results of the type
`task`, in those of `tasks/get`, and in `notifications/tasks`.

MCP 2025-11-25 `basic/utilities/tasks`; ext-tasks 2026-07-28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Raw

from gateway.protocol import edits, results
from gateway.protocol.edits import Edit
from gateway.protocol.meta import RELATED_TASK
from gateway.protocol.results import Head
from gateway.protocol.versions import Era
from gateway.task_ids import TaskNames

STATUS = "notifications/tasks/status"
"""How legacy servers tell of a task."""

CHANGED = "notifications/tasks"
"""How modern servers tell of a task."""

ID = "taskId"
_FLAT = frozenset({"tasks/get", "tasks/cancel", "tasks/update"})
_OF_TASKS = "tasks/"


def result_out(method: str, result: Raw, era: Era, names: TaskNames, *, augmented: bool = False) -> Raw:
    """The result of `method` from a server of `era`; `augmented` says that the request had a `task`."""
    if names.ids is None:
        return result
    places: dict[str, Edit] = {}
    if method in _FLAT or (era is Era.MODERN and is_task(result)):
        places[ID] = edits.string(names.out)
    if era is Era.LEGACY:
        places["_meta"] = _related(names.out)
        if augmented:
            places["task"] = _task(names.out)
        if method == "tasks/list":
            places["tasks"] = edits.each(_task(names.out))
    return edits.members(result, places) if places else result


def may_name(method: str, head: Head, era: Era, *, augmented: bool) -> bool:
    """Whether there is anything to rename in the result of `method` that has this `head`; most have nothing."""
    if augmented or method.startswith(_OF_TASKS):
        return True
    return head.has_meta if era is Era.LEGACY else head.resultType == "task"


def is_task(result: Raw) -> bool:
    """Whether a modern server has made a task of a request."""
    return results.head(result).resultType == "task"


def notification_out(method: str, params: Raw, names: TaskNames) -> Raw:
    """The params of a server's notification."""
    if names.ids is None:
        return params
    places = {"_meta": _related(names.out)}
    if method in (STATUS, CHANGED):
        places[ID] = edits.string(names.out)
    return edits.members(params, places)


def question_out(method: str, params: Raw, names: TaskNames) -> Raw:
    """The params of a server's own request; `tasks/*` speak of the client's own tasks."""
    if names.ids is None or method.startswith(_OF_TASKS):
        return params
    return edits.members(params, {"_meta": _related(names.out)})


def back(body: Raw, names: TaskNames) -> Raw:
    """A client's result, or the params of its notification, for the server."""
    if names.ids is None:
        return body
    return edits.members(body, {"_meta": _related(names.back)})


def meta_back(meta: Mapping[str, Raw], names: TaskNames) -> Mapping[str, Raw]:
    """The members of the `_meta` of a client's request, for the server."""
    if names.ids is None:
        return meta
    return edits.edited(meta, {RELATED_TASK: _task(names.back)})


def _task(rename: Callable[[str], str]) -> Edit:
    place = {ID: edits.string(rename)}
    return lambda task: edits.members(task, place)


def _related(rename: Callable[[str], str]) -> Edit:
    place = {RELATED_TASK: _task(rename)}
    return lambda meta: edits.members(meta, place)
