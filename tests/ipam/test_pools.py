"""Address pools as dockerd's option writes them, and the built-in ones."""

from ipaddress import ip_network
from itertools import combinations

import pytest

from ipam import DEFAULT_POOLS, InvalidPoolError, Pool, pool, unique_local_pool


def test_the_default_pools_hold_thousands_of_networks_and_do_not_overlap() -> None:
    count = sum(2 ** (each.size - each.base.prefixlen) for each in DEFAULT_POOLS)

    assert count == 4096
    assert not any(one.base.overlaps(two.base) for one, two in combinations(DEFAULT_POOLS, 2))


def test_a_pool_is_read_as_dockerd_writes_it() -> None:
    assert pool("base=10.0.0.0/8,size=24") == Pool(ip_network("10.0.0.0/8"), 24)
    assert pool("size=80,base=fd00::/64") == Pool(ip_network("fd00::/64"), 80)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["'' is neither base=PREFIX nor size=LENGTH", "base is missing", "size is missing"]),
        (
            "base=10.0.0.1/8,size=4,size=4,x=1",
            [
                "size is given twice",
                "'x=1' is neither base=PREFIX nor size=LENGTH",
                "base 10.0.0.1/8 has host bits set: 10.0.0.0/8 was meant",
                "size 4 is not between /8 of the base and /32",
            ],
        ),
        (
            "base=10.0.0.0,size=x",
            [
                "base '10.0.0.0' is no prefix such as 10.0.0.0/8",
                "size 'x' is no prefix length such as 24",
            ],
        ),
    ],
)
def test_all_mistakes_of_a_pool_are_told_together(text: str, problems: list[str]) -> None:
    with pytest.raises(InvalidPoolError) as caught:
        pool(text)

    assert list(caught.value.problems) == [f"address pool {text!r}: {each}" for each in problems]


def test_the_unique_local_pool_is_the_same_for_a_host_and_differs_between_hosts() -> None:
    one = unique_local_pool(b"one")

    assert one == unique_local_pool(b"one") != unique_local_pool(b"two")
    assert one.base.network_address in ip_network("fd00::/8")
    assert (one.base.prefixlen, one.size) == (48, 64)
