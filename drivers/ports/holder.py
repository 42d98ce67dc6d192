"""All held ports, and the verbs on them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from drivers.contract import Address
from drivers.ports import sockets
from drivers.ports.datagrams import DatagramRelay
from drivers.ports.protocol import Hold, Key, PortRefusedError
from drivers.ports.streams import StreamRelay

_Relay = StreamRelay | DatagramRelay
_Target = tuple[Address, int]

_RELAYS: Mapping[str, type[_Relay]] = {"tcp": StreamRelay, "udp": DatagramRelay}


class Holder:
    """The sockets of the held ports. Its verbs may be repeated."""

    def __init__(self) -> None:
        self._ports: dict[Key, _HeldPort] = {}

    @property
    def held(self) -> Collection[Key]:
        """The ports that are held."""
        return self._ports.keys()

    def hold(self, holds: Iterable[Hold]) -> None:
        """Hold all of these; or none, and raise PortRefusedError for the first that cannot be.

        What is held already gets its target, which may be another one.
        """
        wishes = _wishes(holds)
        opened = {}
        with ExitStack() as undo:
            for key, wish in wishes.items():
                if key not in self._ports:
                    opened[key] = _HeldPort(wish)
                    undo.callback(opened[key].close)
            undo.pop_all()
        self._ports |= opened
        for key, wish in wishes.items():
            self._ports[key].aim(wish.target)

    def release(self, holds: Iterable[Hold]) -> None:
        """Let go of these ports, and cut off what is relayed there."""
        for key in _wishes(holds):
            self._release(key)

    def synchronise(self, holds: Iterable[Hold]) -> Sequence[PortRefusedError]:
        """Hold these and no others; return what was refused."""
        wishes, refused = _wishes(holds), []
        for key in self._ports.keys() - wishes.keys():
            self._release(key)
        for key, wish in wishes.items():
            try:
                if key not in self._ports:
                    self._ports[key] = _HeldPort(wish)
            except PortRefusedError as error:
                refused.append(error)
            else:
                self._ports[key].aim(wish.target)
        return refused

    def close(self) -> None:
        """Let go of everything."""
        for key in list(self._ports):
            self._release(key)

    def _release(self, key: Key) -> None:
        if key in self._ports:
            self._ports.pop(key).close()


@dataclass(frozen=True, slots=True)
class _Wish:
    """One port of a hold."""

    hold: Hold
    port: int

    @property
    def target(self) -> _Target | None:
        hold = self.hold
        if hold.target is None or hold.address.version == 4 or hold.protocol not in _RELAYS:
            return None
        return hold.target, hold.target_port + self.port - hold.port


def _wishes(holds: Iterable[Hold]) -> Mapping[Key, _Wish]:
    return {key: _Wish(hold, key[2]) for hold in holds for key in hold.keys}


class _HeldPort:
    """A bound socket. Nothing gets in, or IPv6 gets in and is relayed."""

    __slots__ = ("_kind", "_relay", "_socket", "_target")

    def __init__(self, wish: _Wish) -> None:
        try:
            self._socket = sockets.held_socket(wish.hold, wish.port)
        except OSError as error:
            raise PortRefusedError(
                wish.hold, wish.port, error.errno or 0, error.strerror or str(error)
            ) from error
        self._kind = wish.hold.protocol
        self._target: _Target | None = None
        self._relay: _Relay | None = None

    def aim(self, target: _Target | None) -> None:
        """Relay to this target from now on. What went to another one is cut off."""
        if target == self._target:
            return
        self._stop()
        self._target = target
        sockets.admit(self._socket, sockets.ALL_BUT_IPV4 if target else sockets.NOTHING)
        if target:
            self._relay = _RELAYS[self._kind](self._socket, *target)

    def close(self) -> None:
        self._stop()
        self._socket.close()

    def _stop(self) -> None:
        if self._relay is not None:
            self._relay.close()
            self._relay = None
