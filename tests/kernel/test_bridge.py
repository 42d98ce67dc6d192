"""The bridge driver in the real kernel: what is made, what is put right, what is gone."""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drivers import rtnetlink
from drivers import sandbox as sandboxes
from drivers.addressing import mac_of
from drivers.contract import DriverError, Endpoint, Network, Subnet

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

FRONT = Network(
    id="f0" * 32,
    name="front",
    subnets=(
        Subnet(ip_network("10.7.0.0/24"), ip_address("10.7.0.1")),
        Subnet(ip_network("fd00:7::/64"), ip_address("fd00:7::1")),
    ),
    mtu_bytes=1400,
)
PLAIN = replace(FRONT, id="d0" * 32, name="plain", subnets=FRONT.subnets[:1])
BRIDGE = "nd-f0f0f0f0f0f0"


def endpoint(number: int, network: Network = FRONT, interface: str = "eth0") -> Endpoint:
    addresses = tuple(
        ip_interface(f"{subnet.prefix[number]}/{subnet.prefix.prefixlen}")
        for subnet in network.subnets
    )
    return Endpoint(
        id=f"{number:02x}" * 32,
        network_id=network.id,
        interface=interface,
        mac=mac_of(addresses[0].ip),
        addresses=addresses,
    )


def links(host: "Host", inside: Path | None = None) -> dict[str, Any]:
    found = json.loads(host.output("ip", "-d", "-j", "address", inside=inside))
    return {link["ifname"]: link for link in found}


def addresses(link: dict[str, Any]) -> set[str]:
    return {
        f"{found['local']}/{found['prefixlen']}"
        for found in link["addr_info"]
        if found["scope"] == "global"
    }


def test_a_network_is_a_bridge_with_the_gateways_addresses(host: "Host") -> None:
    host.run(host.bridge.create, FRONT)

    link = links(host)[BRIDGE]
    assert addresses(link) == {"10.7.0.1/24", "fd00:7::1/64"}
    assert (link["mtu"], link["address"]) == (1400, "02:42:f0:f0:f0:f0")
    assert "UP" in link["flags"] and link["ifalias"] == "netd front"
    assert link["linkinfo"]["info_data"]["stp_state"] == 0
    assert link["linkinfo"]["info_data"]["forward_delay"] == 0


def test_the_mtu_is_the_uplinks_where_nobody_says_another(host: "Host") -> None:
    host.output("ip", "link", "add", "up0", "mtu", "1320", "type", "veth", "peer", "up1")
    host.output("ip", "link", "set", "up0", "up")
    host.output("ip", "route", "add", "default", "dev", "up0")

    host.run(host.bridge.create, replace(FRONT, mtu_bytes=None))

    assert links(host)[BRIDGE]["mtu"] == 1320


def test_creating_a_network_again_puts_its_bridge_right(host: "Host") -> None:
    host.run(host.bridge.create, FRONT)
    host.output("ip", "address", "flush", "dev", BRIDGE, "scope", "global")
    host.output("ip", "address", "add", "10.99.0.1/24", "dev", BRIDGE)
    host.output("ip", "link", "set", BRIDGE, "down", "mtu", "1300")

    host.run(host.bridge.create, FRONT)

    link = links(host)[BRIDGE]
    assert addresses(link) == {"10.7.0.1/24", "fd00:7::1/64"}
    assert "UP" in link["flags"] and link["mtu"] == 1400


def test_removing_a_network_removes_its_bridge_and_may_be_repeated(host: "Host") -> None:
    host.run(host.bridge.create, FRONT)

    host.run(host.bridge.remove, FRONT)
    host.run(host.bridge.remove, FRONT)

    assert set(links(host)) == {"lo"}


def test_a_bridge_of_somebody_else_is_used_and_left(host: "Host") -> None:
    named = replace(FRONT, options={"com.docker.network.bridge.name": "mine"})
    host.output("ip", "link", "add", "mine", "address", "02:00:00:00:00:09", "type", "bridge")
    host.output("ip", "address", "add", "192.0.2.9/24", "dev", "mine")

    host.run(host.bridge.create, named)
    used = links(host)["mine"]
    host.run(host.bridge.remove, named)

    assert addresses(used) == {"192.0.2.9/24", "10.7.0.1/24", "fd00:7::1/64"}
    left = links(host)["mine"]
    assert addresses(left) == {"192.0.2.9/24"} and left["address"] == "02:00:00:00:00:09"


def test_an_interface_that_is_no_bridge_is_refused_and_left(host: "Host") -> None:
    named = replace(FRONT, options={"com.docker.network.bridge.name": "mine"})
    host.output("ip", "link", "add", "mine", "type", "veth", "peer", "other")

    with pytest.raises(DriverError, match="interface mine exists and is no bridge"):
        host.run(host.bridge.create, named)

    assert {"mine", "other"} <= set(links(host))


def test_a_bridge_of_another_network_is_refused(host: "Host") -> None:
    named = replace(FRONT, options={"com.docker.network.bridge.name": "mine"})
    host.run(host.bridge.create, named)

    with pytest.raises(DriverError, match="bridge mine belongs to network front"):
        host.run(host.bridge.create, replace(named, name="back", id="ba" * 32))
    host.run(host.bridge.remove, replace(named, name="back", id="ba" * 32))

    assert "mine" in links(host)


def test_a_network_that_cannot_be_finished_leaves_no_bridge(
    host: "Host", monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise DriverError("no")

    monkeypatch.setattr(host.links, "put_addresses", refused)

    with pytest.raises(DriverError, match="no"):
        host.run(host.bridge.create, FRONT)

    assert set(links(host)) == {"lo"}


def test_an_isolated_gateway_has_no_address_on_the_bridge(host: "Host") -> None:
    options = {f"com.docker.network.bridge.gateway_mode_ipv{n}": "isolated" for n in (4, 6)}

    host.run(host.bridge.create, replace(FRONT, internal=True, options=options))

    assert addresses(links(host)[BRIDGE]) == set()


@pytest.mark.parametrize("internal", [True, False])
def test_the_host_forwards_once_a_network_leads_out(host: "Host", internal: bool) -> None:
    host.run(host.bridge.create, replace(FRONT, internal=internal))

    expected = "0" if internal else "1"
    assert host.setting("ipv4/ip_forward") == expected
    assert host.setting("ipv6/conf/all/forwarding") == expected


def test_a_forwarding_host_keeps_the_routes_its_router_advertises(host: "Host") -> None:
    host.output("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
    host.setting("ipv6/conf/up0/accept_ra", "1")
    host.setting("ipv6/conf/up1/accept_ra", "0")

    host.run(host.bridge.create, FRONT)

    assert host.setting("ipv6/conf/up0/accept_ra") == "2"
    assert host.setting("ipv6/conf/up1/accept_ra") == "0"
    assert host.setting(f"ipv6/conf/{BRIDGE}/accept_ra") == "0"


def test_the_host_hears_no_ipv6_from_a_network_without(host: "Host") -> None:
    host.run(host.bridge.create, PLAIN)

    assert host.setting("ipv6/conf/nd-d0d0d0d0d0d0/disable_ipv6") == "1"
    assert host.setting("ipv6/conf/all/forwarding") == "0"


def test_an_endpoint_has_its_name_mac_mtu_and_addresses(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)

    host.run(host.bridge.join, FRONT, endpoint(2, interface="eth3"), box)

    link = links(host, box)["eth3"]
    assert addresses(link) == {"10.7.0.2/24", "fd00:7::2/64"}
    assert (link["mtu"], link["address"]) == (1400, "02:42:0a:07:00:02")
    assert "UP" in link["flags"]
    assert host.setting("ipv6/conf/eth3/accept_ra", inside=box) == "0"
    assert host.setting("ipv4/conf/eth3/arp_notify", inside=box) == "1"


def test_the_hosts_end_is_marked_and_has_no_addresses(host: "Host") -> None:
    host.run(host.bridge.create, FRONT)

    host.run(host.bridge.join, FRONT, endpoint(2), host.sandbox("box"))

    (link,) = [link for link in links(host).values() if link.get("master") == BRIDGE]
    assert link["ifname"].startswith("nd020202") and link["ifalias"] == "netd front"
    assert link["addr_info"] == []


def test_only_interfaces_of_networks_without_ipv6_have_it_off(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.create, PLAIN)

    host.run(host.bridge.join, FRONT, endpoint(2), box)
    host.run(host.bridge.join, PLAIN, endpoint(2, PLAIN, "eth1"), box)

    off = [host.setting(f"ipv6/conf/{n}/disable_ipv6", inside=box) for n in ("lo", "eth0", "eth1")]
    assert off == ["0", "0", "1"]


def test_containers_of_a_network_reach_one_another_and_the_host(host: "Host") -> None:
    one, two = host.sandbox("one"), host.sandbox("two")
    host.run(host.bridge.create, FRONT)

    host.run(host.bridge.join, FRONT, endpoint(2), one)
    host.run(host.bridge.join, FRONT, endpoint(3), two)

    for address in ("10.7.0.3", "fd00:7::3", "10.7.0.1", "fd00:7::1"):
        assert host.reaches(one, address), address


def test_joining_again_changes_nothing(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.join, FRONT, endpoint(2), box)
    before = set(links(host)), links(host, box)

    host.run(host.bridge.join, FRONT, endpoint(2), box)

    assert (set(links(host)), links(host, box)) == before


def test_joining_again_puts_a_port_back_on_its_bridge(host: "Host") -> None:
    one, two = host.sandbox("one"), host.sandbox("two")
    host.run(host.bridge.create, FRONT)
    for number, box in ((2, one), (3, two)):
        host.run(host.bridge.join, FRONT, endpoint(number), box)
    host.output("ip", "link", "del", BRIDGE)

    host.run(host.bridge.create, FRONT)
    for number, box in ((2, one), (3, two)):
        host.run(host.bridge.join, FRONT, endpoint(number), box)

    assert host.reaches(one, "10.7.0.3")


def test_an_interface_of_that_name_that_is_not_netds_is_an_error(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.output("ip", "link", "add", "eth0", "type", "veth", "peer", "eth9", inside=box)

    with pytest.raises(DriverError, match="has an interface eth0 already"):
        host.run(host.bridge.join, FRONT, endpoint(2), box)

    assert {"eth0", "eth9"} <= set(links(host, box))


def test_joining_without_a_bridge_or_sandbox_names_what_is_missing(host: "Host") -> None:
    box = host.sandbox("box")

    with pytest.raises(DriverError, match=f"no interface {BRIDGE}|{BRIDGE}: .*No such device"):
        host.run(host.bridge.join, FRONT, endpoint(2), box)
    host.run(host.bridge.create, FRONT)
    with pytest.raises(DriverError, match=r"no network namespace at .*nowhere"):
        host.run(host.bridge.join, FRONT, endpoint(2), box.parent / "nowhere")


@pytest.mark.parametrize("refused", ["port", "interface", "address"])
def test_a_join_that_fails_leaves_nothing(
    host: "Host", monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    box = host.sandbox("box")
    apart = replace(FRONT, options={"com.docker.network.bridge.enable_icc": "false"})
    host.run(host.bridge.create, apart)
    before = set(links(host))
    wrong = endpoint(2)
    if refused == "address":  # the kernel takes no multicast address
        wrong = replace(wrong, addresses=(*wrong.addresses, ip_interface("ff02::5/64")))
    else:
        original, sent = rtnetlink.send, []

        def send(requests: Sequence[bytes]) -> None:
            sent.append(requests)
            if len(sent) == ("port", "interface").index(refused) + 1:
                raise OSError("no")
            original(requests)

        monkeypatch.setattr(rtnetlink, "send", send)

    with pytest.raises(DriverError):
        host.run(host.bridge.join, apart, wrong, box)

    monkeypatch.undo()
    assert set(links(host)) == before and set(links(host, box)) == {"lo"}


def test_leaving_removes_the_pair_and_may_be_repeated(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.join, FRONT, endpoint(2), box)

    host.run(host.bridge.leave, FRONT, endpoint(2), box)
    host.run(host.bridge.leave, FRONT, endpoint(2), box)

    assert set(links(host)) == {"lo", BRIDGE} and set(links(host, box)) == {"lo"}


def test_leaving_finds_an_interface_that_was_renamed(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.join, FRONT, endpoint(2), box)
    for words in ("eth0 down", "eth0 name lan0", "lan0 up"):
        host.output("ip", "link", "set", *words.split(), inside=box)

    host.run(host.bridge.leave, FRONT, endpoint(2), box)

    assert set(links(host, box)) == {"lo"}


def test_leaving_a_sandbox_that_has_gone_is_no_error(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.join, FRONT, endpoint(2), box)
    sandboxes.remove_sandbox(box)

    host.run(host.bridge.leave, FRONT, endpoint(2), box)


def test_a_restarted_container_joins_while_its_old_interface_lingers(host: "Host") -> None:
    host.run(host.bridge.create, FRONT)
    for _ in range(3):
        box = host.sandbox("box")
        host.run(host.bridge.join, FRONT, endpoint(2), box)
        sandboxes.remove_sandbox(box)
    box = host.sandbox("box")

    host.run(host.bridge.join, FRONT, endpoint(2), box)

    assert host.reaches(box, "10.7.0.1")


def test_nobody_answers_in_a_sandbox_that_was_removed_but_is_held_open(host: "Host") -> None:
    box = host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.join, FRONT, endpoint(2), box)
    held = box.parent / "held"
    assert host.reaches(host.path, "10.7.0.2")

    with box.open("rb") as namespace:
        sandboxes.remove_sandbox(box)

        held.symlink_to(f"/proc/{os.getpid()}/fd/{namespace.fileno()}")
        assert "UP" not in links(host, held)["eth0"]["flags"]
        assert host.cut_off(host.path, "10.7.0.2")


def test_joining_and_leaving_keep_no_descriptors_and_no_interfaces(host: "Host") -> None:
    host.run(host.bridge.create, FRONT)
    counts = []

    for number in range(2, 8):
        box = host.sandbox("box")
        host.run(host.bridge.join, FRONT, endpoint(number), box)
        if number % 2:
            host.run(host.bridge.leave, FRONT, endpoint(number), box)
        sandboxes.remove_sandbox(box)
        counts.append(len(list(Path("/proc/self/fd").iterdir())))

    assert len(set(counts)) == 1
    # The kernel removes what was in a namespace in its own time.
    loop = f"while ip link show master {BRIDGE} | grep -q .; do :; done"
    host.output("timeout", "10", "sh", "-c", loop)


def test_neighbours_learn_at_once_where_an_address_is(host: "Host") -> None:
    watcher, box = host.sandbox("watcher"), host.sandbox("box")
    host.run(host.bridge.create, FRONT)
    host.run(host.bridge.join, FRONT, endpoint(3), watcher)
    host.reaches(watcher, "10.7.0.1")
    with host.run(packets, watcher) as seen:
        host.run(host.bridge.join, FRONT, endpoint(2), box)

        frame = seen.recv(2048)

    # RFC 826: an announcement, sender and target are both the new address.
    assert frame[14:28][7] in {1, 2} and frame[28:32] == frame[38:42] == bytes((10, 7, 0, 2))


def packets(box: Path) -> socket.socket:
    with sandboxes.entered(box):
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    seen.settimeout(5)
    return seen


def test_gateways_replace_every_other_default_route(host: "Host") -> None:
    box = host.sandbox("box")
    second = replace(
        FRONT,
        id="5e" * 32,
        name="second",
        subnets=(
            Subnet(ip_network("10.8.0.0/24"), ip_address("10.8.0.1")),
            Subnet(ip_network("fd00:8::/64"), ip_address("fd00:8::1")),
        ),
    )
    for network, interface in ((FRONT, "eth0"), (second, "eth1")):
        host.run(host.bridge.create, network)
        host.run(host.bridge.join, network, endpoint(2, network, interface), box)

    def gateways(first: int, second: int) -> list[str]:
        wanted = {
            4: (f"eth{first}", ip_address(f"10.{7 + first}.0.1")),
            6: (f"eth{second}", ip_address(f"fd00:{7 + second}::1")),
        }
        host.run(sandboxes.set_gateways, host.links, box, wanted)
        text = [host.output("ip", f"-{n}", "route", "show", "default", inside=box) for n in (4, 6)]
        return [" ".join(routes.split()[:5]) for routes in text]

    assert gateways(0, 0) == ["default via 10.7.0.1 dev eth0", "default via fd00:7::1 dev eth0"]
    assert gateways(1, 0) == ["default via 10.8.0.1 dev eth1", "default via fd00:7::1 dev eth0"]
    host.output("ip", "route", "add", "default", "via", "10.7.0.1", "metric", "5", inside=box)
    assert gateways(1, 1) == ["default via 10.8.0.1 dev eth1", "default via fd00:8::1 dev eth1"]
    host.run(sandboxes.set_gateways, host.links, box, {4: None, 6: None})
    assert "default" not in host.output("ip", "route", inside=box)
    assert "default" not in host.output("ip", "-6", "route", inside=box)


def test_a_gateway_on_an_interface_that_is_not_there_is_an_error(host: "Host") -> None:
    box = host.sandbox("box")

    with pytest.raises(DriverError, match="no interface eth7"):
        host.run(sandboxes.set_gateways, host.links, box, {4: ("eth7", ip_address("10.7.0.1"))})


def test_routes_of_the_host_are_listed_with_those_of_bridges(host: "Host") -> None:
    host.output("ip", "link", "add", "up0", "type", "veth", "peer", "up1")
    host.output("ip", "address", "add", "192.0.2.7/24", "dev", "up0")
    host.output("ip", "link", "set", "up0", "up")
    host.output("ip", "route", "add", "default", "via", "192.0.2.1")
    host.output("ip", "route", "add", "10.50.0.0/16", "via", "192.0.2.9", "table", "52")
    host.output("ip", "route", "add", "blackhole", "10.60.0.0/16")
    host.output("ip", "-6", "route", "add", "fd00:50::/48", "dev", "up0")
    host.run(host.bridge.create, FRONT)

    found = {
        (str(route.prefix), route.interface, str(route.gateway or ""))
        for route in host.run(host.links.routes)
    }

    assert found == {
        ("192.0.2.0/24", "up0", ""),
        ("192.0.2.7/32", "up0", ""),
        ("10.50.0.0/16", "up0", "192.0.2.9"),
        ("10.60.0.0/16", "", ""),
        ("fd00:50::/48", "up0", ""),
        # Another daemon's bridge looks like this; its subnets are taken too.
        ("10.7.0.0/24", BRIDGE, ""),
        ("10.7.0.1/32", BRIDGE, ""),
        ("fd00:7::/64", BRIDGE, ""),
        ("fd00:7::1/128", BRIDGE, ""),
    }
