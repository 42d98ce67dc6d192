"""The frames in which output travels when there is no terminal: 8 octets, then the data."""

import struct

STDOUT, STDERR = 1, 2
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def frame(stream: int, data: bytes) -> bytes:
    """Return data with its head: the stream, three zeros, the length in network order."""
    return struct.pack(">BxxxI", stream, len(data)) + data


def content_type(version: tuple[int, int], *, tty: bool) -> str:
    """Return a stream's type; before 1.42 Docker did not tell frames from raw octets."""
    return RAW if tty or version < (1, 42) else MULTIPLEXED
