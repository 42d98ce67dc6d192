"""Which containers a list shows."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from netd.api.docker.port_answers import open_at, published_at
from netd.api.docker.ports import PortSpan, port_span
from netd.api.filters import Filters, any_holds, found, labels_hold, one_of
from netd.api.requests import moment
from netd.api.services import DaemonServices
from netd.errors import InvalidError, NotFoundError
from netd.model import Container, Image, Status

LIST_KEYS = (
    "id", "name", "label", "label!", "status", "ancestor", "network", "exited", "before", "since",
    "publish", "expose",
)  # fmt: skip
PRUNE_KEYS = ("until", "label", "label!")
_STATUSES = (
    "created", "running", "paused", "restarting", "removing", "exited", "dead",
)  # fmt: skip


def listed(
    daemon: DaemonServices, chosen: Filters, *, everything: bool, limit: int
) -> list[Container]:
    """Return the containers to show, the newest first; `limit` below 1 is none.

    Raises InvalidError for values that cannot be, NotFoundError for containers named in filters.
    """
    one_of(chosen, "status", _STATUSES)
    for code in chosen.get("exited", ()):
        if not re.fullmatch(r"-?[0-9]{1,9}", code):
            raise InvalidError(f"invalid filter 'exited={code}'")
    ranked = _between(daemon, chosen)
    matching = _Matching(daemon, chosen)
    everything = everything or limit > 0 or "status" in chosen
    shown = [each for each in ranked if (everything or each.state.running) and matching.holds(each)]
    return shown[:limit] if limit > 0 else shown


def pruned(daemon: DaemonServices, chosen: Filters) -> list[Container]:
    """Return the containers that a prune takes: those that do not run."""
    until_ns = min((until(text) for text in chosen.get("until", ())), default=None)
    return [
        each
        for each in daemon.containers.list()
        if not each.state.running
        and not each.state.starting
        and labels_hold(chosen, each.config.labels)
        and (until_ns is None or each.created.timestamp() * 1e9 < until_ns)
    ]


def until(text: str) -> int:
    """Return a prune's `until` in ns since 1970: a moment, or how long ago ("24h", "1h30m")."""
    if re.fullmatch(r"(?:[0-9]+(?:\.[0-9]+)?(?:h|m|s|ms))+", text):
        sizes = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
        parts = re.findall(r"([0-9.]+)(ms|[hms])", text)
        ago = sum(float(count) * sizes[unit] for count, unit in parts)
        return int((datetime.now(UTC).timestamp() - ago) * 1e9)
    return moment(text, "until")


class _Matching:
    """The filters that look at one container at a time."""

    def __init__(self, daemon: DaemonServices, chosen: Filters) -> None:
        self._chosen = chosen
        images = daemon.images
        self._ancestors = {
            image.id: set(image.layers)
            for image in (_image(daemon, name) for name in chosen.get("ancestor", ()))
            if image
        }
        self._layers = (
            {image.id: set(image.layers) for image in images.list()} if self._ancestors else {}
        )
        self._networks = {
            reference: _network_id(daemon, reference) for reference in chosen.get("network", ())
        }
        self._published = _spans(chosen, "publish")
        self._exposed = _spans(chosen, "expose")

    def holds(self, container: Container) -> bool:
        """Return whether all filters hold for a container."""
        chosen, state = self._chosen, container.state
        names = (container.name, f"/{container.name}")
        return (
            any_holds(chosen, "id", container.id.startswith)
            and any_holds(chosen, "name", lambda value: any(found(value, n) for n in names))
            and labels_hold(chosen, container.config.labels)
            and any_holds(chosen, "status", lambda value: state.status.value == value)
            and any_holds(
                chosen,
                "exited",
                lambda value: state.status is Status.EXITED and state.exit_code == int(value),
            )
            and any_holds(chosen, "network", lambda value: self._on(container, value))
            and ("ancestor" not in chosen or self._descends(container))
            and self._reached(container)
        )

    def _on(self, container: Container, reference: str) -> bool:
        return any(e.network_id == self._networks[reference] for e in container.endpoints)

    def _reached(self, container: Container) -> bool:
        # As in Docker: `publish` is about the host's port, and the two are alternatives.
        return (
            not (self._published or self._exposed)
            or any(published_at(container, each) for each in self._published)
            or any(open_at(container, each) for each in self._exposed)
        )

    def _descends(self, container: Container) -> bool:
        layers = self._layers.get(container.image_id, set())
        return container.image_id in self._ancestors or any(
            own and own <= layers for own in self._ancestors.values()
        )


def _between(daemon: DaemonServices, chosen: Filters) -> Sequence[Container]:
    """Return containers, the newest first, before and since the ones that filters name."""
    ranked = sorted(daemon.containers.list(), key=lambda each: each.created, reverse=True)
    for reference in chosen.get("before", ()):
        mark = daemon.containers.container(reference)
        ranked = [each for each in ranked if each.created < mark.created]
    for reference in chosen.get("since", ()):
        mark = daemon.containers.container(reference)
        ranked = [each for each in ranked if each.created > mark.created]
    return ranked


def _spans(chosen: Filters, key: str) -> list[PortSpan]:
    spans: list[PortSpan] = []
    for value in chosen.get(key, ()):
        span = port_span(value)
        if span is None:
            raise InvalidError(f"invalid filter '{key}={value}'")
        spans.append(span)
    return spans


def _image(daemon: DaemonServices, reference: str) -> Image | None:
    try:
        return daemon.images.image(reference)
    except (NotFoundError, InvalidError):
        return None


def _network_id(daemon: DaemonServices, reference: str) -> str | None:
    try:
        return daemon.networks.network(reference).id
    except (NotFoundError, InvalidError):
        return None
