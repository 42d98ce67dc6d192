"""The frames that carry standard output and error in one stream (Docker Engine API, attach).

octets 0: stream (1 output, 2 error)   1-3: zero   4-7: length, network order   then the data
"""

from collections.abc import Iterator

STDOUT, STDERR = 1, 2
_HEAD_BYTES = 8


class Frames:
    """Takes a stream apart, however it was cut on its way."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._stream = STDOUT
        self._left = 0  # octets of the frame that are still to come

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Give (stream, data) for what was received; parts of a frame at once."""
        view = memoryview(data)
        while view:
            if not self._left:
                wanted = _HEAD_BYTES - len(self._head)
                self._head += view[:wanted]
                view = view[wanted:]
                if len(self._head) < _HEAD_BYTES:
                    return
                self._stream = self._head[0]
                self._left = int.from_bytes(self._head[4:])
                self._head.clear()
                continue
            part = bytes(view[: self._left])
            view = view[len(part) :]
            self._left -= len(part)
            yield self._stream, part
