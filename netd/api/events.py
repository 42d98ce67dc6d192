"""`/events`: what happens, a JSON object a line."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from netd.api.answers import streamed
from netd.api.closing import closing_iterator
from netd.api.docker.events import event_answer
from netd.api.filters import Filters, any_holds, filters, labels_hold
from netd.api.requests import moment_ns
from netd.api.state import daemon_of
from netd.model import Event

_KINDS = ("container", "image", "network", "volume", "daemon")
_KEYS = (
    *_KINDS, "event", "label", "type", "scope", "plugin", "service", "node", "secret", "config",
)  # fmt: skip


_NO_KINDS = ("event", "label", "type", "scope")


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events: from `since`, else from now on; to `until`, else for ever."""
    chosen = filters(request, _KEYS)
    happening = daemon_of(request).events.stream(
        moment_ns(request, "since"), moment_ns(request, "until")
    )
    async with closing_iterator(happening), streamed(request, "application/json") as response:
        async for event in happening:
            if _holds(chosen, event):
                await response.write(msgspec.json.encode(event_answer(event)) + b"\n")
    return response


def _holds(chosen: Filters, event: Event) -> bool:
    action = event.action.partition(":")[0]
    return (
        any_holds(chosen, "event", lambda value: value in {event.action, action})
        and any_holds(chosen, "type", lambda value: value == event.kind)
        and any_holds(chosen, "scope", lambda value: value == "local")
        and all(_about(chosen, kind, event) for kind in _KEYS if kind not in _NO_KINDS)
        and labels_hold(chosen, event.attributes)
    )


def _about(chosen: Filters, kind: str, event: Event) -> bool:
    """Return whether an event is about one of the things of a kind that are asked for."""
    return any_holds(
        chosen, kind, lambda value: any(name.startswith(value) for name in _names(kind, event))
    )


def _names(kind: str, event: Event) -> Sequence[str]:
    if kind == event.kind:
        return (event.id, event.attributes.get("name", ""))
    if kind == "image" and event.kind == "container":
        return (event.attributes.get("image", ""),)
    if kind == "container":
        return (event.attributes.get("container", ""),)  # of a network's connect
    return ()


ROUTES = (web.get("/events", events),)
