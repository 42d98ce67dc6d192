"""How long a container's way onto a network takes: python tests/bench/bench_join.py [TIMES].

Runs as root, in a network namespace of its own; prints the median and the worst of each step.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

from drivers import iptables
from drivers.addressing import mac_of
from drivers.bridge import BridgeDriver
from drivers.contract import Endpoint, Network, Subnet
from drivers.firewall import FirewallState, firewall_network
from drivers.iptables_rules import ruleset
from drivers.link import Links
from drivers.sandbox import create_sandbox, entered, open_resolver, remove_sandbox, set_gateways

NETWORK = Network(
    id="be" * 32,
    name="bench",
    subnets=(
        Subnet(ip_network("10.7.0.0/16"), ip_address("10.7.0.1")),
        Subnet(ip_network("fd00:7::/64"), ip_address("fd00:7::1")),
    ),
    mtu_bytes=1500,
)


def endpoint(number: int) -> Endpoint:
    """Return the endpoint of the container with a number."""
    addresses = tuple(
        ip_interface(f"{subnet.prefix[number]}/{subnet.prefix.prefixlen}")
        for subnet in NETWORK.subnets
    )
    return Endpoint(
        f"{number:064x}", NETWORK.id, "eth0", mac_of(addresses[0].ip), addresses=addresses
    )


def measure(times: int, folder: Path) -> dict[str, list[float]]:
    """Return the milliseconds of each step, for so many containers."""
    spent: dict[str, list[float]] = {}

    def timed(step: str, act: Callable[..., object], *arguments: object) -> object:
        start = time.perf_counter()
        result = act(*arguments)
        spent.setdefault(step, []).append((time.perf_counter() - start) * 1000)
        return result

    links = Links()
    with ExitStack() as stack:
        stack.callback(links.close)
        driver = BridgeDriver(links)
        timed("create network", driver.create, NETWORK)
        rules = ruleset(FirewallState((firewall_network(NETWORK),)))
        timed("firewall, first", iptables.apply, rules)
        timed("firewall, nothing to do", iptables.apply, rules)
        many = [replace(NETWORK, name=f"n{n}", id=f"{n:064x}"[::-1]) for n in range(100)]
        hundred = ruleset(FirewallState(tuple(firewall_network(network) for network in many)))
        timed("firewall, 100 networks", iptables.apply, hundred)
        timed("firewall, 100 networks, nothing to do", iptables.apply, hundred)
        gateways = {subnet.prefix.version: ("eth0", subnet.gateway) for subnet in NETWORK.subnets}
        for number in range(2, times + 2):
            box = folder / f"box{number}"
            stack.callback(remove_sandbox, box)
            timed("create sandbox", create_sandbox, box)
            timed("join", driver.join, NETWORK, endpoint(number), box)
            timed("join again", driver.join, NETWORK, endpoint(number), box)
            timed("set gateways", set_gateways, links, box, gateways)
            for opened in timed("open resolver", open_resolver, box):  # type: ignore[attr-defined]
                stack.callback(opened.close)
    return spent


def main() -> None:
    """Measure and print."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        host = Path(name) / "host"
        create_sandbox(host)
        stack.callback(remove_sandbox, host)

        def run() -> None:
            with entered(host):
                for step, spent in measure(times, Path(name)).items():
                    print(f"{step:40} {statistics.median(spent):8.2f} ms  (most {max(spent):.2f})")

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()


if __name__ == "__main__":
    main()
