"""Netlink: what is said to the kernel, and what it answers (netlink(7), linux/netlink.h).

    message     length, type, flags, sequence, port | body
    attribute   length, type | value, or further attributes

Both are padded to 4 octets; the numbers are in the host's order where not said otherwise. Every
question opens a socket of its own, in the network namespace that the thread is in. That costs some
microseconds, and nothing that was left unread is ever taken for an answer to something else.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Self, TypeVar

T = TypeVar("T")
Message = tuple[int, int, bytes]  # type, flags, body

NETFILTER = 12  # NETLINK_NETFILTER, linux/netlink.h
REQUEST, ACK, DUMP = 0x01, 0x04, 0x300  # NLM_F_...
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400
DUMP_INTERRUPTED, CAPPED, ACK_TLVS = 0x10, 0x100, 0x200
ERROR, DONE = 2, 3  # NLMSG_...; an error of zero is an acknowledgement
NESTED, TYPE_MASK = 0x8000, 0x3FFF  # NLA_F_NESTED, NLA_TYPE_MASK
ERROR_WORDS = 1  # NLMSGERR_ATTR_MSG
SOL_NETLINK, CAP_ACK, EXT_ACK = 270, 10, 11

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
CODE = struct.Struct("=i")  # of struct nlmsgerr, below zero
RECEIVE_BYTES = 1 << 16  # the kernel sends at most half of it at once
DEADLINE = struct.pack("@ll", 10, 0)  # struct timeval; the kernel answers before send() returns
AT_ONCE = 64  # so many answers find room in a socket, whatever its limit is
ATTEMPTS = 20


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Return a message; a body of attributes is padded already."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body


def request(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Return a message that wants something done, and an answer whether it was."""
    return message(kind, REQUEST | ACK | flags, body)


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute, padded."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(aligned(length) - length)


def nested(kind: int, *inner: bytes) -> bytes:
    """Return an attribute that consists of attributes, and says so."""
    return attribute(kind | NESTED, b"".join(inner))


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of what was received at once, all that are whole."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
        end = offset + length
        if length < HEADER.size or end > len(data):
            return
        yield kind, flags, data[offset + HEADER.size : end]
        offset = aligned(end)


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the values of the attributes that begin at an offset, by type; flags are left out."""
    found = {}
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        end = offset + length
        if length < ATTRIBUTE.size or end > len(data):
            break
        found[kind & TYPE_MASK] = data[offset + ATTRIBUTE.size : end]
        offset = aligned(end)
    return found


def aligned(length: int) -> int:
    """Return a length with its padding."""
    return (length + 3) & ~3


def do(protocol: int, requests: Sequence[bytes]) -> None:
    """Do all of them; OSError with the kernel's words for the first that is refused."""
    for refused in refusals(protocol, requests):
        if refused is not None:
            raise refused


def refusals(protocol: int, requests: Sequence[bytes]) -> list[OSError | None]:
    """Do all of them, and return for each why it was refused; None for what is done.

    They are sent 64 at a time, so this is nothing for transactions of nf_tables.
    """
    found: list[OSError | None] = []
    with _opened(protocol) as kernel:
        for start in range(0, len(requests), AT_ONCE):
            some = requests[start : start + AT_ONCE]
            kernel.send(b"".join(some))
            wanted = len(found) + len(some)
            while len(found) < wanted:
                answers = [answer for answer in messages(_received(kernel)) if answer[0] == ERROR]
                found += [refusal(*answer) for answer in answers]
    return found


def answer(protocol: int, kind: int, body: bytes) -> bytes:
    """Return the body of the one message that a question is answered with, or OSError."""
    with Line(protocol) as line:
        return line.answer(kind, body)


class Line:
    """A socket for questions that are asked again and again, in the namespace it was opened in.

    Closing a socket of nf_tables' waits until all that was deleted is really gone, some 10 ms.
    """

    def __init__(self, protocol: int) -> None:
        self._kernel = _opened(protocol)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Give the socket back."""
        self.close()

    def close(self) -> None:
        """Give the socket back; may be repeated."""
        self._kernel.close()

    def answer(self, kind: int, body: bytes) -> bytes:
        """Return the body of the one message that a question is answered with, or OSError."""
        self._kernel.send(message(kind, REQUEST, body))
        for answered, flags, found in messages(_received(self._kernel)):
            if answered != ERROR:
                return found
            if refused := refusal(answered, flags, found):
                raise refused
        raise OSError(errno.ENOMSG, f"netlink gave no answer to a message of type {kind}")


def dump(protocol: int, kind: int, body: bytes) -> Iterator[bytes]:
    """Yield the bodies of all messages that a question is answered with, or OSError.

    Ends with InterruptedError if things changed meanwhile: some may be missing, or came twice.
    """
    with _opened(protocol) as kernel:
        kernel.send(message(kind, REQUEST | DUMP, body))
        interrupted = False
        while True:
            for answered, flags, found in messages(_part(kernel)):
                interrupted = interrupted or bool(flags & DUMP_INTERRUPTED)
                if answered not in {ERROR, DONE}:
                    yield found
                    continue
                if refused := refusal(answered, flags, found):
                    raise refused
                if interrupted:
                    raise InterruptedError(errno.EINTR, "things changed while they were listed")
                return


def undisturbed(read: Callable[[], T]) -> T:
    """Return what is read from dumps; where one was interrupted all is read again."""
    for _ in range(ATTEMPTS - 1):
        try:
            return read()
        except InterruptedError:
            continue
    return read()


def refusal(kind: int, flags: int, body: bytes) -> OSError | None:
    """Return what a message of type ERROR or DONE says; None if all is well."""
    code = -CODE.unpack_from(body)[0] if len(body) >= CODE.size else 0
    if code == 0:
        return None
    words, more = os.strerror(code), b""
    if flags & ACK_TLVS:
        offset = CODE.size
        if kind == ERROR:  # the request is repeated in between, all of it or only its header
            length = HEADER.unpack_from(body, offset)[0]
            offset += HEADER.size if flags & CAPPED else aligned(length)
        more = attributes(body, offset).get(ERROR_WORDS, b"").rstrip(b"\0")
    return OSError(code, f"{words}: {more.decode(errors='replace')}" if more else words)


def _opened(protocol: int) -> socket.socket:
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    kernel.setsockopt(SOL_NETLINK, CAP_ACK, 1)  # answers without the request in them
    kernel.setsockopt(SOL_NETLINK, EXT_ACK, 1)  # ... but with words
    kernel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, DEADLINE)
    return kernel


def _received(kernel: socket.socket) -> bytes:
    try:
        return kernel.recv(RECEIVE_BYTES)
    except BlockingIOError as error:
        raise TimeoutError(errno.ETIMEDOUT, "netlink does not answer") from error


def _part(kernel: socket.socket) -> bytes:
    try:
        return _received(kernel)
    except OSError as error:
        if error.errno == errno.ENOBUFS:  # a part was lost, and maybe the last one
            raise InterruptedError(errno.EINTR, "a part of a list was lost") from error
        raise
