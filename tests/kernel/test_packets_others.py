"""Rules of other people: the user's own win, and those of other programs stay as they are."""

import re
from contextlib import ExitStack
from itertools import product
from typing import TYPE_CHECKING

import pytest

from drivers.firewall import Firewall, FirewallState
from drivers.iptables_firewall import IptablesFirewall
from drivers.nft_firewall import NftFirewall
from tests.kernel import firewalls
from tests.kernel.asking import Question
from tests.kernel.places import (
    FAMILIES,
    HIDDEN,
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
    from tests.kernel.conftest import Host
    from tests.kernel.world import World

pytestmark = pytest.mark.kernel


def say(world: "World", family: int, matches: str, verdict: str) -> None:
    """Put a rule into the user's own chain."""
    if world.backend == "iptables":
        words = matches.replace("saddr", "-s").replace("daddr", "-d")
        target = f"-j {verdict.upper()}"
        world.host.output(LEGACY[family], "-A", "NETD-USER", *words.split(), *target.split())
        return
    layer = {4: "ip", 6: "ip6"}[family]
    words = matches.replace("saddr", f"{layer} saddr").replace("daddr", f"{layer} daddr")
    world.host.output("nft", f"add rule inet netd user {words} {verdict}")


def forget(world: "World") -> None:
    if world.backend == "nftables":
        world.host.output("nft", "flush", "chain", "inet", "netd", "user")
        return
    for tool in LEGACY.values():
        world.host.output(tool, "-F", "NETD-USER")


def test_the_users_own_rule_drops_what_netd_would_let_pass(world: "World") -> None:
    questions = {
        Question("outside", protocol, UPLINK[family], 8080): f"front1 saw {OUTSIDE[family]}"
        for family in FAMILIES
        for protocol in TRANSPORTS
    }
    questions |= {
        Question("front1", protocol, OUTSIDE[family], OWN): f"outside saw {UPLINK[family]}"
        for family in FAMILIES
        for protocol in TRANSPORTS
    }
    for family in FAMILIES:
        say(world, family, f"daddr {at('front1', family)}", "drop")
        say(world, family, f"saddr {at('front1', family)}", "drop")
    world.expect(questions.keys())
    assert not world.repair()
    world.expect(questions.keys())

    forget(world)
    world.expect(questions)


def test_the_users_own_rule_accepts_what_netd_would_drop(world: "World") -> None:
    facts = {
        Question(source, protocol, address[family], port): f"{box} saw {seen[family]}"
        for family in FAMILIES
        for protocol in TRANSPORTS
        for source, address, port, box, seen in (
            ("neighbour", of("routed1"), HIDDEN, "routed1", NEIGHBOUR),
            ("neighbour", of("in1"), HIDDEN, "in1", NEIGHBOUR),
            ("in1", NEIGHBOUR, OWN, "neighbour", of("in1")),
            ("neighbour", OUTSIDE, OWN, "outside", NEIGHBOUR),
        )
    }
    world.expect(facts.keys())

    for family in FAMILIES:
        for box in ("routed1", "in1"):
            say(world, family, f"daddr {at(box, family)}", "accept")
        say(world, family, f"saddr {at('in1', family)}", "accept")
        say(world, family, f"saddr {NEIGHBOUR[family]}", "accept")
        say(world, family, f"daddr {NEIGHBOUR[family]}", "accept")
    world.expect(facts)

    forget(world)
    world.expect(facts.keys())


def test_a_policy_of_dropping_holds_back_what_is_published_in_nftables_alone(
    world: "World",
) -> None:
    # There a packet passes when nobody drops it, in iptables when the first accepts it.
    facts = {
        Question("outside", protocol, UPLINK[family], 8080): f"front1 saw {OUTSIDE[family]}"
        for family in FAMILIES
        for protocol in TRANSPORTS
    }
    with ExitStack() as stack:
        for tool in LEGACY.values():
            policy = f"{tool} -P FORWARD DROP", f"{tool} -P FORWARD ACCEPT"
            stack.enter_context(world.meanwhile(*policy))
        world.expect(facts if world.backend == "iptables" else facts.keys())


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_what_others_have_put_there_stays_as_it_is(host: "Host", backend: str) -> None:
    for tool in LEGACY.values():
        for words in (
            "-P FORWARD DROP",
            "-N THEIRS",
            "-A THEIRS -p tcp --dport 1 -j REJECT",
            "-A FORWARD -i their0 -j THEIRS",
            "-A FORWARD -o their0 -m conntrack --ctstate ESTABLISHED -j ACCEPT",
            "-A INPUT -p udp --dport 53 -j ACCEPT",
            "-t nat -A POSTROUTING -o their0 -j MASQUERADE",
            "-t nat -A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-ports 22",
            "-t raw -A PREROUTING -i their0 -j NOTRACK",
            "-t mangle -A FORWARD -p tcp -j MARK --set-mark 1",
        ):
            host.output(tool, *words.split())
    host.output(
        "nft", "table inet theirs { chain x { type filter hook forward priority 5; drop; }; }"
    )
    kinds: list[Firewall] = [NftFirewall()]
    if backend == "iptables":
        kinds = [IptablesFirewall(), NftFirewall(families=["bridge"])]
    before = theirs(host)
    assert len(before) > 40

    for kind in kinds:
        host.run(kind.apply, firewalls.STATE)
    assert theirs(host) == before
    for tool in LEGACY.values():
        if backend == "iptables":
            host.output(tool, "-F", "NETD-FORWARD")
            host.output(tool, "-D", "FORWARD", "1")
    if backend == "nftables":
        host.output("nft", "delete", "table", "inet", "netd")
    assert [lost for kind in kinds for lost in host.run(kind.repair)]
    for kind in kinds:
        host.run(kind.apply, FirewallState())
    assert theirs(host) == before

    for kind in kinds:
        host.run(kind.clear)
    assert theirs(host) == before == everything(host).splitlines()


def theirs(host: "Host") -> list[str]:
    """Return the rules that are not netd's, in their order."""
    text = re.sub(r"table \w+ netd {.*?^}\n", "", everything(host), flags=re.DOTALL | re.MULTILINE)
    return [line for line in text.splitlines() if "NETD" not in line]


def everything(host: "Host") -> str:
    tables = product(LEGACY.values(), ("filter", "nat", "raw", "mangle"))
    rules = [host.output(tool, "-t", table, "-S") for tool, table in tables]
    return "".join(rules) + host.output("nft", "-s", "list", "ruleset")
