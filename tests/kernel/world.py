"""The world of the packet tests as it is: a host with a firewall, its containers and surroundings.

Who is where is in `tests.kernel.places`. Containers listen on what is published of them and on one
port more. The host forwards only since netd asked it to. Whatever a test takes away comes back.
"""

import asyncio
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.addressing import host_interface_name, mac_of
from drivers.contract import Endpoint
from drivers.firewall import BridgePort, Firewall, FirewallState, Publication, firewall_network
from drivers.iptables_firewall import IptablesFirewall
from drivers.nft_firewall import NftFirewall
from drivers.ports import PortsClient
from drivers.sandbox import set_gateways
from tests.kernel import holding, places
from tests.kernel.asking import Facts, Question, Servers, answers
from tests.kernel.places import (
    FAMILIES,
    GIVEN,
    HIDDEN,
    LAN,
    LENGTHS,
    LOCAL,
    LOOPBACK,
    NEIGHBOUR,
    OUTSIDE,
    OWN,
    TRANSPORTS,
    UPLINK,
)

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

LEGACY = {4: "iptables-legacy", 6: "ip6tables-legacy"}


class World:
    """What there is, and what can be asked there and taken away."""

    def __init__(self, host: "Host", backend: str, *, bridged: bool) -> None:
        self.host, self.backend, self.bridged = host, backend, bridged
        self.boxes: dict[str, Path] = {"host": host.path}
        self.endpoints: dict[str, Endpoint] = {}
        self.servers = Servers()
        self.firewalls: Sequence[Firewall] = (
            (IptablesFirewall(), NftFirewall(families=["bridge"]))
            if backend == "iptables"
            else (NftFirewall(),)
        )

    def state(self) -> FirewallState:
        groups: dict[str, tuple[Publication, ...]] = {}
        for each in places.publications():
            groups[each.container] = (*groups.get(each.container, ()), each)
        return FirewallState(
            networks=tuple(firewall_network(places.network(name)) for name in places.NUMBERS),
            published=groups,
            ports=tuple(_bridge_port(box, each) for box, each in self.endpoints.items()),
            not_a_router=frozenset(FAMILIES),
        )

    def apply(self, state: FirewallState) -> None:
        for firewall in self.firewalls:
            self.host.run(firewall.apply, state)

    def repair(self) -> Sequence[str]:
        return [lost for firewall in self.firewalls for lost in self.host.run(firewall.repair)]

    def expect(self, facts: Facts | Iterable[Question]) -> None:
        """Ask all at one time; AssertionError with a line for each answer that is another one.

        Questions without answers should not even arrive.
        """
        wanted = facts if isinstance(facts, Mapping) else dict.fromkeys(facts)
        found = self.host.inside(self.host.path, answers, self.boxes, self.servers, wanted)
        wrong = [
            f"{question}: {found[question]}, not {answer}"
            for question, answer in wanted.items()
            if found[question] != answer
        ]
        assert not wrong, "\n".join(wrong)

    def link_local(self, box: str, interface: str) -> str:
        """Return the link-local address; the kernel makes it up to a second after the carrier."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            words = ("ip", "-o", "-6", "addr", "show", "dev", interface, "scope", "link")
            told = self.host.output(*words, inside=self.boxes[box])
            if told and "tentative" not in told:
                return told.split()[3].partition("/")[0]
        raise TimeoutError(f"{interface} of {box} has no link-local address")

    @contextmanager
    def without(self, *comments: str) -> Iterator[None]:
        """Take away all rules with these comments; each must be there."""
        remove = _without_iptables if self.backend == "iptables" else _without_nft
        try:
            for comment in comments:
                assert remove(self.host, comment), f"no rule of {self.backend} says {comment}"
            yield
        finally:
            assert self.repair()

    @contextmanager
    def otherwise(self, **parts: Any) -> Iterator[None]:
        """Let other parts of the state be so, for a while."""
        self.apply(replace(self.state(), **parts))
        try:
            yield
        finally:
            self.apply(self.state())

    @contextmanager
    def meanwhile(self, done: str, undone: str, box: str = "host") -> Iterator[None]:
        """Run a command, and in the end another one."""
        self.host.output(*done.split(), inside=self.boxes[box])
        try:
            yield
        finally:
            self.host.output(*undone.split(), inside=self.boxes[box])

    @contextmanager
    def setting(self, key: str, value: str, box: str = "host") -> Iterator[None]:
        """Give a kernel setting another value, for a while."""
        before = self.host.setting(key, inside=self.boxes[box])
        self.host.setting(key, value, inside=self.boxes[box])
        try:
            yield
        finally:
            self.host.setting(key, before, inside=self.boxes[box])

    @contextmanager
    def astray(self, box: str, gateway: Mapping[int, str], entry: str) -> Iterator[None]:
        """Let a box send what is for loopback addresses to the host, which lets it in at `entry`.

        No kernel does that by itself, but who owns a machine may write such frames.
        """
        with ExitStack() as stack:
            for where, name in ((box, "eth0"), ("host", entry)):
                key = f"ipv4/conf/{name}/route_localnet"
                stack.enter_context(self.setting(key, "1", where))
            for family, own in ((4, "127.0.0.1/8"), (6, "::1/128")):
                address = f"{own} dev lo"
                route = f"{LOOPBACK[family]} via {gateway[family]} dev eth0"
                gone = f"ip addr del {address}", f"ip addr add {address}"
                there = f"ip route add {route}", f"ip route del {route}"
                stack.enter_context(self.meanwhile(*gone, box))
                stack.enter_context(self.meanwhile(*there, box))
            yield


@contextmanager
def opened_world(world: World, ports: Path) -> Iterator[World]:
    """Build the world; the process that holds its ports serves on a path."""
    host = world.host
    with ExitStack() as stack:
        for tool in ("iptables", "ip6tables"):
            with suppress(FileNotFoundError):  # without br_netfilter they are never shown
                host.setting(f"bridge/bridge-nf-call-{tool}", str(int(world.bridged)))
        _link(world, "outside", "up0", UPLINK, OUTSIDE)
        _link(world, "neighbour", "lan0", LAN, NEIGHBOUR)
        _routes(world)
        for name in places.NUMBERS:
            host.run(host.bridge.create, places.network(name))
        for box in places.CONTAINERS:
            _join(world, box)
        for firewall in world.firewalls:
            stack.callback(host.run, firewall.clear)
        world.apply(world.state())
        stack.callback(lambda: asyncio.run(holding.end(ports)))
        host.inside(host.path, lambda: asyncio.run(_hold(ports)))
        stack.callback(world.servers.close)
        host.inside(host.path, _listen, world)
        world.servers.start()
        yield world


def _link(
    world: World, box: str, interface: str, ours: Mapping[int, str], theirs: Mapping[int, str]
) -> None:
    host = world.host
    inside = world.boxes[box] = host.sandbox(box)
    peer = ("peer", "eth0", "netns", str(inside))
    host.output("ip", "link", "add", interface, "type", "veth", *peer)
    for where, name, addresses in ((host.path, interface, ours), (inside, "eth0", theirs)):
        host.setting(f"ipv6/conf/{name}/accept_dad", "0", inside=where)
        for family in FAMILIES:
            address = f"{addresses[family]}/{LENGTHS[family]}"
            host.output("ip", "addr", "add", address, "dev", name, inside=where)
        host.output("ip", "link", "set", name, "up", inside=where)


def _routes(world: World) -> None:
    host = world.host
    for family in FAMILIES:
        lan = str(ip_interface(f"{LAN[family]}/{LENGTHS[family]}").network)
        for box, to, via in (("outside", lan, UPLINK), ("neighbour", "default", LAN)):
            way = (to, "via", via[family])
            host.output("ip", f"-{family}", "route", "add", *way, inside=world.boxes[box])
        # Nobody's source unless he asks for it.
        given = (f"{GIVEN[family]}/{32 if family == 4 else 128}", "preferred_lft", "0")
        host.output("ip", "addr", "add", *given, "dev", "up0")


def _join(world: World, box: str) -> None:
    host, network = world.host, places.network(box[:-1])
    number = f"{places.NUMBERS[network.name]:02x}{box[-1]:0>2}"
    inside = world.boxes[box] = host.sandbox(box)
    endpoint = world.endpoints[box] = Endpoint(
        id=number * 16,
        network_id=network.id,
        interface="eth0",
        mac=mac_of(ip_address(places.at(box, 4))),
        addresses=tuple(
            ip_interface(f"{places.at(box, family)}/{LENGTHS[family]}")
            for family in places.families(box)
        ),
        host_interface=host_interface_name(number * 16),
    )
    host.run(host.bridge.join, network, endpoint, inside)
    # Containers of internal networks have no such route; one that is root may give itself one.
    gateways = {s.prefix.version: ("eth0", s.gateway) for s in network.subnets if s.gateway}
    host.run(set_gateways, host.links, inside, gateways)


def _bridge_port(box: str, endpoint: Endpoint) -> BridgePort:
    return BridgePort(endpoint.host_interface, endpoint.mac, endpoint.addresses, box[:-1], box)


async def _hold(path: Path) -> None:
    client = await PortsClient.open(path)
    await client.hold([*places.holds()])
    await client.close()


def _listen(world: World) -> None:
    listen, boxes = world.servers.listen, world.boxes
    for box in places.CONTAINERS:
        for protocol in (*TRANSPORTS, "sctp"):
            runs = [
                range(each.port, each.port + each.count)
                for each in places.publications()
                if (each.container, each.protocol) == (box, protocol)
            ]
            ports = {HIDDEN, *(port for run in runs for port in run)}
            if protocol != "sctp" or places.has_sctp():
                listen(box, boxes[box], protocol, "::", ports)
    for protocol in TRANSPORTS:
        for box in ("outside", "neighbour", "host"):
            listen(box, boxes[box], protocol, "::", [OWN])
        for address in LOOPBACK.values():
            listen("host", boxes["host"], protocol, address, [LOCAL])


def _without_iptables(host: "Host", comment: str) -> int:
    removed = 0
    for tool in LEGACY.values():
        for table in ("raw", "nat", "filter"):
            for line in host.output(tool, "-t", table, "-S").splitlines():
                if comment in line:
                    words = shlex.split(line.replace("-A", "-D", 1))
                    host.output(tool, "-t", table, *words)
                    removed += 1
    return removed


def _without_nft(host: "Host", comment: str) -> int:
    chain, commands = "", []
    for line in host.output("nft", "-a", "list", "table", "inet", "netd").splitlines():
        if found := re.match(r"\s*chain (\S+) {", line):
            chain = found[1]
        elif comment in line and (found := re.search(r"# handle (\d+)$", line)):
            commands.append(f"delete rule inet netd {chain} handle {found[1]}")
    if commands:
        host.output("nft", "; ".join(commands))
    return len(commands)
