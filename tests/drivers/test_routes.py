"""Which of the kernel's routes claim a prefix; the messages are as pyroute2 gives them."""

from ipaddress import ip_network
from typing import Any

from drivers.routes import Route, routes, uplinks

NAMES = {1: "lo", 2: "eth0", 3: "tun0"}


def message(dst: str, length: int, oif: int | None = 2, **other: Any) -> dict[str, Any]:
    family = 10 if ":" in dst else 2
    usual = {"family": family, "dst": dst, "dst_len": length, "oif": oif, "type": 1, "table": 254}
    return usual | other


def listed(*messages: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(str(r.prefix), r.interface, str(r.gateway or "")) for r in routes(messages, NAMES)]


def test_routes_of_all_tables_and_both_families_are_listed() -> None:
    assert listed(
        message("10.0.0.0", 8),
        message("fd00::", 48, 3, table=52),
        message("192.0.2.7", 32, type=2, table=255),
    ) == [("10.0.0.0/8", "eth0", ""), ("fd00::/48", "tun0", ""), ("192.0.2.7/32", "eth0", "")]


def test_a_gateway_is_told_even_if_it_is_of_the_other_family() -> None:
    assert listed(
        message("10.0.0.0", 8, gateway="192.0.2.1"),
        message("10.1.0.0", 16, via={"family": 10, "addr": "fe80::1"}),
        message("10.2.0.0", 16, None, multipath=[{"oif": 3, "gateway": "192.0.2.9"}, {"oif": 2}]),
    ) == [
        ("10.0.0.0/8", "eth0", "192.0.2.1"),
        ("10.1.0.0/16", "eth0", "fe80::1"),
        ("10.2.0.0/16", "tun0", "192.0.2.9"),
    ]


def test_a_blackhole_is_a_route_to_nowhere() -> None:
    assert listed(message("10.60.0.0", 16, None, type=6)) == [("10.60.0.0/16", "", "")]


def test_what_claims_nothing_is_left_out() -> None:
    assert (
        listed(
            message("0.0.0.0", 0) | {"dst": None},
            message("0.0.0.0", 1),
            message("128.0.0.0", 1),
            message("::", 0),
            message("127.0.0.0", 8, 1, type=2),
            message("::1", 128, 1),
            message("fe80::", 64),
            message("ff00::", 8, type=5),
            message("224.0.0.0", 4),
            message("10.0.0.255", 32, type=3),
        )
        == []
    )


def test_interfaces_that_are_not_named_are_left_out() -> None:
    assert listed(message("10.7.0.0", 24, 9)) == []


def test_the_uplinks_are_those_of_default_routes_in_the_main_table() -> None:
    assert uplinks(
        [
            message("0.0.0.0", 0),
            message("128.0.0.0", 1, 3),
            message("::", 0, 4),
            message("0.0.0.0", 0, 5, table=52),
            message("0.0.0.0", 0, 6, type=7),
            message("10.0.0.0", 8, 7),
        ]
    ) == {2, 3, 4}


def test_a_route_is_a_value() -> None:
    found = list(routes([message("10.0.0.0", 8)], NAMES))

    assert found == [Route(ip_network("10.0.0.0/8"), "eth0", None)]
