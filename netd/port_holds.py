"""The sockets that keep published ports from everybody else: pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import groupby

from drivers.ports import Hold
from netd.model import Address, PortMapping
from netd.port_wishes import ANY


def holds(
    mappings: Iterable[PortMapping], targets: Mapping[int, Address] | None = None
) -> tuple[Hold, ...]:
    """Return the sockets that mappings need; without `targets` they relay nothing.

    All addresses of both families are one socket, because a process has few descriptors. What
    comes by IPv6 and is not translated is relayed to the container's IPv6 address, or to its IPv4
    one where it has no other.
    """
    held = [each for each in mappings if each.host_port]
    ipv4, ipv6 = ({_run(each) for each in held if each.host_address == ANY[n]} for n in (4, 6))
    everywhere = ipv4 & ipv6
    target = (targets or {}).get(6) or (targets or {}).get(4)
    made: list[Hold] = []
    for mapping in held:
        dual = mapping.host_address.is_unspecified and _run(mapping) in everywhere
        if mapping.host_address.version == 6:
            hold = replace(_hold(mapping), dual=dual, target=target)
            made.append(replace(hold, target_port=mapping.port if target else 0))
        elif not dual:
            made.append(_hold(mapping))
    return tuple(made)


def surplus(held: Iterable[Hold], wanted: Iterable[Hold]) -> tuple[Hold, ...]:
    """Return what is held and not wanted, port by port: the rest of a run that is cut stays."""
    kept = {key for hold in wanted for key in hold.keys}
    gone: list[Hold] = []
    for hold in held:
        for spared, run in groupby(hold.keys, key=kept.__contains__):
            ports = [port for _, _, port, _ in run]
            if not spared:
                gone.append(Hold(hold.protocol, hold.address, ports[0], len(ports), dual=hold.dual))
    return tuple(gone)


def _run(mapping: PortMapping) -> tuple[str, int, int]:
    return mapping.protocol, mapping.host_port, mapping.count


def _hold(mapping: PortMapping) -> Hold:
    return Hold(mapping.protocol, mapping.host_address, mapping.host_port, mapping.count)
