"""Plan the subnets of a network: what was asked for, completed from the pools."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from ipam.errors import InvalidSubnetError, OverlapError, PoolExhaustedError
from ipam.occupancy import Occupancy
from ipam.pools import Pool
from ipam.prefixes import VERSIONS, Address, Prefix, address_at, overlap, span
from ipam.requests import Wish, understood
from ipam.subnets import Subnet, SubnetRequest, reserved

_NAMED = 3  # owners told by name in a message before "and 12 more"


def plan(
    requests: Sequence[SubnetRequest],
    *,
    ipv4: bool,
    ipv6: bool,
    pools: Sequence[Pool],
    taken: Mapping[Prefix, str],
    wants_gateway: bool = True,
) -> tuple[Subnet, ...]:
    """Return the network's subnets, IPv4 first; a family without a request gets one from the pools.

    `taken` maps prefixes in use to whose they are ("network front", "route 10.0.0.0/8 dev tun0").
    Without `wants_gateway` only requested gateways are there. Raises InvalidSubnetError and
    OverlapError with all mistakes of all requests, and PoolExhaustedError.
    """
    enabled = {4: ipv4, 6: ipv6}
    problems: list[str] = []
    read = [understood(request, problems) for request in requests]
    wishes = [wish for wish in read if wish is not None]
    problems += _wish_problems(wishes, enabled, pools, wants_gateway)
    busy = {version: Occupancy(version, taken) for version in VERSIONS}
    overlaps = _overlaps(wishes, busy)
    if problems:
        raise InvalidSubnetError(problems + overlaps)
    if overlaps:
        raise OverlapError(overlaps)
    return _planned(wishes, enabled, pools, busy, wants_gateway)


def _wish_problems(
    wishes: Sequence[Wish], enabled: Mapping[int, bool], pools: Sequence[Pool], gateways: bool
) -> list[str]:
    problems = [
        f"subnet {wish.prefix} is given, but IPv{wish.prefix.version} is disabled"
        for wish in wishes
        if not enabled[wish.prefix.version]
    ]
    problems += [
        f"subnet {one.prefix} overlaps subnet {other.prefix} of the same network"
        for one, other in combinations([wish for wish in wishes if not wish.any_of_size], 2)
        if overlap(one.prefix, other.prefix)
    ]
    for wish in wishes:
        if wish.any_of_size:
            problems += _size_problems(wish.prefix, pools)
        elif gateways and not _single(wish.prefix) and _gateway(wish) is None:
            problems.append(f"no address is left for a gateway in subnet {wish.prefix}")
    return problems


def _size_problems(wanted: Prefix, pools: Sequence[Pool]) -> list[str]:
    bases = [pool.base for pool in pools if pool.base.version == wanted.version]
    if any(base.prefixlen <= wanted.prefixlen for base in bases):
        return []
    return [f"no address pool is as large as {wanted}: {_joined(bases) or 'none is set'}"]


def _overlaps(wishes: Sequence[Wish], busy: Mapping[int, Occupancy]) -> list[str]:
    sentences = []
    for wish in wishes:
        if wish.any_of_size:
            continue
        found = busy[wish.prefix.version].overlapping([wish.prefix])
        if found:
            others = _joined([f"{prefix} ({owner})" for prefix, owner in found])
            sentences.append(f"subnet {wish.prefix} overlaps {others}")
    return sentences


def _planned(
    wishes: Sequence[Wish],
    enabled: Mapping[int, bool],
    pools: Sequence[Pool],
    busy: Mapping[int, Occupancy],
    gateways: bool,
) -> tuple[Subnet, ...]:
    # Prefixes that were named come first, so that no automatic one settles on them.
    for wish in wishes:
        if not wish.any_of_size:
            busy[wish.prefix.version].add(wish.prefix, "this network")
    subnets: list[Subnet] = []
    for version in (version for version in VERSIONS if enabled[version]):
        mine: list[Wish | None] = [wish for wish in wishes if wish.prefix.version == version]
        for asked in mine or [None]:
            placed = _placed(asked, pools, busy[version], version)
            gateway = _gateway(placed) if gateways else placed.gateway
            subnets.append(
                Subnet(
                    prefix=placed.prefix,
                    gateway=gateway,
                    ip_range=placed.ip_range,
                    auxiliary=placed.auxiliary,
                    chosen=asked is not None,
                )
            )
    return tuple(subnets)


def _placed(wish: Wish | None, pools: Sequence[Pool], busy: Occupancy, version: int) -> Wish:
    if wish is not None and not wish.any_of_size:
        return wish
    prefix = busy.free_subnet(pools, wish.prefix.prefixlen if wish else None)
    if prefix is None:
        raise PoolExhaustedError(_exhausted(wish, pools, busy, version))
    busy.add(prefix, "this network")
    return Wish(prefix)


def _exhausted(wish: Wish | None, pools: Sequence[Pool], busy: Occupancy, version: int) -> str:
    bases = [pool.base for pool in pools if pool.base.version == version]
    if not bases:
        return f"no IPv{version} address pool is set and no IPv{version} subnet was given"
    found = busy.overlapping(bases)
    size = f" of size /{wish.prefix.prefixlen}" if wish else ""
    holders = _joined([f"{prefix} ({owner})" for prefix, owner in found])
    pool_names = ", ".join(map(str, bases))
    return (
        f"no free IPv{version} subnet{size} is left in the address pools {pool_names}: "
        f"{len(found)} are taken, by {holders}"
    )


def _gateway(wish: Wish) -> Address | None:
    """Return the requested gateway, or the lowest address that is free for one."""
    if wish.gateway is not None or _single(wish.prefix):
        return wish.gateway
    unusable = reserved(wish.prefix).keys() | {int(address) for address in wish.auxiliary.values()}
    first, last = span(wish.prefix)
    # No more than all unusable ones can come first, so this ends soon even in a /64.
    for number in range(first, min(last, first + len(unusable)) + 1):
        if number not in unusable:
            return address_at(wish.prefix.version, number)
    return None


def _single(prefix: Prefix) -> bool:
    """Tell whether there is one address only: a gateway would leave none for a container."""
    return prefix.prefixlen == prefix.max_prefixlen


def _joined(things: Sequence[object]) -> str:
    more = len(things) - _NAMED
    return ", ".join(map(str, things[:_NAMED])) + (f" and {more} more" if more > 0 else "")
