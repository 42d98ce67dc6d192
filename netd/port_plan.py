"""Which ports of the host a container gets, beside those that others have: pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice

from drivers.ports import Hold
from netd.errors import InternalError
from netd.model import Address, PortMapping
from netd.port_wishes import ANY, Wish

ATTEMPTS = 10  # with ephemeral ports that the kernel refuses, as Docker makes
ITSELF = "this container"
NAMED = 3  # of those who have the ports of a range, in one sentence


class Claims:
    """The ports of the host that one has: at an address, and anywhere in its family."""

    def __init__(self, owner: str, mappings: Iterable[PortMapping] = ()) -> None:
        """`owner` is told to whoever wants one of them: "container db", "nginx, pid 123"."""
        self.owner = owner
        self._ports: dict[tuple[str, Address | int], set[int]] = {}
        for each in mappings:
            self.add(each)

    def add(self, mapping: PortMapping) -> None:
        """Claim the ports of a mapping."""
        first, address = mapping.host_port, mapping.host_address
        if first:  # else it is routed
            for where in (address, address.version):
                ports = self._ports.setdefault((mapping.protocol, where), set())
                ports.update(range(first, first + mapping.count))

    def clash(self, wish: Wish, number: int) -> tuple[Address, int] | None:
        """Return what a wish cannot have at this number: its address, and the port."""
        for address in wish.addresses:
            everywhere = ANY[address.version]
            places = (address.version,) if address == everywhere else (address, everywhere)
            for place in places:
                ports = self._ports.get((wish.protocol, place), ())
                for port in range(number, number + wish.count) if ports else ():
                    if port in ports:
                        return address, port
        return None


class Choice:
    """The numbers for a container's wishes, chosen anew when the kernel refuses one.

    Numbers that are `kept` stay. Exact ones come before ranges, and these before the `ephemeral`
    ones, tried in turn from place `start` on, so that no choice takes what another cannot do
    without.
    """

    def __init__(
        self,
        wishes: Sequence[Wish],
        kept: Iterable[PortMapping],
        others: Iterable[Claims],
        ephemeral: Sequence[int],
        start: int,
    ) -> None:
        self._wishes, self._others = wishes, [*others]
        self._kept = _kept_numbers(wishes, kept)
        self._ephemeral, self._start = ephemeral, start % max(len(ephemeral), 1)
        self._numbers: dict[Wish, int] = {}
        self._refusals: Counter[Wish] = Counter()

    def mappings(self) -> tuple[PortMapping, ...]:
        """Return all that is published, in the order of the wishes.

        Raises InternalError when no number is left for a wish.
        """
        own = Claims(ITSELF)
        self._numbers, claims = {}, [*self._others, own]
        # One round for all: a container may wish for thousands of them.
        round_ = cycle(chain(self._ephemeral[self._start :], self._ephemeral[: self._start]))
        for wish in sorted(self._wishes, key=self._rank):
            if wish.addresses:
                number = _free(wish, self._candidates(wish, round_), claims)
                self._numbers[wish] = number
                for mapping in wish.mappings(number):
                    own.add(mapping)
        return tuple(
            each for wish in self._wishes for each in wish.mappings(self._numbers.get(wish, 0))
        )

    def refused(self, hold: Hold, port: int, owner: str) -> bool:
        """Leave a port alone that the kernel says is in use; return whether there are others."""
        wish = next((each for each in self._numbers if self._belongs(hold, port, each)), None)
        if wish is None or wish.exact or wish in self._kept:
            return False
        mapping = PortMapping(hold.address, port, port, wish.protocol)
        self._others.append(Claims(owner, [mapping]))
        self._refusals[wish] += 1
        return bool(wish.first) or self._refusals[wish] < ATTEMPTS

    def _rank(self, wish: Wish) -> int:
        if wish in self._kept:
            return 0
        if wish.exact:
            return 1
        return 2 if wish.first else 3

    def _candidates(self, wish: Wish, round_: Iterator[int]) -> Iterable[int]:
        if wish in self._kept:
            return (self._kept[wish],)
        if wish.first:
            return range(wish.first, wish.last + 1)
        return islice(round_, len(self._ephemeral))

    def _belongs(self, hold: Hold, port: int, wish: Wish) -> bool:
        at = hold.protocol == wish.protocol and hold.address in wish.addresses
        return at and 0 <= port - self._numbers[wish] < wish.count


def ephemeral_ports(local_range: str, reserved: str) -> Sequence[int]:
    """Return the ports that the kernel gives by itself, from the words of its settings.

    These are ip_local_port_range, "32768 60999", and ip_local_reserved_ports, "8080,9000-9100"
    (linux/Documentation/networking/ip-sysctl.rst).
    """
    first, last = map(int, local_range.split())
    every = range(first, last + 1)
    left_out = {port for text in reserved.split(",") if text.strip() for port in _range(text)}
    return [port for port in every if port not in left_out] if left_out else every


def host_end(address: Address, port: int | str) -> str:
    """Return an address and a port as they are written together, [::]:80."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


@dataclass(frozen=True, slots=True)
class _Clash:
    """Why a number is not for a wish."""

    address: Address  # the wish's
    port: int
    owner: str


def _kept_numbers(wishes: Sequence[Wish], kept: Iterable[PortMapping]) -> Mapping[Wish, int]:
    """Return the numbers by which wishes are fulfilled already, at one of their addresses.

    What is there fulfils one wish only: first those that can have no other number, then those that
    lack no address. So the same wishes always find their own numbers again.
    """
    known: dict[object, dict[int, set[Address]]] = {}
    for each in kept:
        by_number = known.setdefault((each.protocol, each.port, each.count), {})
        by_number.setdefault(each.host_port, set()).add(each.host_address)
    numbers: dict[Wish, int] = {}
    for turn in ("exact", "whole", "part"):
        for wish in wishes:
            if wish in numbers or (turn == "exact" and not wish.exact):
                continue
            by_number = known.get((wish.protocol, wish.port, wish.count), {})
            for number, left in by_number.items():
                found = left.intersection(wish.addresses)
                enough = len(found) == len(wish.addresses) or turn != "whole"
                if number and found and enough and wish.allows(number):
                    numbers[wish] = number
                    left.difference_update(found)
                    break
    return numbers


def _free(wish: Wish, candidates: Iterable[int], claims: Sequence[Claims]) -> int:
    clashes: list[_Clash] = []
    for number in candidates:
        clash = next(_clashes(wish, number, claims), None)
        if clash is None:
            return number
        clashes.append(clash)
    raise InternalError(f"Bind for {_nothing_free(wish, clashes)}")


def _clashes(wish: Wish, number: int, claims: Sequence[Claims]) -> Iterator[_Clash]:
    for each in claims:
        if clash := each.clash(wish, number):
            yield _Clash(*clash, each.owner)


def _nothing_free(wish: Wish, clashes: Sequence[_Clash]) -> str:
    if len(clashes) == 1:
        end = host_end(clashes[0].address, clashes[0].port)
        return f"{end} failed: port is already allocated (by {clashes[0].owner})"
    if not wish.first:
        return f"{wish.addresses[0]} failed: all ephemeral ports are allocated"
    named = [f"{each.port} by {each.owner}" for each in clashes[:NAMED]]
    named += ["..."] * (len(clashes) > NAMED)
    end = host_end(wish.addresses[0], f"{wish.first}-{wish.last}")
    return f"{end} failed: all ports are allocated ({', '.join(named)})"


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
