"""Several daemons on one host, each with folders of its own."""

import pytest

from labs.host import Host

pytestmark = pytest.mark.kernel


def test_two_daemons_on_one_host_do_not_disturb_each_other(own_host: Host) -> None:
    one = own_host
    with Host(beside=one) as two:
        for host in (one, two):
            host.netd("network", "create", "--ipv6", "front")
            host.netd("run", "-d", "--name", "web", "--network", "front", "demo", "sleep", "1000")
        rules = one.inside("iptables-legacy-save", "-t", "filter")
        subnets = [
            config["Subnet"]
            for host in (one, two)
            for config in host.inspect("front")["IPAM"]["Config"]
        ]

        assert len({*subnets}) == 4
        assert rules.count("-j NETD-FORWARD-") == 2
        for host, other in ((one, two), (two, one)):
            run = ("run", "--rm", "--network", "front", "demo", "ping", "-c1", "-W1")
            own, foreign = (
                each.inspect("web")["NetworkSettings"]["Networks"]["front"]
                for each in (host, other)
            )
            for key in ("IPAddress", "GlobalIPv6Address"):
                assert "1 packets received" in host.netd(*run, own[key])
                assert "0 packets received" in host.netd(*run, foreign[key], check=False)

        two.netd("rm", "-f", "web")
        two.netd("network", "rm", "front")

        assert "1 packets received" in one.netd(
            "run", "--rm", "--network", "front", "demo", "ping", "-c1", "web"
        )
    # The second daemon's predefined network is still there, and nothing else of it.
    rules = one.inside("iptables-legacy-save", "-t", "filter")
    assert rules.count("-j NETD-FORWARD-") == 2
