"""What happened, kept for a while and told to whoever listens."""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping

from netd.model import Container, Event, EventKind, Network

KEPT = 1024  # past events for `since`; Docker keeps 256
QUEUED = 4096  # a listener further behind is cut off


class Events:
    """The daemon's events, oldest first."""

    def __init__(self) -> None:
        self._past: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[asyncio.Queue[Event | None]] = set()

    def publish(
        self, kind: EventKind, action: str, id_: str, attributes: Mapping[str, str]
    ) -> None:
        """Record an event and tell all listeners."""
        event = Event(kind, action, id_, dict(attributes), time.time_ns())
        self._past.append(event)
        for queue in tuple(self._listeners):
            if queue.full():
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def container(self, action: str, container: Container, **more: str) -> None:
        """Publish an event of a container with the attributes Docker gives."""
        attributes = {
            **container.config.labels,
            "image": container.config.image,
            "name": container.name,
            **more,
        }
        self.publish("container", action, container.id, attributes)

    def network(self, action: str, network: Network, **more: str) -> None:
        """Publish an event of a network with the attributes Docker gives."""
        self.publish(
            "network", action, network.id, {"name": network.name, "type": network.driver, **more}
        )

    def daemon(self, action: str, **attributes: str) -> None:
        """Publish an event of the daemon itself."""
        self.publish("daemon", action, os.uname().nodename, attributes)

    async def stream(
        self, since_ns: int | None = None, until_ns: int | None = None
    ) -> AsyncIterator[Event]:
        """Iterate over events from `since_ns` (absent: from now) to `until_ns` (absent: for ever).

        A listener that falls `QUEUED` events behind is cut off: its iteration ends.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED)
        self._listeners.add(queue)
        try:
            # Copied in the same step as the registration, so none is missed or told twice.
            past = tuple(self._past) if since_ns is not None else ()
            for event in past:
                if event.time_ns >= (since_ns or 0) and (
                    until_ns is None or event.time_ns <= until_ns
                ):
                    yield event
            while True:
                following = await _next(queue, until_ns)
                if following is None:
                    return
                yield following
        finally:
            self._listeners.discard(queue)

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)


async def _next(queue: asyncio.Queue[Event | None], until_ns: int | None) -> Event | None:
    if until_ns is None:
        return await queue.get()
    try:
        async with asyncio.timeout((until_ns - time.time_ns()) / 1e9):
            return await queue.get()
    except TimeoutError:
        return None
