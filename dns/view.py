"""One view's sockets: the questions of one asker are read, answered or forwarded here."""

import asyncio
import contextlib
import logging
import socket
from typing import Any

from dns.answers import response
from dns.control import View
from dns.forward import Forwarder
from dns.question import REFUSED, SERVFAIL, Question, cut, failure
from dns.records import Records
from dns.stream import StreamListener

IN_FLIGHT = 1024  # forwarded questions of one view; the next is refused
_PACKETS_A_TURN = 64  # more would make other views wait, fewer cost a poll each
_LARGEST_QUESTION = 4096
_BUFFER_OCTETS = 1 << 20  # a few hundred questions fit into the kernel's default
_SO_RCVBUFFORCE = 33  # socket(7); needs CAP_NET_ADMIN

log = logging.getLogger(__name__)


class OpenView:
    """Answers on a bound UDP and a listening TCP socket, which it owns."""

    def __init__(
        self,
        view: View,
        datagrams: socket.socket,
        streams: socket.socket,
        records: Records,
        forwarder: Forwarder,
    ) -> None:
        self.view = view  # may be replaced at any time
        self._datagrams = datagrams
        self._records = records
        self._forwarder = forwarder
        self._forwards: set[asyncio.Task[None]] = set()
        self._stream_forwards = 0
        self._loop = asyncio.get_running_loop()
        datagrams.setblocking(False)
        streams.setblocking(False)
        _enlarge_buffer(datagrams)
        with contextlib.ExitStack() as undo:
            self._loop.add_reader(datagrams, self._answer_datagrams)
            undo.callback(self._loop.remove_reader, datagrams)
            self._streams = StreamListener(streams, self._stream_reply)
            undo.pop_all()

    def close(self) -> None:
        """Close the sockets and forget what is being forwarded."""
        self._loop.remove_reader(self._datagrams)
        self._datagrams.close()
        self._streams.close()
        for forward in self._forwards:
            forward.cancel()

    def _answer_datagrams(self) -> None:
        receive, send = self._datagrams.recvfrom, self._datagrams.sendto
        view, records = self.view, self._records
        for _ in range(_PACKETS_A_TURN):
            try:
                packet, peer = receive(_LARGEST_QUESTION)
                reply = response(packet, view, records, stream=False)
                if isinstance(reply, Question):
                    self._forward_datagram(packet, reply, peer)
                elif reply is not None:
                    send(reply, peer)
            except BlockingIOError:  # all are read, or the asker's buffer is full: it asks again
                return
            except OSError as error:
                log.debug("lost a datagram of view %s: %s", view.id, error)
            except Exception:
                log.exception("a packet of view %s was not understood", view.id)

    def _forward_datagram(self, packet: bytes, question: Question, peer: Any) -> None:
        if self._full:
            self._datagrams.sendto(failure(packet, question, REFUSED), peer)
            return
        task = self._loop.create_task(self._forwarded_datagram(packet, question, peer))
        self._forwards.add(task)
        task.add_done_callback(self._forwards.discard)

    async def _forwarded_datagram(self, packet: bytes, question: Question, peer: Any) -> None:
        reply = await self._forwarded(packet, question, stream=False)
        with contextlib.suppress(OSError):  # the asker asks again
            self._datagrams.sendto(cut(reply, question), peer)

    async def _stream_reply(self, packet: bytes) -> bytes | None:
        reply = response(packet, self.view, self._records, stream=True)
        if not isinstance(reply, Question):
            return reply
        if self._full:
            return failure(packet, reply, REFUSED)
        self._stream_forwards += 1
        try:
            return await self._forwarded(packet, reply, stream=True)
        finally:
            self._stream_forwards -= 1

    async def _forwarded(self, packet: bytes, question: Question, *, stream: bool) -> bytes:
        reply = await self._forwarder.reply(
            packet, question.end, self.view.upstreams, stream=stream
        )
        return reply or failure(packet, question, SERVFAIL)

    @property
    def _full(self) -> bool:
        in_flight = len(self._forwards) + self._stream_forwards
        return in_flight >= IN_FLIGHT or self._forwarder.full


def _enlarge_buffer(datagrams: socket.socket) -> None:
    try:
        datagrams.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
    except PermissionError:  # then as large as net.core.rmem_max allows
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
