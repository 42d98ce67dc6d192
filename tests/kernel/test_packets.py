"""Who reaches whom where nothing is published, and as whom (see `tests.kernel.places`)."""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.kernel.asking import Question
from tests.kernel.places import (
    FAMILIES,
    GIVEN,
    HIDDEN,
    NEIGHBOUR,
    OUTSIDE,
    OWN,
    TRANSPORTS,
    UPLINK,
    at,
    families,
)
from tests.kernel.world import LEGACY

if TYPE_CHECKING:
    from tests.kernel.world import World

pytestmark = pytest.mark.kernel


def every(
    source: str, box: str, port: int, of_families: Iterable[int] = FAMILIES
) -> list[Question]:
    """Return all ways to ask: over each protocol at a container's own address."""
    found = []
    for family in of_families:
        found += [Question(source, protocol, at(box, family), port) for protocol in TRANSPORTS]
        found.append(Question(source, "ping", at(box, family)))
    return found


def answered(questions: list[Question], box: str, asker: str) -> dict[Question, str]:
    return {
        each: "answers" if each.protocol == "ping" else f"{box} saw {at(asker, each.family)}"
        for each in questions
    }


def test_containers_of_a_network_talk(world: "World") -> None:
    with ExitStack() as stack:
        if world.backend == "iptables":  # as other programs leave it; in nftables it would be final
            for tool in LEGACY.values():
                drop = f"{tool} -P FORWARD DROP", f"{tool} -P FORWARD ACCEPT"
                stack.enter_context(world.meanwhile(*drop))
        facts = answered(every("front1", "front2", HIDDEN), "front2", "front1")
        facts |= answered(every("in1", "in2", HIDDEN), "in2", "in1")
        facts |= {
            Question("front1", "ping", at("front0", family)): "answers" for family in FAMILIES
        }

        world.expect(facts)


def test_the_host_and_its_containers_talk(world: "World") -> None:
    facts: dict[Question, str] = {}
    refused = []
    for box in ("front1", "four1", "in1", "apart1", "routed1", "bare1"):
        questions = every("host", box, HIDDEN, families(box))
        facts |= answered(questions, box, f"{box[:-1]}0")
        for family in families(box):
            gateway = at(f"{box[:-1]}0", family)
            for protocol in TRANSPORTS:
                question = Question(box, protocol, gateway, OWN)
                facts[question] = f"host saw {at(box, family)}"
                refused.append(question._replace(port=HIDDEN))
    world.expect(facts)
    world.expect(refused)


def test_containers_reach_outside_as_the_host(world: "World") -> None:
    seen = {"front1": UPLINK, "four1": UPLINK, "apart1": UPLINK, "open1": UPLINK, "given1": GIVEN}
    facts = {
        Question(box, protocol, OUTSIDE[family], OWN): f"outside saw {address[family]}"
        for box, address in seen.items()
        for family in families(box)
        for protocol in TRANSPORTS
    }
    facts |= {Question("front1", "ping", OUTSIDE[family]): "answers" for family in FAMILIES}
    world.expect(facts)

    # Outside knows no way back to the containers.
    of_front = {
        each: "outside heard it" if each.protocol == "udp" else None
        for each in facts
        if each.source == "front1"
    }
    with world.without("netd front: goes out as the host"):
        world.expect(of_front)


def test_without_masquerade_containers_reach_outside_as_themselves(world: "World") -> None:
    world.expect(
        {
            Question(box, protocol, NEIGHBOUR[family], OWN): f"neighbour saw {at(box, family)}"
            for box in ("bare1", "routed1")
            for family in FAMILIES
            for protocol in TRANSPORTS
        }
    )


def test_large_packets_cross_the_bridge_whole(world: "World") -> None:
    def sent(text: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: never fragment
            client.sendto(text, server.getsockname())

    with world.host.inside(world.boxes["wide2"], listening, at("wide2", 4)) as server:
        world.host.inside(world.boxes["wide1"], sent, b"x" * 8972)
        assert len(server.recv(10000)) == 8972


def listening(address: str) -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.settimeout(5)
    server.bind((address, 0))
    return server
