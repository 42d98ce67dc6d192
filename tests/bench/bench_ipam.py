"""What addresses and subnets cost: python tests/bench/bench_ipam.py."""

from collections.abc import Callable
from ipaddress import ip_network
from time import perf_counter

from ipam import DEFAULT_POOLS, Leases, Prefix, Subnet, SubnetRequest, plan, unique_local_pool

POOLS = (*DEFAULT_POOLS, unique_local_pool(b"bench"))


def seconds(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def fill(leases: Leases, count: int, owner: str) -> list[float]:
    """Take and give back `count` addresses; return the seconds of both."""
    owners = [f"{owner} {number}" for number in range(count)]
    started = perf_counter()
    addresses = [leases.allocate(each) for each in owners]
    filled = perf_counter()
    for address in addresses:
        leases.release(address)
    return [filled - started, perf_counter() - filled]


def bench_leases() -> None:
    for prefix in ("10.0.0.0/24", "10.0.0.0/16", "fd00::/64"):
        leases = Leases(Subnet(ip_network(prefix)))
        count = min(leases.available, 65534)
        for round_, owner in (("never used", "a"), ("same owners", "a"), ("other owners", "b")):
            took, gave = fill(leases, count, owner)
            print(
                f"{prefix:<12} {round_:<13} {count:>6} addresses: filled in {took * 1e3:7.1f} ms,"
                f" emptied in {gave * 1e3:7.1f} ms ({(took + gave) / count * 1e6:.2f} us a pair)"
            )
        held, released = leases.held, leases.released
        restored = seconds(
            lambda held=held, released=released, of=prefix: Leases(  # type: ignore[misc]
                Subnet(ip_network(of)), held, released
            )
        )
        print(
            f"{prefix:<12} restored {len(released)} released addresses in {restored * 1e3:.1f} ms"
        )


def bench_plan() -> None:
    cut = [subnet for pool in DEFAULT_POOLS for subnet in pool.base.subnets(new_prefix=pool.size)]
    apart = [ip_network(f"{subnet.network_address}/25") for subnet in cut]
    for label, prefixes in (("side by side", cut), ("with gaps too small", apart)):
        taken: dict[Prefix, str] = {prefix: f"network {prefix}" for prefix in prefixes[:4000]}
        for what, requests in (
            ("automatic", []),
            ("chosen", [SubnetRequest("10.1.0.0/16", "10.1.0.1")]),
        ):
            took = min(
                seconds(
                    lambda requests=requests, taken=taken: plan(  # type: ignore[misc]
                        requests, ipv4=True, ipv6=True, pools=POOLS, taken=taken
                    )
                )
                for _ in range(10)
            )
            print(f"plan beside {len(taken)} taken, {label}, {what} + IPv6: {took * 1e3:.2f} ms")


if __name__ == "__main__":
    bench_leases()
    bench_plan()
