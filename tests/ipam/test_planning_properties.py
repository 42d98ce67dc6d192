"""Plans of arbitrary requests: never overlapping, found if there is room, no other errors."""

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from ipam import (
    DEFAULT_POOLS,
    IpamError,
    Pool,
    Prefix,
    SubnetRequest,
    plan,
    unique_local_pool,
)

POOLS = (*DEFAULT_POOLS, unique_local_pool(b"test"))


small = st.builds(
    lambda number, length: ip_network(
        (0x0A000000 + (number >> (32 - length) << (32 - length)), length)
    ),
    st.integers(0, 0x3FF),
    st.integers(22, 32),
)


@given(st.lists(small, max_size=12), st.integers(23, 31), st.integers(22, 31))
def test_an_automatic_subnet_never_overlaps_and_is_found_if_there_is_one(
    used: list[Prefix], size: int, wanted: int
) -> None:
    pools = (Pool(ip_network("10.0.0.0/23"), size), Pool(ip_network("10.0.2.0/23"), size))
    taken = dict.fromkeys(used, "someone")
    request = [SubnetRequest(f"0.0.0.0/{wanted}")] if wanted % 2 else []
    length = wanted if request else size
    free = [
        each
        for base in pools
        if length >= base.base.prefixlen
        for each in base.base.subnets(new_prefix=length)
        if not any(each.overlaps(other) for other in used)
    ]

    try:
        (subnet,) = plan(request, ipv4=True, ipv6=False, pools=pools, taken=taken)
    except IpamError:
        assert not free
    else:
        assert subnet.prefix == free[0]


@given(st.lists(small, max_size=5, unique=True), st.lists(small, max_size=5))
def test_chosen_subnets_are_planned_exactly_when_nothing_overlaps(
    wanted: list[Prefix], used: list[Prefix]
) -> None:
    everything = wanted + used
    clash = any(
        one.overlaps(other) for index, one in enumerate(wanted) for other in everything[index + 1 :]
    )

    try:
        subnets = plan(
            [SubnetRequest(str(prefix)) for prefix in wanted],
            ipv4=bool(wanted),
            ipv6=False,
            pools=(),
            taken=dict.fromkeys(used, "someone"),
        )
    except IpamError:
        assert clash
    else:
        assert not clash and [subnet.prefix for subnet in subnets] == wanted


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_typed_ends_in_subnets_or_in_this_packages_errors(
    subnet: str, gateway: str, ip_range: str, auxiliary: str
) -> None:
    request = SubnetRequest(subnet, gateway, ip_range, {"a": auxiliary} if auxiliary else {})

    try:
        subnets = plan([request], ipv4=True, ipv6=False, pools=POOLS, taken={})
    except IpamError:
        return

    assert len(subnets) == 1
