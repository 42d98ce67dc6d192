"""Containers speak for nobody but themselves: what is heard of them, and what is not.

    host --- bridge --- attacker (10.10.0.2)
                 |----- victim (10.10.0.3)
                 |----- witness (10.10.0.4)

Each refusal has a control run: with the attacker's port not guarded the same frame is heard.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt

from drivers.addressing import mac_of
from drivers.bridge import bridge_name
from drivers.contract import Endpoint, Network, Subnet
from drivers.firewall import BridgePort, FirewallState, firewall_network
from drivers.nft_firewall import NftFirewall
from tests.kernel.ears import Ears
from tests.kernel.frames import (
    HOST4,
    HOST6,
    NOBODY4,
    NOBODY6,
    PREFIXES,
    Frames,
    Speaker,
    advertisement,
    arp,
    asks,
    fragments,
    framed,
    padding,
    plain,
    router,
    v4,
    v6,
)
from tests.kernel.lies import LIES, TRUTHS, Said

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

NETWORK = Network(
    id="10" * 32,
    name="front",
    subnets=(Subnet(PREFIXES[4], ip_address(HOST4)), Subnet(PREFIXES[6], ip_address(HOST6))),
)
LLDP = "01:80:c2:00:00:0e"  # a bridge hands frames for this to the host, past all rules


def port(name: str, number: int) -> BridgePort:
    addresses = tuple(ip_interface(f"{p[number]}/{p.prefixlen}") for p in PREFIXES.values())
    return BridgePort(f"nd-{name}", mac_of(addresses[0].ip), addresses, "front", name)


ATTACKER, VICTIM, WITNESS = port("attacker", 2), port("victim", 3), port("witness", 4)
ME, IT, THIRD = (
    Speaker(each.mac, *(str(address.ip) for address in each.addresses))
    for each in (ATTACKER, VICTIM, WITNESS)
)
UNGUARDED = replace(ATTACKER, guarded=False)


class Wires:
    """The network with its guard, and the containers in it."""

    def __init__(self, host: "Host", ears: Ears) -> None:
        self.host, self.ears = host, ears
        self.firewall = NftFirewall()
        self.boxes: dict[str, Path] = {}
        host.run(host.bridge.create, NETWORK)

    def guard(self, *ports: BridgePort) -> None:
        state = FirewallState((firewall_network(NETWORK),), ports=ports)
        self.host.run(self.firewall.apply, state)

    def box(self, port: BridgePort) -> Path:
        if port.container not in self.boxes:
            self.boxes[port.container] = self.host.sandbox(port.container)
        return self.boxes[port.container]

    def plug(self, port: BridgePort) -> None:
        self.host.run(self.host.bridge.join, NETWORK, endpoint(port), self.box(port))

    def join(self, *ports: BridgePort) -> None:
        """Plug containers in; after this each hears all others."""
        for each in ports:
            self.plug(each)
            self.ears.open(each.container, self.host.inside, self.box(each))
        self.ears.settle()

    def unplug(self, port: BridgePort) -> None:
        self.host.run(self.host.bridge.leave, NETWORK, endpoint(port), self.box(port))

    def hearers(self, frames: Frames) -> set[str]:
        """Let the attacker send frames; return who hears what the first of them says."""
        return self.ears.hearers("attacker", frames)

    def heard(self, said: Mapping[str, Said], me: Speaker = ME) -> set[str]:
        """Let the attacker say all this; return what of it is heard by anybody."""
        return {name for name, frames in said.items() if self.hearers(frames(me, IT))}

    def table(self) -> str:
        return self.host.output("nft", "-s", "list", "table", "bridge", "netd")


def endpoint(port: BridgePort) -> Endpoint:
    return Endpoint(
        id="e0" * 32,
        network_id=NETWORK.id,
        interface="eth0",
        mac=port.mac,
        addresses=port.addresses,
        host_interface=port.host_interface,
    )


@pytest.fixture(params=["0", "1"], ids=["bridge-nf-off", "bridge-nf-on"])
def bridged(request: pytest.FixtureRequest, host: "Host") -> str:
    """Whether bridged packets are shown to iptables; both must do."""
    for tool in ("iptables", "ip6tables"):
        try:
            host.setting(f"bridge/bridge-nf-call-{tool}", request.param)
        except FileNotFoundError:
            pytest.skip("the kernel has no br_netfilter")
    return str(request.param)


@pytest.fixture
def empty(host: "Host", bridged: str) -> Iterator[Wires]:
    with ExitStack() as stack:
        wires = Wires(host, stack.enter_context(Ears()))
        stack.callback(lambda: host.run(wires.firewall._tables.close))
        yield wires


@pytest.fixture
def wires(empty: Wires) -> Wires:
    """All three containers, guarded before they were there."""
    empty.guard(ATTACKER, VICTIM, WITNESS)
    empty.join(ATTACKER, VICTIM, WITNESS)
    return empty


@pytest.mark.parametrize("kind", LIES)
def test_lies_are_heard_by_nobody(wires: Wires, kind: str) -> None:
    lies = LIES[kind]

    assert wires.heard(lies) == set()

    wires.guard(UNGUARDED, VICTIM, WITNESS)
    assert wires.heard(lies) == {*lies}


def test_the_truth_is_heard(wires: Wires) -> None:
    assert wires.heard(TRUTHS) == {*TRUTHS}


def test_frames_for_switches_take_nobodys_mac(wires: Wires) -> None:
    question = framed(THIRD, v4(THIRD.v4, IT.v4), to=IT.mac)

    for octet in range(16):
        wires.hearers([plain(IT, b"lie", to=f"01:80:c2:00:00:{octet:02x}")])
        assert wires.ears.hearers("witness", question) == {"victim"}

    option = ("type", "bridge", "no_linklocal_learn", "0")
    wires.host.output("ip", "link", "set", bridge_name(NETWORK), *option)
    wires.hearers([plain(IT, b"lie", to=LLDP)])
    assert wires.ears.hearers("witness", question) == {"attacker"}


@pytest.mark.parametrize("source", [IT.v4, "192.0.2.1"])
def test_no_packet_reaches_the_host_past_the_bridge(wires: Wires, source: str) -> None:
    lie = framed(ME, v4(source, HOST4), to=LLDP)

    with wires.host.run(listening) as server:
        wires.hearers(lie)
        with pytest.raises(BlockingIOError):
            server.recv(100)

        wires.host.setting("ipv4/conf/nd-attacker/rp_filter", "0")
        wires.hearers(lie)
        assert server.recv(100)


def listening() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", 9))
    server.setblocking(False)
    return server


def test_the_guard_is_there_before_the_port(empty: Wires) -> None:
    empty.guard(VICTIM, WITNESS)
    empty.join(VICTIM, WITNESS)
    lie = bytes(framed(ME, v4(IT.v4))[0])

    for number in range(5):
        port = replace(ATTACKER, host_interface=f"nd-{number}")
        empty.guard(port, VICTIM, WITNESS)
        assert lie not in first_words(empty, port, lie)

        empty.unplug(port)
        empty.guard(VICTIM, WITNESS)

    assert lie in first_words(empty, ATTACKER, lie)


def first_words(wires: Wires, port: BridgePort, lie: bytes) -> list[bytes]:
    """Plug in a container that is sending already; return what the witness hears at first."""
    truth = bytes(plain(ME, port.host_interface.encode()))
    enough, heard = Event(), []
    with ThreadPoolExecutor(1) as thread:
        thread.submit(wires.host.inside, wires.box(port), flood, [lie, truth], enough)
        try:
            wires.plug(port)
            for _ in range(50):
                heard += wires.ears.until("witness", truth)
        finally:
            enough.set()
    return heard


def flood(frames: Sequence[bytes], enough: Event) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as speaker:
        while not enough.is_set():
            for frame in frames:
                with suppress(OSError):  # there is no interface yet, or it is down
                    speaker.sendto(frame, ("eth0", 0))


def test_who_leaves_leaves_nothing_in_the_guard(wires: Wires) -> None:
    traces = ("nd-attacker", ME.mac, f" {ME.v4}", f" {ME.v6}", ME.local)
    assert all(trace in wires.table() for trace in traces)

    wires.guard(VICTIM, WITNESS)
    assert not any(trace in wires.table() for trace in traces)

    wires.guard()
    assert "elements" not in wires.table()


def test_who_comes_back_is_guarded_under_a_new_name(wires: Wires) -> None:
    wires.unplug(ATTACKER)
    wires.ears.close("attacker")
    again = replace(ATTACKER, host_interface="nd-again")

    wires.guard(again, VICTIM, WITNESS)
    wires.join(again)

    assert wires.heard(LIES["IPv4"]) == set()
    assert wires.heard(TRUTHS) == {*TRUTHS}


def test_each_of_several_addresses_is_ones_own(empty: Wires) -> None:
    more = tuple(ip_interface(each) for each in ("10.10.0.8/24", "fd00:10::8/64", "fd00:11::8/128"))
    several = replace(ATTACKER, addresses=ATTACKER.addresses + more)
    empty.guard(several, VICTIM)
    empty.join(several, VICTIM)

    for own in several.addresses:
        for frame in words(str(own.ip)):
            assert empty.hearers([frame])
    for other in (
        "10.10.0.0",
        "10.10.0.9",
        NOBODY4,
        "fd00:10::",
        "fd00:11::",
        "fd00:11::9",
        NOBODY6,
    ):
        for frame in words(other):
            assert not empty.hearers([frame])


def words(address: str) -> Frames:
    """Return what one says with an address of one's own, at one's MAC."""
    if ":" in address:
        return framed(ME, v6(address), advertisement(ME, address), asks("::", address))
    return framed(ME, v4(address), arp(replace(ME, v4=address), IT.v4, op=2))


def test_a_container_without_ipv6_says_nothing_in_it(empty: Wires) -> None:
    (address, _) = ATTACKER.addresses
    alone = replace(ATTACKER, addresses=(address,))
    empty.guard(alone, VICTIM)
    empty.join(alone, VICTIM)
    in_ipv6 = {name for name, frames in TRUTHS.items() if IPv6 in frames(ME, IT)[0]}
    # Only a switch listens to this one, and it names no address.
    harmless = {"listener report before it has an address"}

    assert empty.heard(TRUTHS) == {*TRUTHS} - in_ipv6 | harmless

    empty.guard(replace(alone, guarded=False), VICTIM)
    assert empty.heard(TRUTHS) == {*TRUTHS}


def test_a_mac_that_the_user_chose_is_ones_own(empty: Wires) -> None:
    chosen = replace(ATTACKER, mac="00:16:3e:0a:0b:0c")
    me = replace(ME, mac=chosen.mac)
    empty.guard(chosen, VICTIM)
    empty.join(chosen, VICTIM)

    assert empty.heard(TRUTHS, me) == {*TRUTHS}
    assert not empty.hearers([plain(ME, b"the MAC that it has without a choice")])
    assert empty.host.reaches(empty.boxes["victim"], f"{me.local}%eth0")


@pytest.mark.parametrize("family", [4, 6])
def test_containers_talk_also_in_fragments(wires: Wires, family: int) -> None:
    index = (4, 6).index(family)
    ends = {each.container: str(each.addresses[index].ip) for each in (ATTACKER, VICTIM)}

    for source, target in (("attacker", "victim"), ("victim", "attacker")):
        box = wires.boxes[source]
        assert wires.host.reaches(box, ends[target])
        assert wires.host.reaches(box, (HOST4, HOST6)[index])
        large = ("busybox", "ping", "-c", "1", "-W", "5", "-s", "8192", ends[target])
        assert " 8200 bytes from " in wires.host.output(*large, inside=box).replace("\n", " ")
    assert wires.host.reaches(wires.host.path, ends["attacker"])


def test_containers_talk_by_link_local_addresses(wires: Wires) -> None:
    assert wires.host.reaches(wires.boxes["attacker"], f"{IT.local}%eth0")
    assert wires.host.reaches(wires.boxes["victim"], f"{ME.local}%eth0")


def test_fragments_of_a_neighbour_advertisement_are_not_believed(
    wires: Wires, bridged: str
) -> None:
    host, box = wires.host, wires.boxes["witness"]
    # Receivers take no fragments of this (RFC 6980). But a host that shows bridged packets to
    # iptables puts them together, and sends on the whole where it is no larger than its parts.
    told = advertisement(ME, IT.v6, to=THIRD.v6)
    lie = framed(ME, *fragments(told, 8), to=WITNESS.mac)

    def believed() -> bool:
        return ME.mac in host.output("ip", "neigh", "show", IT.v6, inside=box)

    assert host.reaches(box, IT.v6)
    assert not wires.hearers(lie) and not believed()

    wires.guard(UNGUARDED, VICTIM, WITNESS)
    assert wires.hearers(lie) and believed() == (bridged == "1")
    assert wires.hearers(framed(ME, told, to=WITNESS.mac)) and believed()


def test_fragments_of_a_router_advertisement_are_not_believed(wires: Wires, bridged: str) -> None:
    host, box = wires.host, wires.boxes["witness"]
    host.setting("ipv6/conf/eth0/accept_ra", "1", inside=box)
    lie = framed(ME, *fragments(router(ME), 8))
    # What it is does not show before the second fragment; the kernel drops such (RFC 8200 4.5).
    hidden = framed(ME, *fragments(router(ME, behind=padding(IPv6ExtHdrDestOpt)), 8))

    def believed() -> bool:
        return "proto ra" in host.output("ip", "-6", "route", "show", "default", inside=box)

    assert not wires.hearers(lie) and not believed()
    wires.hearers(hidden)
    assert not believed()

    wires.guard(UNGUARDED, VICTIM, WITNESS)
    wires.hearers(hidden)
    assert not believed()
    assert wires.hearers(lie) and believed() == (bridged == "1")
    assert wires.hearers(framed(ME, router(ME))) and believed()
