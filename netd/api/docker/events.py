"""Events as `GET /events` gives them, one JSON object a line."""

from netd.api.docker.shapes import Json
from netd.model import Event


def event_answer(event: Event) -> Json:
    """Return an event; those of containers and images carry the old short form, too."""
    old: Json = {}
    if event.kind == "container":
        old = {"status": event.action, "id": event.id, "from": event.attributes.get("image", "")}
    elif event.kind == "image":
        old = {"status": event.action, "id": event.id}
    return {
        **old,
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time_ns // 10**9,
        "timeNano": event.time_ns,
    }
