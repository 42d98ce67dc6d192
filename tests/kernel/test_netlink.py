"""Netlink with the real kernel: many requests, long answers, refusals with words."""

import errno
import os
import socket
import struct
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import netlink, rtnetlink

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

ROUTE = socket.NETLINK_ROUTE
GET_ADDRESS, GET_GENERATION = 22, (10 << 8) | 16


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def requests(count: int) -> list[bytes]:
    return [
        rtnetlink.address(1, ip_interface(f"10.9.{number // 200}.{number % 200 + 1}/32"))
        for number in range(count)
    ]


def listed() -> list[bytes]:
    return list(netlink.dump(ROUTE, GET_ADDRESS, bytes(8)))


def test_more_is_asked_and_answered_than_a_socket_holds_at_once(host: "Host") -> None:
    host.run(netlink.do, ROUTE, requests(1000))

    found = [netlink.attributes(body, 8)[1] for body in host.run(listed)]
    assert len([octets for octets in found if octets.startswith(b"\x0a\x09")]) == 1000


def test_each_request_has_its_own_answer(host: "Host") -> None:
    good, bad = requests(1)[0], rtnetlink.up(999_999)

    found = host.run(netlink.refusals, ROUTE, [good, bad, good])

    assert [refused and refused.errno for refused in found] == [None, errno.ENODEV, None]


def test_the_first_refusal_is_raised_and_the_rest_is_done(host: "Host") -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENODEV)):
        host.run(netlink.do, ROUTE, [rtnetlink.up(999_999), *requests(1)])

    assert "10.9.0.1/32" in host.output("ip", "address")


def test_a_refusal_has_the_kernels_words(host: "Host") -> None:
    too_long = struct.pack("=BBBBi", socket.AF_INET, 99, 0, 0, 1)
    asked = netlink.request(20, too_long + netlink.attribute(2, bytes(4)))

    with pytest.raises(OSError, match=r"Invalid argument: .*prefix length"):
        host.run(netlink.do, ROUTE, [asked])


def test_a_question_is_answered_by_one_message_or_refused(host: "Host") -> None:
    body = host.run(netlink.answer, netlink.NETFILTER, GET_GENERATION, bytes(4))

    assert {1, 2, 3} <= netlink.attributes(body, 4).keys()
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        host.run(netlink.answer, netlink.NETFILTER, 255 << 8, bytes(4))


def test_a_list_that_is_refused_is_an_error(host: "Host") -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        host.run(lambda: list(netlink.dump(netlink.NETFILTER, 255 << 8, bytes(4))))


def test_addresses_are_listed_with_their_interfaces_and_without_peers(host: "Host") -> None:
    for words in ("10.1.1.1 peer 10.1.1.2/32", "10.1.2.1/24", "fd00:1::1/64"):
        host.output("ip", "address", "add", *words.split(), "dev", "lo")

    found = {(index, str(address)) for index, address in host.run(rtnetlink.addresses)}

    expected = ("127.0.0.1/8", "10.1.1.1/32", "10.1.2.1/24", "::1/128", "fd00:1::1/64")
    assert found == {(1, text) for text in expected}


def test_nothing_stays_open(host: "Host") -> None:
    before = descriptors()

    host.run(netlink.do, ROUTE, requests(1000))
    host.run(lambda: next(netlink.dump(ROUTE, GET_ADDRESS, bytes(8))))
    host.run(netlink.refusals, ROUTE, [rtnetlink.up(999_999)])

    assert descriptors() == before
