"""A daemon with one kind of firewall after, and beside, one with the other."""

import subprocess
from pathlib import Path

import pytest

from labs.host import Host
from labs.outside import Outside
from tests.live.backends import BACKENDS
from tests.live.reaching import (
    ECHO,
    SERVES,
    SHORT_S,
    bound,
    container_address,
    container_netns,
    conversation,
    cut_off,
    executed,
    free,
    goes_on,
    opened,
    reached,
)

pytestmark = pytest.mark.kernel

OF_THE_USER = "203.0.113.9"


class RoutingHost(Host):
    """A host of which is said whether it forwards, before its daemon is there."""

    def __init__(self, firewall: str, *, forwards: bool) -> None:
        super().__init__(firewall=firewall)
        self._forwards = int(forwards)

    def renew_namespace(self) -> None:
        super().renew_namespace()
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.inside("sysctl", "-w", f"{key}={self._forwards}")


def iptables(host: Host) -> list[str]:
    """Return all rules and chains of netd's and the user's."""
    saved = [host.inside(f"{tool}-legacy-save") for tool in ("iptables", "ip6tables")]
    lines = "\n".join(saved).splitlines()
    return [line.partition(" [")[0] for line in lines if "NETD" in line or OF_THE_USER in line]


def nftables(host: Host) -> str:
    """Return the tables that are not the guard of the bridges' ports."""
    return "".join(
        host.inside("nft", "-s", "list", "table", *line.split()[1:])
        for line in host.inside("nft", "list", "tables").splitlines()
        if not line.startswith("table bridge")
    )


def test_the_firewall_may_be_changed_while_containers_run() -> None:
    with Host(firewall="iptables") as host, Outside(host) as outside:
        host.netd("network", "create", "--ipv6", "front")
        on = ("--network", "front")
        host.netd("run", "-d", *on, "-p", "8080:80", "--name", "web", "demo", *SERVES)
        host.netd("run", "-d", *on, "-p", "7000:7", "--name", "cli", "demo", *ECHO)
        pid = host.inspect("web")["State"]["Pid"]
        host.inside("iptables-legacy", "-A", "NETD-USER", "-s", OF_THE_USER, "-j", "DROP")
        assert_works(host, outside)
        assert nftables(host) == ""

        with conversation(outside.netns, outside.host_addresses[4], 7000) as connection:
            restarted(host, "nftables")
            assert goes_on(connection)
        assert_works(host, outside)
        rule = f"-A NETD-USER -s {OF_THE_USER}/32 -j DROP"
        assert [*dict.fromkeys(iptables(host))] == [":NETD-USER -", rule]
        (table,) = [line.split()[2] for line in nftables(host).splitlines() if line[:5] == "table"]

        host.inside("nft", f"add rule inet {table} user ip saddr {OF_THE_USER} drop")
        restarted(host, "iptables")
        assert_works(host, outside)
        assert rule in iptables(host)
        left = nftables(host)
        assert f"ip saddr {OF_THE_USER} drop" in left
        assert "hook" not in left and "8080" not in left and "nd-" not in left

        restarted(host, "nftables")
        assert_works(host, outside)
        assert f"ip saddr {OF_THE_USER} drop" in nftables(host)
        assert host.inspect("web")["State"]["Pid"] == pid
        host.netd("rm", "-f", "web")
        assert free(host.netns, 8080) and cut_off(outside.netns, outside.host_addresses[4])
    assert host.remains() == []


@pytest.mark.parametrize("firewall", BACKENDS)
def test_daemons_with_either_firewall_share_a_host(firewall: str) -> None:
    (other,) = {*BACKENDS} - {firewall}
    with (
        Host(firewall=firewall) as one,
        Host(beside=one, firewall=other) as two,
        Outside(one) as outside,
    ):
        for host, port in ((one, 8080), (two, 8081)):
            host.netd("network", "create", "--ipv6", "front")
            on = ("--network", "front", "-p", f"{port}:80")
            host.netd("run", "-d", *on, "--name", "web", "demo", *SERVES)
        webs = [container_netns(host, "web") for host in (one, two)]
        own = [container_address(host, "web", "front") for host in (one, two)]

        for port in (8080, 8081):
            for address in outside.host_addresses.values():
                assert reached(outside.netns, address, port)
                for netns in webs:
                    assert reached(netns, address, port)
            assert reached(one.netns, "127.0.0.1", port)
        for netns, theirs in zip(webs, reversed(own), strict=True):
            assert cut_off(netns, theirs, 80)
        taken = two.netd("run", "-p", "8080:81", "demo", "true", check=False)
        assert "0.0.0.0:8080/tcp: address already in use (by " in taken

        two.close()

        assert reached(outside.netns, outside.host_addresses[4], 8080)
        assert free(one.netns, 8081)


@pytest.mark.parametrize("forwards", [False, True], ids=["no router", "router"])
@pytest.mark.parametrize("firewall", BACKENDS)
def test_a_host_is_a_router_for_others_only_if_it_was_one(firewall: str, *, forwards: bool) -> None:
    with (
        RoutingHost(firewall, forwards=forwards) as host,
        Outside(host) as one,
        Outside(host, 2) as two,
    ):
        host.netd("network", "create", "--ipv6", "front")
        host.netd("run", "-d", "--network", "front", "--name", "cli", "demo", "sleep", "1000")

        for again in (False, True):
            for address in two.addresses.values():
                with bound(two.netns, "tcp", address, 80):
                    assert connects(one.netns, address) is forwards
                    assert connects(container_netns(host, "cli"), address)
            if not again:
                host.stop_daemon()
                host.start_daemon()


def test_a_firewall_that_is_unknown_is_refused() -> None:
    host = Host(firewall="nope")
    try:
        host.renew_namespace()
        done = subprocess.run(
            [*host.daemon_words()], capture_output=True, text=True, timeout=30, check=False
        )
    finally:
        host.close()

    assert done.returncode == 1
    assert done.stderr == "netd: firewall-backend must be one of iptables, nftables: 'nope'\n"


def connects(netns: Path, address: object) -> bool:
    with opened(netns, "tcp", address) as client:
        client.settimeout(SHORT_S)
        try:
            client.connect((str(address), 80))
        except OSError:
            return False
    return True


def restarted(host: Host, firewall: str) -> None:
    host.stop_daemon()
    host.firewall = firewall
    host.start_daemon()


def assert_works(host: Host, outside: Outside) -> None:
    """Reach the published port from everywhere, another container by its name, and be kept out."""
    for address in outside.host_addresses.values():
        assert reached(outside.netns, address)
        assert reached(container_netns(host, "cli"), address)
    for address in ("127.0.0.1", "::1"):
        assert reached(host.netns, address)
    assert "Hello" in executed(host, "cli", "wget", "-qO-", "http://web/")
    assert cut_off(outside.netns, container_address(host, "web", "front"), 80)
