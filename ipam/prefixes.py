"""Arithmetic of addresses and prefixes for both families, on whole numbers.

The standard library compares only prefixes of one family and makes an object a step; here a prefix
is the span of its first and last address, as numbers.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

VERSIONS = (4, 6)


def bits(version: int) -> int:
    """Return how many bits an address of this family has."""
    return 32 if version == 4 else 128


def span(prefix: Prefix) -> tuple[int, int]:
    """Return the first and the last address as numbers."""
    first = int(prefix.network_address)
    return first, first + (1 << (prefix.max_prefixlen - prefix.prefixlen)) - 1


def overlap(one: Prefix, other: Prefix) -> bool:
    """Tell whether two prefixes, of any family, share an address."""
    if one.version != other.version:
        return False
    (first, last), (other_first, other_last) = span(one), span(other)
    return first <= other_last and other_first <= last


def covers(outer: Prefix, inner: Prefix) -> bool:
    """Tell whether all of `inner` lies in `outer`."""
    return overlap(outer, inner) and outer.prefixlen <= inner.prefixlen


def prefix_at(version: int, first: int, length: int) -> Prefix:
    """Return the prefix that begins at a number."""
    return IPv4Network((first, length)) if version == 4 else IPv6Network((first, length))


def address_at(version: int, number: int) -> Address:
    """Return the address that is a number."""
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def parsed_address(text: str) -> Address | None:
    """Read an address; None if it is none. Zones (fe80::1%eth0) mean nothing here."""
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(text) if "%" not in text else None
        except ValueError:
            continue
    return None


def parsed_prefix(text: str) -> tuple[Prefix, bool] | None:
    """Read a prefix, and tell whether it was written without host bits; None if it is none.

    The length must be there, in digits: an address alone or a netmask (10.0.0.0/0.0.0.255 is one
    to the standard library) is more often a slip than a wish.
    """
    head, _, length = text.partition("/")
    address = parsed_address(head)
    if address is None or not (length.isascii() and length.isdigit()):
        return None
    if len(length) > 3 or int(length) > address.max_prefixlen:
        return None
    host_bits = address.max_prefixlen - int(length)
    first = int(address) >> host_bits << host_bits
    return prefix_at(address.version, first, int(length)), first == int(address)
