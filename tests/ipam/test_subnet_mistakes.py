"""What users get wrong about subnets, told all at once with the values."""

from ipaddress import ip_network

import pytest

from ipam import (
    DEFAULT_POOLS,
    InvalidSubnetError,
    OverlapError,
    Prefix,
    SubnetRequest,
    plan,
    unique_local_pool,
)

POOLS = (*DEFAULT_POOLS, unique_local_pool(b"test"))


def planned(
    *requests: SubnetRequest, ipv6: bool = True, taken: dict[Prefix, str] | None = None
) -> None:
    plan(requests, ipv4=True, ipv6=ipv6, pools=POOLS, taken=taken or {})


def problems_of(*requests: SubnetRequest, ipv6: bool = True) -> list[str]:
    with pytest.raises(InvalidSubnetError) as caught:
        planned(*requests, ipv6=ipv6)
    assert str(caught.value) == "; ".join(caught.value.problems)
    return list(caught.value.problems)


def test_a_chosen_subnet_that_overlaps_is_refused_with_both_prefixes_and_the_owner() -> None:
    taken: dict[Prefix, str] = {
        ip_network("10.0.0.0/8"): "route 10.0.0.0/8 dev tun0",
        ip_network("fd00:1::/80"): "network front",
    }

    with pytest.raises(OverlapError) as caught:
        planned(SubnetRequest("10.5.0.0/24"), SubnetRequest("fd00:1::/64"), taken=taken)

    assert list(caught.value.problems) == [
        "subnet 10.5.0.0/24 overlaps 10.0.0.0/8 (route 10.0.0.0/8 dev tun0)",
        "subnet fd00:1::/64 overlaps fd00:1::/80 (network front)",
    ]


def test_a_subnet_that_overlaps_many_names_a_few_and_tells_how_many() -> None:
    taken: dict[Prefix, str] = {ip_network(f"10.0.{i}.0/24"): f"network n{i}" for i in range(9)}

    with pytest.raises(OverlapError, match=r"10\.0\.2\.0/24 \(network n2\) and 6 more$"):
        planned(SubnetRequest("10.0.0.0/16"), taken=taken)


def test_an_overlap_is_told_beside_the_other_mistakes() -> None:
    taken: dict[Prefix, str] = {ip_network("10.0.0.0/24"): "network front"}

    with pytest.raises(InvalidSubnetError) as caught:
        planned(SubnetRequest("10.0.0.0/24", gateway="10.0.1.1"), taken=taken)

    assert list(caught.value.problems) == [
        "gateway 10.0.1.1 is outside subnet 10.0.0.0/24",
        "subnet 10.0.0.0/24 overlaps 10.0.0.0/24 (network front)",
    ]


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (SubnetRequest("x"), "subnet 'x' is no prefix such as 10.1.0.0/24 or fd00:1::/64"),
        (
            SubnetRequest("10.0.0.0"),
            "subnet '10.0.0.0' is no prefix such as 10.1.0.0/24 or fd00:1::/64",
        ),
        (
            SubnetRequest("10.0.0.0/0.0.0.255"),
            "subnet '10.0.0.0/0.0.0.255' is no prefix such as 10.1.0.0/24 or fd00:1::/64",
        ),
        (
            SubnetRequest("10.0.0.0/33"),
            "subnet '10.0.0.0/33' is no prefix such as 10.1.0.0/24 or fd00:1::/64",
        ),
        (
            SubnetRequest("fe80::%1/64"),
            "subnet 'fe80::%1/64' is no prefix such as 10.1.0.0/24 or fd00:1::/64",
        ),
        (
            SubnetRequest("10.0.0.5/24"),
            "subnet 10.0.0.5/24 has host bits set: 10.0.0.0/24 was meant",
        ),
        (
            SubnetRequest("127.1.0.0/24"),
            "subnet 127.1.0.0/24 reaches into 127.0.0.0/8, which is for loopback",
        ),
        (
            SubnetRequest("ff02::/64"),
            "subnet ff02::/64 reaches into ff00::/8, which is for multicast",
        ),
        (SubnetRequest(gateway="10.0.0.1"), "gateway 10.0.0.1 is given without a subnet"),
        (SubnetRequest(ip_range="10.0.0.0/25"), "ip range 10.0.0.0/25 is given without a subnet"),
        (
            SubnetRequest(auxiliary={"nas": "10.0.0.9"}),
            "auxiliary address nas 10.0.0.9 is given without a subnet",
        ),
        (
            SubnetRequest("0.0.0.0/24", gateway="10.0.0.1"),
            "gateway 10.0.0.1 is given without a subnet: 0.0.0.0/24 asks for any of this size",
        ),
        (
            SubnetRequest("0.0.0.0/8"),
            (
                "no address pool is as large as 0.0.0.0/8:"
                " 172.17.0.0/16, 172.18.0.0/16, 172.19.0.0/16 and 13 more"
            ),
        ),
        (
            SubnetRequest("10.0.0.0/24", "10.0.0.256"),
            "gateway '10.0.0.256' is no address such as 10.1.0.1 or fd00:1::1",
        ),
        (
            SubnetRequest("10.0.0.0/24", "10.0.1.1"),
            "gateway 10.0.1.1 is outside subnet 10.0.0.0/24",
        ),
        (
            SubnetRequest("10.0.0.0/24", "fd00::1"),
            "gateway fd00::1 is IPv6, but subnet 10.0.0.0/24 is IPv4",
        ),
        (
            SubnetRequest("10.0.0.0/24", "10.0.0.0"),
            "gateway 10.0.0.0 is the network address of 10.0.0.0/24",
        ),
        (
            SubnetRequest("10.0.0.0/24", "10.0.0.255"),
            "gateway 10.0.0.255 is the broadcast address of 10.0.0.0/24",
        ),
        (
            SubnetRequest("fd00:1::/64", "fd00:1::"),
            "gateway fd00:1:: is the subnet-router anycast address of fd00:1::/64",
        ),
        (
            SubnetRequest("10.0.0.0/24", ip_range="10.0.0.5/25"),
            "ip range 10.0.0.5/25 has host bits set: 10.0.0.0/25 was meant",
        ),
        (
            SubnetRequest("10.0.0.0/24", ip_range="10.0.0.0/16"),
            "ip range 10.0.0.0/16 is outside subnet 10.0.0.0/24",
        ),
        (
            SubnetRequest("10.0.0.0/24", ip_range="fd00::/64"),
            "ip range fd00::/64 is IPv6, but subnet 10.0.0.0/24 is IPv4",
        ),
        (
            SubnetRequest("10.0.0.0/24", auxiliary={"a": "10.0.0.9", "b": "10.0.0.9"}),
            "auxiliary address b 10.0.0.9 is also auxiliary address a",
        ),
        (
            SubnetRequest("10.0.0.0/24", "10.0.0.9", auxiliary={"a": "10.0.0.9"}),
            "auxiliary address a 10.0.0.9 is also the gateway",
        ),
        (
            SubnetRequest("10.0.0.0/24", auxiliary={"a": "10.1.0.9"}),
            "auxiliary address a 10.1.0.9 is outside subnet 10.0.0.0/24",
        ),
        (
            SubnetRequest("10.0.0.0/24", auxiliary={"a": "10.0.0.255"}),
            "auxiliary address a 10.0.0.255 is the broadcast address of 10.0.0.0/24",
        ),
        (
            SubnetRequest("10.0.0.0/30", auxiliary={"a": "10.0.0.1", "b": "10.0.0.2"}),
            "no address is left for a gateway in subnet 10.0.0.0/30",
        ),
    ],
)
def test_a_mistake_is_told_with_the_values(request_: SubnetRequest, problem: str) -> None:
    assert problems_of(request_) == [problem]


def test_subnets_of_one_network_must_not_overlap_each_other() -> None:
    problems = problems_of(SubnetRequest("10.0.0.0/16"), SubnetRequest("10.0.5.0/24"))

    assert problems == ["subnet 10.0.0.0/16 overlaps subnet 10.0.5.0/24 of the same network"]


def test_a_subnet_of_a_disabled_family_is_refused() -> None:
    problems = problems_of(SubnetRequest("fd00:1::/64"), ipv6=False)

    assert problems == ["subnet fd00:1::/64 is given, but IPv6 is disabled"]


def test_all_mistakes_of_all_requests_are_told_together() -> None:
    problems = problems_of(
        SubnetRequest("10.0.0.5/24", "x", "y", {"a": "z"}),
        SubnetRequest("nonsense", "10.0.0.300"),
        SubnetRequest("fd00::/64"),
        ipv6=False,
    )

    assert problems == [
        "subnet 10.0.0.5/24 has host bits set: 10.0.0.0/24 was meant",
        "gateway 'x' is no address such as 10.1.0.1 or fd00:1::1",
        "ip range 'y' is no prefix such as 10.1.0.0/24 or fd00:1::/64",
        "auxiliary address a 'z' is no address such as 10.1.0.1 or fd00:1::1",
        "subnet 'nonsense' is no prefix such as 10.1.0.0/24 or fd00:1::/64",
        "gateway '10.0.0.300' is no address such as 10.1.0.1 or fd00:1::1",
        "subnet fd00::/64 is given, but IPv6 is disabled",
    ]
