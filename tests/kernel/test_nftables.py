"""nf_tables brought in line with a state; what others put there stays, what they take returns."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

import pytest

from drivers.firewall import BridgePort, FirewallState, Publication, said_of
from drivers.nft_firewall import NftFirewall
from drivers.watch import generation
from tests.kernel.firewalls import NETWORKS, PORTS, STATE

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

PORT = BridgePort("nd0123456789ab", "02:42:0a:07:00:02", (ip_interface("10.7.0.2/24"),), "f", "w")
WHOLE = replace(STATE, ports=(PORT,))


@pytest.fixture
def firewall(host: "Host") -> Iterator[NftFirewall]:
    firewall = NftFirewall()
    yield firewall
    host.run(firewall._tables.close)


def ruleset(host: "Host") -> str:
    return host.output("nft", "-s", "list", "ruleset")


def test_what_comes_in_steps_is_what_comes_at_once(host: "Host", firewall: NftFirewall) -> None:
    host.run(firewall.apply, WHOLE)
    at_once = ruleset(host)
    other = replace(NETWORKS[0], icc=False, internal=True)

    for state in (
        FirewallState((NETWORKS[0],)),
        replace(WHOLE, networks=(other, *NETWORKS[1:])),
        replace(WHOLE, published={"other": PORTS[:2]}, ports=(), not_a_router=frozenset({6})),
        WHOLE,
    ):
        host.run(firewall.apply, state)

    assert sorted(ruleset(host).split()) == sorted(at_once.split())
    assert not host.run(firewall.repair)


def test_a_new_daemon_leaves_what_is_right_and_what_was_counted(
    host: "Host", firewall: NftFirewall
) -> None:
    host.run(firewall.apply, WHOLE)
    before = host.run(generation)

    again = NftFirewall()
    host.run(again.apply, WHOLE)
    host.run(again._tables.close)

    assert host.run(generation) == before


@pytest.mark.parametrize(
    ("harm", "lost"),
    [
        ("flush ruleset", "nftables inet netd: the whole table"),
        ("delete table bridge netd", "nftables bridge netd: the whole table"),
        ("flush chain inet netd forward", "nftables inet netd: 7 rules of forward"),
        ("flush map inet netd published4_any", "elements of published4_any"),
        ("flush map inet netd into", "nftables inet netd: 4 elements of into"),
        ("add rule inet netd forward accept", "nftables inet netd: something else in forward"),
        ("insert rule inet netd published accept", "something else in published"),
        ("add element bridge netd ports { eth9 }", "something else in ports"),
        ("add chain inet netd into-000000000000", "something else: chain into-000000000000"),
    ],
)
def test_what_others_take_comes_back_and_is_named(
    host: "Host", firewall: NftFirewall, harm: str, lost: str
) -> None:
    host.run(firewall.apply, WHOLE)
    before = sorted(ruleset(host).split())
    assert not host.run(firewall.looks_changed)

    host.output("nft", harm)

    assert host.run(firewall.looks_changed)
    assert lost in "; ".join(host.run(firewall.repair))
    assert sorted(ruleset(host).split()) == before
    assert not host.run(firewall.looks_changed)
    assert not host.run(firewall.repair)


def test_what_others_do_elsewhere_is_nothing_to_repair(host: "Host", firewall: NftFirewall) -> None:
    host.run(firewall.apply, WHOLE)

    host.output(
        "nft", "add table inet theirs; add chain inet theirs x; add rule inet theirs x drop"
    )

    assert host.run(firewall.looks_changed)
    assert not host.run(firewall.repair)
    assert "theirs" in ruleset(host)


def test_a_chain_that_hangs_elsewhere_by_now_is_made_anew(
    host: "Host", firewall: NftFirewall
) -> None:
    host.run(firewall.apply, WHOLE)
    before = sorted(ruleset(host).split())
    host.output(
        "nft",
        "flush chain inet netd raw; delete chain inet netd raw; "
        "add chain inet netd raw { type filter hook input priority 0; }",
    )

    assert host.run(firewall.repair) == ["nftables inet netd: chain raw"]

    assert sorted(ruleset(host).split()) == before


def test_a_change_finds_its_way_into_tables_that_were_taken(
    host: "Host", firewall: NftFirewall
) -> None:
    host.run(firewall.apply, FirewallState(tuple(NETWORKS)))
    host.output("nft", "flush", "ruleset")

    host.run(firewall.apply, WHOLE)

    again = ruleset(host)
    host.output("nft", "flush", "ruleset")
    host.run(firewall.repair)
    assert ruleset(host).split() == again.split()


def test_the_users_own_rules_and_sets_survive_everything(
    host: "Host", firewall: NftFirewall
) -> None:
    host.run(firewall.apply, WHOLE)
    host.output(
        "nft",
        "add set inet netd blocked { type ipv4_addr; elements = { 192.0.2.66 }; }; "
        "add rule inet netd user ip saddr @blocked drop",
    )
    rule = "ip saddr @blocked drop"

    host.run(firewall.apply, replace(WHOLE, published={}))
    assert rule in ruleset(host)
    host.output("nft", "flush chain inet netd forward")
    host.run(firewall.repair)
    assert rule in ruleset(host)
    host.run(firewall.clear)
    assert rule in ruleset(host) and "hook" not in ruleset(host)
    host.run(firewall.apply, WHOLE)
    assert rule in ruleset(host) and "192.0.2.66" in ruleset(host)


def test_nothing_is_left_after_clearing(host: "Host", firewall: NftFirewall) -> None:
    host.run(firewall.apply, WHOLE)

    host.run(firewall.clear)

    assert ruleset(host) == ""
    host.run(firewall.clear)


def test_daemons_side_by_side_have_tables_of_their_own(host: "Host", firewall: NftFirewall) -> None:
    other = NftFirewall("abc123")
    host.run(firewall.apply, WHOLE)
    before = ruleset(host)

    host.run(other.apply, WHOLE)
    assert "table inet netd-abc123" in ruleset(host)
    host.run(other.clear)

    assert ruleset(host) == before


def test_the_guard_stands_alone_beside_the_other_firewall(host: "Host") -> None:
    guard = NftFirewall(families=["bridge"])

    host.run(guard.apply, WHOLE)

    assert "table bridge netd" in ruleset(host) and "table inet" not in ruleset(host)
    assert PORT.mac in ruleset(host)
    host.run(guard.clear)


def test_rules_and_elements_are_told_with_their_counters(
    host: "Host", firewall: NftFirewall
) -> None:
    host.run(firewall.apply, WHOLE)

    told = {rule.comment: rule for rule in host.run(firewall.rules)}

    port = told["netd front: web 8080->80/tcp"]
    assert (port.place, port.packets) == ("inet netd published6_any", 0)
    assert "tcp . 8080" in port.raw and "[" not in port.raw
    assert told["netd front: no way in from elsewhere"].raw.endswith('from elsewhere"')
    assert told["netd: not with the MAC of another"].place == "bridge netd prerouting"


def test_ten_thousand_ports_come_and_go_in_a_moment(host: "Host", firewall: NftFirewall) -> None:
    many = Publication(
        "front", "web", "tcp", ip_address("10.7.0.2"), 20000, ip_address("0.0.0.0"), 30000, 10000
    )
    host.run(firewall.apply, WHOLE)
    before = ruleset(host)

    host.run(firewall.apply, replace(WHOLE, published={**WHOLE.published, "many": (many,)}))
    assert ruleset(host).count("10.7.0.2 . 2") == 10000

    host.run(firewall.apply, WHOLE)
    assert ruleset(host) == before


def test_elements_that_stay_go_on_counting(host: "Host", firewall: NftFirewall) -> None:
    host.run(firewall.apply, WHOLE)
    rest = WHOLE.published["c"][1:]
    comment = f'comment "{said_of(PORTS[3])}"'
    counted = f"{{ udp . 7000 counter packets 5 bytes 9 {comment} : 10.7.0.2 . 6000 }}"
    host.output("nft", "delete element inet netd published4_any { udp . 7000 }")
    host.output("nft", f"add element inet netd published4_any {counted}")

    host.run(firewall.apply, replace(WHOLE, published={"c": rest}))

    assert "udp . 7000 counter packets 5 bytes 9" in host.output("nft", "list", "ruleset")
    assert "10.7.0.2 . 80" not in ruleset(host)
