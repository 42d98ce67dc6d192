"""Flows that are forgotten, and those that are not.

      client (198.51.100.9) --- host (198.51.100.1, .2) --- old (10.8.2.2), new (10.8.3.2)

Port 5300 of the host is port 53 of old, and later port 53 of new.
"""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import netlink
from drivers.conntrack import HostPort, flush
from drivers.contract import Address, DriverError
from drivers.sandbox import entered

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

Pair = dict[int, Address]  # by family

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
PROTOCOLS = {6: "tcp", 17: "udp"}


def pair(four: str, six: str) -> Pair:
    return {4: ip_address(four), 6: ip_address(six)}


ANY = pair("0.0.0.0", "::")
CLIENT, HOST, SECOND = (pair(f"198.51.100.{n}", f"2001:db8::{n}") for n in (9, 1, 2))
OLD, TO_OLD = (pair(f"10.8.2.{n}", f"fd00:8:2::{n}") for n in (2, 1))
NEW, TO_NEW = (pair(f"10.8.3.{n}", f"fd00:8:3::{n}") for n in (2, 1))
# So many that one list of all flows is faster than a question for each port.
MANY = tuple(HostPort("udp", address, 60_000, 100) for address in ANY.values())

families = pytest.mark.parametrize("family", [4, 6])


class Net:
    """The picture above, with port 5300 published for old."""

    def __init__(self, host: "Host", stack: ExitStack) -> None:
        self.host, self._stack = host, stack
        host.setting("ipv4/ip_forward", "1")
        host.setting("ipv6/conf/all/forwarding", "1")
        self.client = self._joined("client", CLIENT, HOST, SECOND)
        self.old = self._joined("old", OLD, TO_OLD)
        self.new = self._joined("new", NEW, TO_NEW)
        self.publish(OLD)

    def publish(self, container: Pair) -> None:
        here = {family: f"{{ {HOST[family]}, {SECOND[family]} }}" for family in (4, 6)}
        self.rules(
            *(
                f"ip daddr {here[4]} {name} dport 5300 dnat ip to {container[4]}:53\n"
                f"ip6 daddr {here[6]} {name} dport 5300 dnat ip6 to [{container[6]}]:53"
                for name in ("udp", "tcp")
            )
        )

    def rules(self, *rules: str, hook: str = "type nat hook prerouting priority dstnat") -> None:
        """Make these the only rules."""
        chain = "\n".join(rules)
        self.host.output(
            "nft", f"flush ruleset\ntable inet t {{ chain c {{ {hook};\n{chain}\n}}\n}}\n"
        )

    def socket(self, box: Path, kind: int, address: Address, port: int = 0) -> socket.socket:
        """Open and bind a socket; it is closed after the test."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with entered(box):
            opened = self._stack.enter_context(socket.socket(family, kind))
        opened.settimeout(5)
        opened.bind((str(address), port))
        return opened

    def say(self, box: Path, source: Address, to: Address, port: int) -> None:
        """Send a datagram that nobody needs to receive."""
        self.socket(box, UDP, source).sendto(b"", (str(to), port))

    def flush(self, *ports: HostPort, addresses: tuple[Address, ...] = ()) -> int:
        return self.host.run(flush, ports, addresses)

    def flows(self) -> set[tuple[str, str, str, int]]:
        """Return protocol, original source, destination and port of all flows that have ports."""

        def read() -> list[dict[int, bytes]]:
            listed = netlink.dump(netlink.NETFILTER, (1 << 8) | 1, bytes(4))
            return [netlink.attributes(netlink.attributes(body, 4)[1]) for body in listed]

        found = set()
        for parts in self.host.run(read):
            (source, destination) = map(ip_address, netlink.attributes(parts[1]).values())
            protocol = netlink.attributes(parts[2])
            if 3 in protocol:
                port = int.from_bytes(protocol[3], "big")
                found.add((PROTOCOLS[protocol[1][0]], str(source), str(destination), port))
        return found

    def _joined(self, name: str, far: Pair, *near: Pair) -> Path:
        box = self.host.sandbox(name)
        self.host.output(
            "ip", "link", "add", name, "type", "veth", "peer", "up0", "netns", str(box)
        )
        for inside, interface, addresses in ((self.host.path, name, near), (box, "up0", [far])):
            self.host.setting(f"ipv6/conf/{interface}/accept_dad", "0", inside=inside)
            self.host.output("ip", "link", "set", interface, "up", inside=inside)
            for both in addresses:
                for words in ((f"{both[4]}/24",), (f"{both[6]}/64", "nodad")):
                    self.host.output(
                        "ip", "address", "add", *words, "dev", interface, inside=inside
                    )
        for gateway in near[0].values():
            self.host.output("ip", "route", "add", "default", "via", str(gateway), inside=box)
        return box


@pytest.fixture
def net(host: "Host") -> Iterator[Net]:
    with ExitStack() as stack:
        yield Net(host, stack)


@families
@pytest.mark.parametrize("others", [(), MANY], ids=["asked-for", "in-a-list"])
def test_a_client_that_goes_on_sending_is_led_to_the_new_container(
    net: Net, family: int, others: tuple[HostPort, ...]
) -> None:
    old, new = net.socket(net.old, UDP, OLD[family], 53), net.socket(net.new, UDP, NEW[family], 53)
    client = net.socket(net.client, UDP, CLIENT[family])
    to = (str(HOST[family]), 5300)
    client.sendto(b"first", to)
    assert old.recv(10) == b"first"

    net.publish(NEW)
    client.sendto(b"second", to)
    assert old.recv(10) == b"second"  # this is what flows are forgotten for
    count = net.flush(HostPort("udp", ANY[family], 5300), *others)
    client.sendto(b"third", to)

    assert new.recv(10) == b"third" and count == 1


@families
@pytest.mark.parametrize("others", [(), MANY], ids=["asked-for", "in-a-list"])
def test_flows_to_other_ports_addresses_and_protocols_stay(
    net: Net, family: int, others: tuple[HostPort, ...]
) -> None:
    other_family = 10 - family
    net.say(net.client, CLIENT[family], HOST[family], 5301)
    net.say(net.client, CLIENT[family], HOST[family], 53)  # the container's port, of the host
    net.say(net.client, CLIENT[family], OLD[family], 53)  # ... and of the container itself
    net.say(net.old, OLD[family], CLIENT[family], 5300)  # the host's port, of somebody else
    net.say(net.client, CLIENT[other_family], HOST[other_family], 5300)
    net.socket(net.old, TCP, OLD[family], 53).listen()
    net.socket(net.client, TCP, CLIENT[family]).connect((str(HOST[family]), 5300))
    before = net.flows()
    net.say(net.client, CLIENT[family], HOST[family], 5300)

    count = net.flush(HostPort("udp", ANY[family], 5300), *others)

    assert count == 1 and len(before) == 6 and net.flows() == before


@families
def test_a_connection_is_forgotten_by_the_hosts_port(net: Net, family: int) -> None:
    net.socket(net.old, TCP, OLD[family], 53).listen()
    net.socket(net.client, TCP, CLIENT[family]).connect((str(HOST[family]), 5300))

    assert net.flush(HostPort("tcp", ANY[family], 53)) == 0
    assert net.flush(HostPort("udp", ANY[family], 5300)) == 0
    assert net.flush(HostPort("tcp", ANY[family], 5300)) == 1
    assert net.flows() == set()


@families
@pytest.mark.parametrize("others", [(), MANY], ids=["asked-for", "in-a-list"])
def test_a_port_of_one_address_is_not_that_of_another(
    net: Net, family: int, others: tuple[HostPort, ...]
) -> None:
    for address in (HOST[family], SECOND[family]):
        net.say(net.client, CLIENT[family], address, 5300)

    count = net.flush(HostPort("udp", SECOND[family], 5300), *others)

    left = {destination for _, _, destination, _ in net.flows()}
    assert count == 1 and left == {str(HOST[family])}


def test_all_addresses_of_the_loopback_network_are_the_hosts(net: Net) -> None:
    net.say(net.host.path, ANY[4], ip_address("127.0.0.1"), 5300)
    net.say(net.host.path, ANY[4], ip_address("127.8.9.10"), 5300)
    net.say(net.host.path, ANY[6], ip_address("::1"), 5300)

    assert net.flush(HostPort("udp", ANY[4], 5300)) == 2
    assert net.flush(HostPort("udp", ANY[6], 5300)) == 1


def test_a_run_of_ports_ends_where_it_ends(net: Net) -> None:
    for port in (5309, 5310, 5311, 5319, 5320):
        net.say(net.client, CLIENT[4], HOST[4], port)

    count = net.flush(HostPort("udp", ANY[4], 5310, 10))

    assert count == 3 and {port for *_, port in net.flows()} == {5309, 5320}


@families
def test_flows_are_forgotten_that_an_address_has_any_part_in(net: Net, family: int) -> None:
    net.say(net.client, CLIENT[family], HOST[family], 5300)  # answered by old
    net.say(net.client, CLIENT[family], OLD[family], 9)
    net.say(net.old, OLD[family], CLIENT[family], 9)
    assert net.host.reaches(net.old, NEW[family])  # a flow without ports
    net.say(net.client, CLIENT[family], NEW[family], 9)
    kept = ("udp", str(CLIENT[family]), str(NEW[family]), 9)

    count = net.flush(addresses=(OLD[family], OLD[10 - family]))

    assert count >= 4 and net.flows() == {kept}
    assert net.flush(addresses=(OLD[family],)) == 0


def test_translated_flows_are_known_by_both_their_sources(net: Net) -> None:
    net.rules("masquerade", hook="type nat hook postrouting priority srcnat")
    net.say(net.old, OLD[4], CLIENT[4], 9)
    net.say(net.new, NEW[4], CLIENT[4], 9)

    assert net.flush(addresses=(OLD[4],)) == 1
    assert net.flush(addresses=(HOST[4],)) == 1
    assert net.flows() == set()


def test_translated_flows_are_known_by_both_their_destinations(net: Net) -> None:
    net.say(net.client, CLIENT[4], HOST[4], 5300)
    net.say(net.client, CLIENT[4], SECOND[4], 5300)

    assert net.flush(addresses=(SECOND[4],)) == 1
    assert net.flush(addresses=(OLD[4],)) == 1
    assert net.flows() == set()


def test_ports_and_addresses_are_looked_for_at_once(net: Net) -> None:
    net.say(net.client, CLIENT[4], HOST[4], 5301)
    net.say(net.client, CLIENT[6], NEW[6], 9)
    net.say(net.client, CLIENT[4], HOST[4], 9)

    count = net.flush(HostPort("udp", HOST[4], 5301), addresses=(NEW[6], OLD[4]))

    assert count == 2 and {port for *_, port in net.flows()} == {9}


@pytest.mark.parametrize("zone", ["zone set 7", "original zone set 7"])
def test_flows_of_a_zone_are_forgotten_too(net: Net, zone: str) -> None:
    net.rules(f"ct {zone}", hook="type filter hook prerouting priority raw")
    net.say(net.client, CLIENT[4], OLD[4], 9)
    net.say(net.client, CLIENT[4], HOST[4], 5300)

    assert net.flush(HostPort("udp", ANY[4], 5300)) == 1
    assert net.flush(addresses=(OLD[4],)) == 1
    assert net.flows() == set()


def test_a_flow_that_is_gone_meanwhile_is_nobodys_fault(net: Net) -> None:
    speaker = net.socket(net.host.path, UDP, ANY[4])
    for port in range(20_001, 24_001):
        speaker.sendto(b"", ("127.0.0.1", port))
    everything = HostPort("udp", ANY[4], 1, 65535)

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(inside, net.host.path, everything) for _ in range(2)]

    assert sum(one.result() for one in done) == 4000
    assert net.flows() == set()


def inside(path: Path, port: HostPort) -> int:
    with entered(path):
        return flush([port])


def test_ports_that_make_no_sense_are_named_together(net: Net) -> None:
    wrong = (
        HostPort("udp", ANY[4], 0),
        HostPort("tcp", ANY[4], 65530, 7),
        HostPort("icmp", ANY[4], 9),
    )

    with pytest.raises(DriverError) as caught:
        net.flush(*wrong)

    assert str(caught.value) == (
        "0 to 0 is no run of udp ports; 65530 to 65536 is no run of tcp ports;"
        " icmp has no ports that flows are known by"
    )


def test_a_kernel_without_ctnetlink_is_said_and_only_where_it_is_needed(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert net.flush(HostPort("udp", ANY[4], 5300)) == 0
    net.say(net.client, CLIENT[4], HOST[4], 5300)
    monkeypatch.setattr("drivers.conntrack.GET", 255 << 8)  # as good as a subsystem that is absent

    assert net.flush() == 0
    with pytest.raises(DriverError, match=r"no ctnetlink to ask \(modprobe nf_conntrack_netlink\)"):
        net.flush(HostPort("udp", ANY[4], 5300))
