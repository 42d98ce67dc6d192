"""Which flows are meant, by messages as ctnetlink writes them."""

import struct
from ipaddress import ip_address

import pytest

from drivers.conntrack import PROTOCOLS, HostPort, _sought
from drivers.netlink import attribute, nested

PORT = HostPort("sctp", ip_address("192.0.2.1"), 5300)


def tuple_of(kind: int, source: str, destination: str, protocol: str, port: int) -> bytes:
    first = 1 if ip_address(source).version == 4 else 3
    addresses = (
        attribute(first + n, ip_address(text).packed)
        for n, text in enumerate((source, destination))
    )
    ports = (attribute(n, struct.pack("!H", number)) for n, number in ((2, 40000), (3, port)))
    number = attribute(1, bytes([PROTOCOLS[protocol]]))
    return nested(kind, nested(1, *addresses), nested(2, number, *ports))


def flow(destination: str = "192.0.2.1", protocol: str = "sctp", port: int = 5300) -> bytes:
    source, family = ("192.0.2.9", 2) if "." in destination else ("2001:db8::9", 10)
    there = tuple_of(1, source, destination, protocol, port)
    return bytes((family, 0, 0, 0)) + there + tuple_of(2, destination, source, protocol, port)


def test_a_flow_is_known_by_protocol_address_and_port() -> None:
    sought = _sought([PORT], [])

    assert sought.has(flow())
    assert not sought.has(flow(protocol="tcp"))
    assert not sought.has(flow(port=5301))
    assert not sought.has(flow(destination="192.0.2.2"))
    assert not sought.has(flow(destination="c000:201::"))  # it begins with the same octets


def test_the_same_port_of_several_addresses_is_meant_for_each() -> None:
    six = HostPort("sctp", ip_address("2001:db8::1"), 5299, 2)

    sought = _sought([PORT, six], [])

    assert sought.has(flow()) and sought.has(flow(destination="2001:db8::1"))
    assert not sought.has(flow(destination="2001:db8::2"))


def test_a_kernel_that_writes_something_else_is_an_error_and_no_silence() -> None:
    numbers, addresses = nested(2, attribute(1, b"\x11")), nested(1, attribute(1, bytes(4)))

    with pytest.raises(OSError, match="in an order unknown to netd"):
        _sought([PORT], []).has(bytes((2, 0, 0, 0)) + nested(1, numbers, addresses))
