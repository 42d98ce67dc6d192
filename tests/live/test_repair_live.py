"""What others take away of netd's network comes back: soon, while it is used, and said aloud."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from labs.host import Host
from labs.outside import Outside
from tests.live.backends import BACKENDS
from tests.live.reaching import SERVES, answered, container_address, executed, until
from tests.rawapi import Api

pytestmark = pytest.mark.kernel

SOON_S = 2.0  # where the kernel tells, or a glance sees it
SWEEP_S = 7.0  # where only a look at everything finds it
TRY_S = 0.3
ROUNDS = 5
FLUSH = "for table in raw filter nat; do iptables-legacy -t $table -F; done; nft flush ruleset"


@dataclass(frozen=True)
class Damage:
    """A command that takes something away, and words of what netd says is lost then."""

    command: str
    lost: str
    deadline_s: float = SOON_S


FLUSHED = [
    Damage(f"{tool}-legacy -t {table} -F", f"{tool} table {table}: rules of NETD-")
    for tool in ("iptables", "ip6tables")
    for table in ("filter", "nat", "raw")
]
RULES = {
    "iptables": [
        *FLUSHED,
        Damage(
            "iptables-legacy -F; iptables-legacy -X",
            "iptables table filter: chain NETD-FORWARD",
        ),
        Damage("nft flush ruleset", "nftables bridge {table}: the whole table"),
        Damage("nft delete table bridge {table}", "nftables bridge {table}: the whole table"),
    ],
    "nftables": [
        Damage("nft flush ruleset", "nftables inet {table}: the whole table"),
        Damage("nft delete table inet {table}", "nftables inet {table}: the whole table"),
        Damage("nft delete table bridge {table}", "nftables bridge {table}: the whole table"),
        Damage("nft flush chain inet {table} forward", "rules of forward"),
        Damage("nft flush map inet {table} published4_any", "1 element of published4_any"),
    ],
}
LINKS = [
    Damage("ip link del {bridge}", "bridge {bridge}"),
    Damage("ip link set {bridge} down", "bridge {bridge} is down"),
    Damage("ip link del {port}", "interface {port}, the other end of eth0"),
    Damage("ip link set {port} down", "interface {port} is down"),
    Damage("ip link set {port} nomaster", "interface {port} has left bridge {bridge}"),
    Damage("ip addr del {address4} dev {bridge}", "address {address4} of bridge {bridge}"),
    Damage("ip addr del {address6} dev {bridge}", "address {address6} of bridge {bridge}"),
    Damage("sysctl -w net.ipv4.ip_forward=0", "forwarding of IPv4 is off"),
    Damage("sysctl -w net.ipv6.conf.all.forwarding=0", "forwarding of IPv6 is off"),
    Damage("sysctl -w net.ipv6.conf.{bridge}.disable_ipv6=1", "{bridge}/disable_ipv6=0"),
    Damage("sysctl -w net.ipv4.conf.{bridge}.route_localnet=0", "{bridge}/route_localnet=1",
           deadline_s=SWEEP_S),
]  # fmt: skip


@dataclass(frozen=True)
class World:
    """A host with a container that publishes a port, another one, and a machine outside."""

    host: Host
    outside: Outside
    words: Mapping[str, str]  # names of interfaces and tables, addresses: as damages call them

    def damage(self, command: str) -> float:
        """Do it; return the moment before."""
        since = time.time()
        self.host.inside("sh", "-ec", command.format_map(self.words))
        return since

    def trouble(self) -> str:
        """Try one way after the other; return the first that does not work."""
        for where, netns, addresses in (
            ("outside", self.outside.netns, self.outside.host_addresses.values()),
            ("the host", self.host.netns, ("127.0.0.1", "::1")),
        ):
            for address in addresses:
                if not answered(netns, address, 8080, TRY_S):
                    return f"not reached from {where} by {address}"
        fetch = ("timeout", "1", "wget", "-qO-", "http://web/")
        by_name = "Hello" in executed(self.host, "cli", *fetch)
        return "" if by_name else "not reached by name"

    def told(self, since: float) -> str:
        """Return what events say was lost since a moment, a line each."""
        with Api(self.host.socket) as api:
            past = f"/events?since={since:.9f}&until={time.time():.9f}"
            events = map(json.loads, api.octets("GET", past).splitlines())
            return "\n".join(
                event["Actor"]["Attributes"]["lost"]
                for event in events
                if event["Action"] == "repair"
            )

    def log(self) -> str:
        return (self.host.folder / "daemon.log").read_text()


@pytest.fixture(scope="module", params=BACKENDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One for all tests of a backend: what each breaks is whole again before the next."""
    with Host(firewall=request.param) as host, Outside(host) as outside:
        host.netd("network", "create", "--ipv6", "front")
        on = ("--network", "front")
        host.netd("run", "-d", *on, "--name", "web", "-p", "8080:80", "demo", *SERVES)
        host.netd("run", "-d", *on, "--name", "cli", "demo", "sleep", "1000")
        world = World(host, outside, words(host))
        until(lambda: world.trouble() == "", "it has never worked")
        yield world


def words(host: Host) -> dict[str, str]:
    network = host.inspect("front")
    tables = host.inside("nft", "list", "tables", "bridge").split()
    inside = host.netd("exec", "web", "cat", "/sys/class/net/eth0/iflink").strip()
    links = json.loads(host.inside("ip", "-j", "link"))
    found = {
        "bridge": f"nd-{network['Id'][:12]}",
        "port": next(each["ifname"] for each in links if each["ifindex"] == int(inside)),
        "table": tables[-1],
    }
    for family, config in zip((4, 6), network["IPAM"]["Config"], strict=True):
        found[f"address{family}"] = f"{config['Gateway']}/{config['Subnet'].partition('/')[2]}"
    return found


def test_rules_that_are_taken_away_come_back_and_are_told(world: World) -> None:
    for damage in RULES[world.host.firewall]:
        assert_comes_back(world, damage)


@pytest.mark.parametrize("damage", LINKS, ids=lambda damage: damage.command)
def test_what_is_taken_away_of_the_network_comes_back_and_is_told(
    world: World, damage: Damage
) -> None:
    assert_comes_back(world, damage)


def assert_comes_back(world: World, damage: Damage) -> None:
    """Do a damage, and wait until it is told of and everything works."""
    log, lost = world.log(), damage.lost.format_map(world.words)

    since = world.damage(damage.command)

    def is_whole() -> bool:
        return lost in world.told(since) and world.trouble() == ""

    def what() -> str:
        return f"{damage.command}: {world.trouble()}; told: {world.told(since)}"

    until(is_whole, what, damage.deadline_s)
    said = world.log().removeprefix(log)
    assert "WARNING" in said and lost in said, damage.command


def test_all_at_once_comes_back(world: World) -> None:
    since = world.damage(
        "nft flush ruleset; iptables-legacy -t nat -F; iptables-legacy -F; ip link del {bridge};"
        "ip link del {port}; sysctl -w net.ipv4.ip_forward=0"
    )

    until(lambda: world.trouble() == "", lambda: world.told(since), SOON_S)


def test_what_is_taken_away_while_the_daemon_is_away_is_there_once_it_is_back(
    world: World,
) -> None:
    world.host.stop_daemon()
    try:
        world.damage(f"{FLUSH}; ip link del {{bridge}}; ip link del {{port}}")
        assert world.trouble() != ""
    finally:
        world.host.start_daemon()

    until(lambda: world.trouble() == "", world.trouble, SOON_S)


def test_repairs_are_shown_by_the_docker_client(world: World) -> None:
    since = world.damage("ip link set {bridge} down")
    until(lambda: bool(world.told(since)), "nothing is told", SOON_S)

    shown = subprocess.run(
        ["docker", "events", "--since", f"{since:.9f}", "--until", f"{time.time():.9f}"],
        env={"DOCKER_HOST": f"unix://{world.host.socket}", "PATH": "/usr/bin:/usr/local/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert " network repair " in shown.stdout
    assert f"lost=bridge {world.words['bridge']} is down" in shown.stdout


def test_nothing_is_led_to_a_container_before_what_keeps_others_out_is_there(world: World) -> None:
    own = container_address(world.host, "web", "front")
    address = world.outside.host_addresses[4]
    assert not answered(world.outside.netns, own, 80, TRY_S)

    for _ in range(ROUNDS):
        world.damage(FLUSH)
        # When the published port is led again the direct way is closed already.
        until(lambda: answered(world.outside.netns, address, 8080, TRY_S), "not led", SOON_S)
        assert not answered(world.outside.netns, own, 80, TRY_S)


def test_a_change_in_the_meantime_leads_nobody_past_what_keeps_others_out(world: World) -> None:
    own = container_address(world.host, "web", "front")

    since = world.damage(FLUSH)
    world.host.netd("port", "add", "web", "8081:80")

    assert not answered(world.outside.netns, own, 80, TRY_S)
    assert answered(world.outside.netns, world.outside.host_addresses[4], 8081)
    until(lambda: bool(world.told(since)), "nothing is told", SOON_S)
    world.host.netd("port", "rm", "web", "8081:80")
