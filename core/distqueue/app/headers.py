"""The headers that observers add to a task when an app enqueues it, such as the context of a trace."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from distqueue.commands import Put
from distqueue.errors import Refused
from distqueue.limits import check_headers
from distqueue.plugins import EnqueueEvent, installed_plugins

_HOOK: Final = "distqueue_enqueue"
_log: Final = logging.getLogger("distqueue.plugins")


def with_headers(put: Put, task: str) -> Put:
    """Return a put with what observers add to its headers; what it has itself stays as it is."""
    plugins = installed_plugins()
    if not plugins.has_observers(_HOOK):
        return put
    own = put.options.headers or {}
    event = EnqueueEvent(queue=put.queue, task=task, task_id=put.task_id, headers=dict(own))
    headers = own
    for answer in plugins.ask(_HOOK, event):
        headers = _added(answer, headers)
    if headers is own:
        return put
    options = msgspec.structs.replace(put.options, headers=headers)
    return msgspec.structs.replace(put, options=options)


def _added(answer: object, headers: dict[str, str]) -> dict[str, str]:
    """Return headers with those of one observer, or as they were if it has given something else."""
    try:
        added = msgspec.convert(answer, dict[str, str]) | headers
        check_headers(added)
    except (msgspec.ValidationError, Refused) as error:
        _log.error("headers that an observer has given for a task are left out: %s", error)
        return headers
    return added
