"""Containers that send any frame and hear every frame.

Nothing is waited for: frames that one sends arrive in their order, so after the last of them has
arrived those before it have, too, or never will.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import count, permutations
from pathlib import Path
from time import monotonic
from typing import Any, Self

from tests.kernel.frames import Frames, Speaker, content, plain

ALL_PROTOCOLS = 3  # ETH_P_ALL, linux/if_ether.h
OUTGOING = 4  # PACKET_OUTGOING, linux/if_packet.h
DEADLINE_S = 5
MOMENT_S = 0.005


class Ears:
    """A packet socket at the interface eth0 of each container."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._numbers = count()

    def __enter__(self) -> Self:
        # Frames keep their order on one processor: each has a queue of its own.
        self._processors = os.sched_getaffinity(0)
        os.sched_setaffinity(0, [min(self._processors)])
        return self

    def __exit__(self, *error: object) -> None:
        os.sched_setaffinity(0, self._processors)
        for name in [*self._sockets]:
            self.close(name)

    def open(self, name: str, inside: Callable[..., Any], box: Path) -> None:
        """Open a container's socket; `inside` calls a function where that is."""
        self._sockets[name] = inside(box, _opened)

    def close(self, name: str) -> None:
        self._sockets.pop(name).close()

    def until(self, hearer: str, end: bytes) -> list[bytes]:
        """Return what comes in before a frame; TimeoutError if that does not come."""
        return _heard(self._sockets[hearer], end)

    def settle(self) -> None:
        """Wait until each hears all others: a port is up a moment before frames may pass."""
        for speaker, hearer in permutations(self._sockets, 2):
            deadline = monotonic() + DEADLINE_S
            self._sockets[hearer].settimeout(MOMENT_S)
            while not self._hears(speaker, hearer):
                assert monotonic() < deadline, f"{hearer} does not hear {speaker}"
            self._sockets[hearer].settimeout(DEADLINE_S)

    def hearers(self, speaker: str, frames: Frames) -> set[str]:
        """Send frames; return who hears what the first of them says."""
        for frame in frames:
            self._sockets[speaker].send(bytes(frame))
        end = self._end(speaker)
        others = {name: each for name, each in self._sockets.items() if name != speaker}
        said = content(frames[0])
        return {
            name
            for name, each in others.items()
            if any(said in frame for frame in _heard(each, end))
        }

    def _hears(self, speaker: str, hearer: str) -> bool:
        with suppress(TimeoutError):
            _heard(self._sockets[hearer], self._end(speaker))
            return True
        return False

    def _end(self, speaker: str) -> bytes:
        """Send a frame like no other, and return it."""
        mac = self._sockets[speaker].getsockname()[4].hex(":")
        end = bytes(plain(Speaker(mac), b"end %d" % next(self._numbers)))
        self._sockets[speaker].send(end)
        return end


def _opened() -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
    opened.bind(("eth0", 0))
    opened.settimeout(DEADLINE_S)
    return opened


def _heard(hearer: socket.socket, end: bytes) -> list[bytes]:
    heard = []
    while True:
        frame, (_, _, kind, *_) = hearer.recvfrom(65536)
        if frame == end:
            return heard
        if kind != OUTGOING:
            heard.append(frame)
