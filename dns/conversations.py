"""The control connections: the newest client that says hello is the one, earlier ones are closed.

The server goes on answering questions with what it knows while no client is connected.
"""

import asyncio
import logging
import socket
from contextlib import closing
from typing import NoReturn

from dns.channel import Channel, ChannelError, Frame
from dns.control import ControlError, Fields, decoded, encoded
from dns.verbs import Verbs

_ACCEPT_PAUSE_S = 1.0

log = logging.getLogger(__name__)


class Conversations:
    """Takes the clients' requests; `stop` is set when one asks for the server's end."""

    def __init__(self, verbs: Verbs, stop: asyncio.Event) -> None:
        self._verbs = verbs
        self._stop = stop
        self._newest: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a client is there that said hello."""
        return self._newest is not None and not self._newest.done()

    async def serve(self, listening: socket.socket) -> NoReturn:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as conversations:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listening)
                except OSError as error:  # no descriptor is free
                    log.warning("accepts no client for %s s: %s", _ACCEPT_PAUSE_S, error)
                    await asyncio.sleep(_ACCEPT_PAUSE_S)
                else:
                    conversations.create_task(self._converse(Channel(connection)))

    async def _converse(self, channel: Channel) -> None:
        try:
            while (frame := await channel.receive()) is not None:
                with closing(frame):
                    verb, reply = self._reply(frame)
                await channel.send(encoded(reply))
                if verb == "hello":
                    self._supersede()
                elif verb == "shutdown":
                    self._stop.set()
        except (ChannelError, OSError) as error:
            log.warning("a client's connection ended: %s", error)
        finally:
            channel.close()

    def _supersede(self) -> None:
        task = asyncio.current_task()
        if self._newest is not None and self._newest is not task:
            self._newest.cancel()
        self._newest = task

    def _reply(self, frame: Frame) -> tuple[object, Fields]:
        verb: object = None
        try:
            fields = decoded(frame.payload)
            verb = fields.get("verb")
            if verb == "shutdown":
                return verb, {"result": None}
            return verb, {"result": self._verbs.perform(fields, frame)}
        except ControlError as error:
            return verb, {"error": str(error)}
        except Exception as error:
            log.exception("request %s went wrong", verb)
            return verb, {"error": f"{verb} went wrong in the dns server: {error}"}
