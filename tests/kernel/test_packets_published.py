"""Published ports are reached, from everywhere and as whom (see `tests.kernel.places`)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

from tests.kernel.asking import Question
from tests.kernel.places import (
    FAMILIES,
    HIDDEN,
    LAN,
    LOOPBACK,
    NEIGHBOUR,
    OUTSIDE,
    TRANSPORTS,
    UPLINK,
    at,
    has_sctp,
    of,
)

if TYPE_CHECKING:
    from tests.kernel.world import World

pytestmark = pytest.mark.kernel

# Each number of the host that leads to front1, at all of the host's addresses.
EVERYWHERE = (8080, 7000, 7001, 7002, 9000, 9001, 9002)


def told(
    source: str, where: Mapping[int, str], ports: tuple[int, ...], box: str, seen: Mapping[int, str]
) -> Iterator[tuple[Question, str]]:
    """Yield that a box reaches ports, over all protocols, and whom the container sees."""
    for family in FAMILIES:
        for protocol in TRANSPORTS:
            for port in ports:
                question = Question(source, protocol, where[family], port)
                yield question, f"{box} saw {seen[family]}"


def test_from_outside_by_the_hosts_address_and_with_the_clients_own(world: "World") -> None:
    facts = dict(told("outside", UPLINK, (*EVERYWHERE, 8081), "front1", OUTSIDE))
    facts |= told("neighbour", UPLINK, (*EVERYWHERE, 8081), "front1", NEIGHBOUR)
    facts |= told("neighbour", LAN, EVERYWHERE, "front1", NEIGHBOUR)
    facts |= told("outside", UPLINK, (8084,), "apart1", OUTSIDE)
    facts |= told("outside", UPLINK, (8085,), "open1", OUTSIDE)
    facts |= told("outside", UPLINK, (8086,), "bare1", OUTSIDE)
    facts |= told("outside", UPLINK, (8087,), "given1", OUTSIDE)

    world.expect(facts)


def test_one_port_of_two_addresses_leads_to_two_containers(world: "World") -> None:
    facts = dict(told("outside", UPLINK, (8081,), "front1", OUTSIDE))
    facts |= told("outside", LAN, (8081,), "back1", OUTSIDE)

    world.expect(facts)


def test_from_the_host_by_its_addresses(world: "World") -> None:
    facts = dict(told("host", UPLINK, (*EVERYWHERE, 8081), "front1", UPLINK))
    facts |= told("host", of("front0"), EVERYWHERE, "front1", of("front0"))
    # iptables takes this address of the host for one of a container that leaves its network.
    seen = of("front0" if world.backend == "iptables" else "back0")
    facts |= told("host", of("back0"), EVERYWHERE, "front1", seen)
    facts |= told("host", UPLINK, (8084,), "apart1", UPLINK)
    facts |= told("host", UPLINK, (8086,), "bare1", UPLINK)

    world.expect(facts)


def test_from_the_host_by_its_loopback_address(world: "World") -> None:
    # IPv4 is led there by the kernel, IPv6 by the process that holds the ports.
    facts = dict(told("host", LOOPBACK, (*EVERYWHERE, 8082), "front1", of("front0")))
    facts |= told("host", LOOPBACK, (8084,), "apart1", of("apart0"))
    facts |= told("host", LOOPBACK, (8086,), "bare1", of("bare0"))

    world.expect(facts)


def test_from_another_network_by_the_hosts_addresses(world: "World") -> None:
    facts = dict(told("back1", UPLINK, (*EVERYWHERE, 8081), "front1", of("front0")))
    facts |= told("back1", of("back0"), EVERYWHERE, "front1", of("front0"))
    facts |= told("back1", of("front0"), EVERYWHERE, "front1", of("front0"))
    facts |= told("back1", UPLINK, (8084,), "apart1", of("apart0"))
    facts |= told("routed1", UPLINK, (8080,), "front1", of("routed1"))
    facts |= told("bare1", UPLINK, (8080,), "front1", of("bare1"))

    world.expect(facts)


def test_from_neighbours_and_itself_by_the_hosts_addresses(world: "World") -> None:
    ports = (*EVERYWHERE, 8081)
    facts = dict(told("front2", UPLINK, ports, "front1", of("front0")))
    facts |= told("front2", of("front0"), EVERYWHERE, "front1", of("front0"))
    facts |= told("front1", UPLINK, ports, "front1", of("front0"))
    facts |= told("front1", of("front0"), EVERYWHERE, "front1", of("front0"))
    facts |= told("bare1", UPLINK, (8086,), "bare1", of("bare0"))
    facts |= told("open1", UPLINK, (8085,), "open1", of("open0"))

    world.expect(facts)


def test_from_neighbours_that_are_kept_apart_by_the_hosts_addresses(world: "World") -> None:
    facts = dict(told("apart2", UPLINK, (8084,), "apart1", of("apart0")))
    facts |= told("apart1", UPLINK, (8084,), "apart1", of("apart0"))
    facts |= told("apart2", of("apart0"), (8084,), "apart1", of("apart0"))

    world.expect(facts)


def test_ipv6_is_relayed_to_a_container_that_has_ipv4_only(world: "World") -> None:
    facts = {
        Question(source, protocol, address, 8083): f"four1 saw {at('four0', 4)}"
        for protocol in TRANSPORTS
        for source, address in (
            ("outside", UPLINK[6]),
            ("host", UPLINK[6]),
            ("host", LOOPBACK[6]),
            ("front1", UPLINK[6]),
            ("front1", at("front0", 6)),
        )
    }
    facts |= {
        Question("outside", protocol, UPLINK[4], 8083): f"four1 saw {OUTSIDE[4]}"
        for protocol in TRANSPORTS
    }

    world.expect(facts)


def test_a_client_with_a_link_local_address_is_relayed(world: "World") -> None:
    uplink, _ = world.link_local("host", "up0"), world.link_local("outside", "eth0")
    facts = {
        Question("outside", protocol, f"{uplink}%eth0", port): f"{box} saw {seen}"
        for protocol in TRANSPORTS
        for port, box, seen in (
            (8080, "front1", at("front0", 6)),
            (8083, "four1", at("four0", 4)),
        )
    }

    world.expect(facts)


def test_a_routed_network_is_reached_at_the_containers_own_addresses(world: "World") -> None:
    facts = dict(told("neighbour", of("routed1"), (80, 6000, 6002), "routed1", NEIGHBOUR))
    facts |= told("front1", of("routed1"), (80,), "routed1", of("routed0"))
    facts |= {
        Question("neighbour", "ping", at("routed1", family)): "answers" for family in FAMILIES
    }

    world.expect(facts)


def test_a_network_of_unprotected_nat_is_open_to_all(world: "World") -> None:
    facts = dict(told("neighbour", of("open1"), (80, HIDDEN), "open1", NEIGHBOUR))
    facts |= {Question("neighbour", "ping", at("open1", family)): "answers" for family in FAMILIES}

    world.expect(facts)


def test_sctp_is_led_to_containers(world: "World") -> None:
    if not has_sctp():
        pytest.skip("the kernel has no SCTP")

    world.expect(
        {
            Question("outside", "sctp", UPLINK[family], 8088): f"front1 saw {OUTSIDE[family]}"
            for family in FAMILIES
        }
    )
