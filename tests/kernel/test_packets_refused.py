"""What must not pass, and that it would if what keeps it back were taken away.

A refusal alone proves little. So each is followed by the same questions without the very rules,
and somebody's answer (see `tests.kernel.places` for who is where).
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import permutations, product
from typing import TYPE_CHECKING

import pytest

from tests.kernel import places
from tests.kernel.asking import Question
from tests.kernel.places import (
    FAMILIES,
    HIDDEN,
    LAN,
    LOCAL,
    LOOPBACK,
    NEIGHBOUR,
    OUTSIDE,
    OWN,
    TRANSPORTS,
    UPLINK,
    at,
    of,
)
from tests.kernel.world import LEGACY

if TYPE_CHECKING:
    from tests.kernel.world import World

pytestmark = pytest.mark.kernel


def asked(
    source: str, where: Mapping[int, str], *ports: int, families: tuple[int, ...] = FAMILIES
) -> Iterator[Question]:
    for family in families:
        for protocol in TRANSPORTS:
            for port in ports:
                yield Question(source, protocol, where[family], port)


def pinged(source: str, where: Mapping[int, str]) -> Iterator[Question]:
    for address in where.values():
        yield Question(source, "ping", address)


def directly(source: str, box: str, *ports: int) -> list[Question]:
    where = of(box)
    return [*asked(source, where, *ports, families=tuple(where)), *pinged(source, where)]


def answered(questions: list[Question], by: str, seen: Mapping[int, str]) -> dict[Question, str]:
    return {
        each: "answers" if each.protocol == "ping" else f"{by} saw {seen[each.family]}"
        for each in questions
    }


def no_way_in(world: "World", *networks: str) -> list[str]:
    """Return the comments of the rules that keep a network closed to others."""
    kept = [f"netd {name}: no way in from elsewhere" for name in networks]
    direct = [f"netd {name}: not directly from elsewhere" for name in networks if name != "bare"]
    if world.backend == "nftables":  # one rule, which looks for the subnet
        direct = ["netd: not directly from elsewhere"] if direct else []
    return kept + direct


def apart(world: "World", *networks: str) -> list[str]:
    if world.backend == "nftables":
        return []
    return [f"netd {name}: apart from the networks of other daemons" for name in networks]


@pytest.mark.parametrize("box", ["front1", "four1", "bare1"])
def test_containers_are_not_reached_at_their_own_addresses(world: "World", box: str) -> None:
    questions = directly("neighbour", box, 80, HIDDEN)
    world.expect(questions)

    with world.without(*no_way_in(world, box[:-1])):
        world.expect(answered(questions, box, NEIGHBOUR))


def test_nor_are_they_where_somebody_elses_rule_accepts_everything(world: "World") -> None:
    questions = directly("neighbour", "front1", 80, HIDDEN)
    theirs = "inet theirs { chain x { type filter hook forward priority -10; accept; }; }"
    with ExitStack() as stack:
        for tool in LEGACY.values():
            accept = f"{tool} -I FORWARD -j ACCEPT", f"{tool} -D FORWARD 1"
            stack.enter_context(world.meanwhile(*accept))
        stack.enter_context(world.meanwhile(f"nft table {theirs}", "nft delete table inet theirs"))
        world.expect(questions)

        with world.without(*no_way_in(world, "front")):
            world.expect(answered(questions, "front1", NEIGHBOUR))


@pytest.mark.parametrize(
    ("source", "box", "port"),
    [("back1", "front1", 80), ("front1", "back1", 81), ("four1", "front1", 80)],
)
def test_networks_are_kept_apart(world: "World", source: str, box: str, port: int) -> None:
    family = places.families(source)
    questions = [each for each in directly(source, box, port, HIDDEN) if each.family in family]
    world.expect(questions)

    with world.without(*no_way_in(world, box[:-1]), *apart(world, source[:-1])):
        world.expect(answered(questions, box, of(f"{box[:-1]}0")))


def test_what_is_not_published_is_not_at_the_hosts_address_either(world: "World") -> None:
    questions = [
        question
        for source in ("outside", "neighbour", "back1", "front2")
        for port in (HIDDEN, 8082)  # which is published to the host alone
        for question in asked(source, UPLINK, port)
    ]
    world.expect(questions)

    published = [
        places.publication("front1", protocol, places.ANY[family], *ports)
        for protocol in TRANSPORTS
        for family in FAMILIES
        for ports in ((HIDDEN, HIDDEN), (8082, 82))
    ]
    seen = {
        "outside": OUTSIDE,
        "neighbour": NEIGHBOUR,
        "back1": of("front0"),
        "front2": of("front0"),
    }
    with world.otherwise(published={"front1": tuple(published)}):
        world.expect({each: f"front1 saw {seen[each.source][each.family]}" for each in questions})


def test_loopback_addresses_are_the_hosts_alone(world: "World") -> None:
    back = "nd-" + "0b" * 6
    with world.astray("neighbour", LAN, "lan0"), world.astray("back1", of("back0"), back):
        questions = [
            question
            for source in ("neighbour", "back1")
            for question in asked(source, LOOPBACK, 8080, 8082, LOCAL)
        ]
        discarded = _headers_discarded(world)
        world.expect(questions)
        # No rule is needed for ::1, and nothing brings the kernel to let it in.
        ipv6 = [each for each in questions if each.family == 6]
        assert _headers_discarded(world) >= discarded + len(ipv6)

        with world.without("netd: loopback addresses belong to this host alone"):
            seen = {"neighbour": NEIGHBOUR[4], "back1": at("back1", 4)}
            led = {**seen, "back1": at("front0", 4)}
            facts = {
                each: f"host saw {seen[each.source]}"
                if each.port == LOCAL
                else f"front1 saw {led[each.source]}"
                for each in questions
                if each.family == 4
            }
            world.expect({**facts, **dict.fromkeys(ipv6)})


def test_an_internal_network_has_no_way_out(world: "World") -> None:
    questions = [*asked("in1", NEIGHBOUR, OWN), *pinged("in1", NEIGHBOUR)]
    others = [*asked("in1", of("front1"), 80, HIDDEN), *pinged("in1", of("front1"))]
    published = [
        *asked("in1", UPLINK, 8080, 8081, 7001),
        *asked("in1", of("in0"), 8080),
        *asked("in1", of("front0"), 8080),
    ]
    world.expect([*questions, *others, *published])

    with world.without("netd in: internal, no way out"):
        world.expect(answered(questions, "neighbour", of("in1")))
        world.expect(answered(published, "front1", of("in1")))
    with world.without("netd in: internal, no way out", *no_way_in(world, "front")):
        world.expect(answered(others, "front1", of("in1")))


def test_an_internal_network_has_no_way_in(world: "World") -> None:
    questions = directly("neighbour", "in1", HIDDEN)
    others = directly("front1", "in1", HIDDEN)
    world.expect([*questions, *others])
    world.expect(answered(directly("in2", "in1", HIDDEN), "in1", of("in2")))
    world.expect(answered(directly("host", "in1", HIDDEN), "in1", of("in0")))

    with world.without("netd in: internal, no way in", *apart(world, "front")):
        world.expect(answered(questions, "in1", NEIGHBOUR))
        world.expect(answered(others, "in1", of("in0")))


def test_an_internal_network_does_not_reach_what_is_relayed(world: "World") -> None:
    bridge = "nd-" + "0c" * 6
    gateway = f"{world.link_local('host', bridge)}%eth0"
    front, four = f"front1 saw {at('front0', 6)}", f"four1 saw {at('four0', 4)}"
    facts = {
        Question("in1", protocol, address, port): answer
        for protocol in TRANSPORTS
        for address, port, answer in (
            (UPLINK[6], 8083, four),
            (at("in0", 6), 8083, four),
            (gateway, 8083, four),
            (gateway, 8080, front),
        )
    }
    world.expect(facts.keys())

    with world.setting(f"ipv4/conf/{bridge}/tag", "0"):
        world.expect(facts)


def test_a_routed_network_lets_in_only_what_is_published(world: "World") -> None:
    questions = [
        *asked("neighbour", of("routed1"), HIDDEN),
        *asked("front1", of("routed1"), HIDDEN),
    ]
    world.expect([*questions, *asked("outside", UPLINK, 80)])

    seen = {"neighbour": NEIGHBOUR, "front1": of("routed0")}
    with world.without("netd routed: no way in from elsewhere", *apart(world, "front")):
        world.expect({q: f"routed1 saw {seen[q.source][q.family]}" for q in questions})


@pytest.mark.parametrize("way", ["directly", "by the gateway"])
def test_neighbours_are_kept_apart_where_icc_is_off(world: "World", way: str) -> None:
    questions = directly("apart2", "apart1", 80, HIDDEN)
    with ExitStack() as stack:
        if way == "by the gateway":
            for family, (box, other) in product(FAMILIES, permutations(("apart1", "apart2"))):
                route = f"{at(other, family)} via {at('apart0', family)} dev eth0"
                both = f"ip route add {route}", f"ip route del {route}"
                stack.enter_context(world.meanwhile(*both, box))
        world.expect(questions)

        if way == "directly" and not world.bridged:  # the ports of the bridge are isolated
            isolated = f"bridge link set dev {world.endpoints['apart1'].host_interface} isolated"
            stack.enter_context(world.meanwhile(f"{isolated} off", f"{isolated} on"))
        else:
            kept = "netd apart: kept apart, icc is off"
            rules = kept, *no_way_in(world, "apart"), *apart(world, "apart")
            stack.enter_context(world.without(*rules))
        world.expect(answered(questions, "apart1", of("apart2")))


def test_the_host_is_no_router_for_others(world: "World") -> None:
    questions = [*asked("outside", NEIGHBOUR, OWN), *pinged("outside", NEIGHBOUR)]
    back = [*asked("neighbour", OUTSIDE, OWN), *pinged("neighbour", OUTSIDE)]
    world.expect([*questions, *back])

    with world.otherwise(not_a_router=frozenset()):
        world.expect(answered(questions, "neighbour", OUTSIDE))
        world.expect(answered(back, "outside", NEIGHBOUR))


def _headers_discarded(world: "World") -> int:
    lines = world.host.output("cat", "/proc/net/snmp6").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Ip6InHdrErrors"))
