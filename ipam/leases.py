"""Who has which address of a subnet.

Addresses stick to their owner: who comes back gets what it had last, if it is free. Others get
addresses that were never used, in order, then the ones released longest ago. So an address that
was just given up, and may still be in someone's ARP table or DNS cache, is the last to be reused.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from ipam.errors import AddressOutsideError, AddressTakenError, SubnetExhaustedError
from ipam.prefixes import Address, address_at, span
from ipam.subnets import Subnet, reserved

# More released addresses than this are not remembered: a /64 would never need to reuse one, and
# the memory of a busy daemon would grow for good. It is all that a /16 has.
REMEMBERED = 1 << 16


class Leases:
    """The addresses of one subnet.

    `held` maps addresses to their owners; `released` tells those given up with the owner who had
    each, oldest first. Addresses are numbers in here: hashing address objects costs more than all
    the rest. Each call takes constant time, averaged over many.

        first ........ cursor ................. last     of the ip range, else of the prefix
        held, reserved,   |    never used, but for a few
        released          |    that were asked for
    """

    def __init__(
        self,
        subnet: Subnet,
        held: Mapping[Address, str] | None = None,
        released: Iterable[tuple[Address, str]] = (),
    ) -> None:
        self._subnet = subnet
        self._version = subnet.prefix.version
        self._first, self._last = span(subnet.ip_range or subnet.prefix)
        self._reserved = _kept(subnet)
        self._held: dict[int, str] = {}
        # Not a dict: finding the first key of one whose first keys were removed takes ever longer.
        self._released: OrderedDict[int, str] = OrderedDict()
        self._last_of: dict[str, int] = {}  # owner -> the address it released last
        self._cursor = self._first
        self._forgotten = False  # some released address is remembered no more
        self._available = self._last - self._first + 1
        self._available -= sum(map(self._in_range, self._reserved))
        for address, owner in (held or {}).items():
            if address not in subnet.prefix:
                raise AddressOutsideError(f"address {address} is outside subnet {subnet.prefix}")
            self._take(int(address), owner)
        for address, owner in released:
            if address in subnet.prefix and int(address) not in self._held:
                self._remember(int(address), owner)

    @property
    def held(self) -> Mapping[Address, str]:
        """The addresses in use, with their owners."""
        return {address_at(self._version, number): who for number, who in self._held.items()}

    @property
    def released(self) -> Sequence[tuple[Address, str]]:
        """The addresses given up, with the owner who had each, oldest first."""
        return [(address_at(self._version, number), who) for number, who in self._released.items()]

    @property
    def available(self) -> int:
        """How many addresses can still be given to owners that want none in particular."""
        return self._available

    def allocate(self, owner: str, wanted: Address | None = None) -> Address:
        """Give an owner an address: the wanted one, else one of the ip range.

        Raises AddressOutsideError, AddressTakenError, SubnetExhaustedError.
        """
        number = self._free_number(owner) if wanted is None else self._checked(wanted)
        previous = self._released.pop(number, None)
        if previous is not None and self._last_of.get(previous) == number:
            del self._last_of[previous]
        self._take(number, owner)
        return address_at(self._version, number)

    def release(self, address: Address) -> None:
        """Take an address back; one that nobody has is left alone."""
        if address.version != self._version or int(address) not in self._held:
            return
        number = int(address)
        owner = self._held.pop(number)
        if self._in_range(number) and number not in self._reserved:
            self._available += 1
        self._remember(number, owner)

    def _checked(self, wanted: Address) -> int:
        if wanted not in self._subnet.prefix:
            raise AddressOutsideError(f"address {wanted} is outside subnet {self._subnet.prefix}")
        number = int(wanted)
        purpose = self._reserved.get(number)
        if purpose is not None:
            raise AddressTakenError(f"address {wanted} is {purpose} of {self._subnet.prefix}")
        if number in self._held:
            raise AddressTakenError(f"address {wanted} is in use by {self._held[number]}")
        return number

    def _free_number(self, owner: str) -> int:
        if self._available <= 0:
            where = self._subnet.ip_range or self._subnet.prefix
            raise SubnetExhaustedError(f"no address is left in {where}")
        last = self._last_of.get(owner)
        if last is not None:
            return last
        unused = self._never_used()
        if unused is None and self._forgotten:
            # What was forgotten counts as never used, and is found on a second walk.
            self._forgotten = False
            self._cursor = self._first
            unused = self._never_used()
        return next(iter(self._released)) if unused is None else unused

    def _never_used(self) -> int | None:
        while self._cursor <= self._last:
            number = self._cursor
            if not (number in self._held or number in self._released or number in self._reserved):
                return number
            self._cursor += 1
        return None

    def _take(self, number: int, owner: str) -> None:
        self._held[number] = owner
        if self._in_range(number) and number not in self._reserved:
            self._available -= 1

    def _remember(self, number: int, owner: str) -> None:
        """Note a free address for its owner, unless only static ones may have it."""
        if not self._in_range(number) or number in self._reserved:
            return
        self._released.pop(number, None)
        self._released[number] = owner
        self._last_of[owner] = number
        if len(self._released) > REMEMBERED:
            oldest, previous = self._released.popitem(last=False)
            if self._last_of.get(previous) == oldest:
                del self._last_of[previous]
            self._forgotten = True

    def _in_range(self, number: int) -> bool:
        return self._first <= number <= self._last


def _kept(subnet: Subnet) -> dict[int, str]:
    """Return the addresses kept for a purpose, as numbers."""
    kept = reserved(subnet.prefix)
    kept |= {int(address): f"the auxiliary address {n}" for n, address in subnet.auxiliary.items()}
    if subnet.gateway is not None:
        kept[int(subnet.gateway)] = "the gateway"
    return kept
