"""The daemon's connections, by which it asks for ports.

The newest client that says hello is the one: those before it are cut off. Ports stay held while no
client is there.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping

from drivers.ports import protocol
from drivers.ports.holder import Holder
from drivers.ports.protocol import Fields, PortRefusedError, ProtocolError

log = logging.getLogger(__name__)


class Control:
    """Does what the clients ask for; `stop` is set when one asks for the end."""

    def __init__(self, holder: Holder, stop: asyncio.Event) -> None:
        self._holder = holder
        self._stop = stop
        self._newest: asyncio.Task[None] | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._verbs: Mapping[str, Callable[[Fields], object]] = {
            "hello": self._hello,
            "hold": self._hold,
            "release": self._release,
            "synchronise": self._synchronise,
            "held": self._held,
            "shutdown": self._shutdown,
        }

    @property
    def connected(self) -> bool:
        """Whether a client is there that said hello."""
        return self._newest is not None and not self._newest.done()

    def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a client until it goes."""
        conversation = asyncio.create_task(self._converse(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def close(self) -> None:
        """End all conversations."""
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                verb, answer = self._answer(line)
                writer.write(protocol.encoded(answer))
                await writer.drain()
                if verb == "hello":
                    self._supersede()
                elif verb == "shutdown":
                    self._stop.set()
        except (OSError, ValueError) as error:  # ValueError: a line that does not end
            log.warning("a client's connection ended: %s", error)
        finally:
            writer.transport.abort()

    def _supersede(self) -> None:
        task = asyncio.current_task()
        if self._newest is not None and self._newest is not task:
            self._newest.cancel()
        self._newest = task

    def _answer(self, line: bytes) -> tuple[str, Fields]:
        verb = ""
        try:
            fields = protocol.decoded(line)
            verb = protocol.text(fields, "verb")
            if verb not in self._verbs:
                raise ProtocolError(f"no such verb: {verb!r:.80}")
            return verb, {"result": self._verbs[verb](fields)}
        except ProtocolError as error:
            return verb, {"error": str(error)}
        except Exception as error:
            log.exception("request %s went wrong", verb)
            return verb, {"error": f"{verb} went wrong in the port holder: {error}"}

    def _hello(self, _fields: Fields) -> object:
        return {"version": protocol.PROTOCOL_VERSION, "pid": os.getpid()}

    def _hold(self, fields: Fields) -> object:
        try:
            self._holder.hold(protocol.holds(fields))
        except PortRefusedError as error:
            return [protocol.refusal_fields(error)]
        return []

    def _release(self, fields: Fields) -> object:
        self._holder.release(protocol.holds(fields))
        return None

    def _synchronise(self, fields: Fields) -> object:
        return [
            protocol.refusal_fields(error)
            for error in self._holder.synchronise(protocol.holds(fields))
        ]

    def _held(self, _fields: Fields) -> object:
        return [protocol.key_fields(key) for key in self._holder.held]

    def _shutdown(self, _fields: Fields) -> object:
        return None
