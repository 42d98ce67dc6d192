"""The firewall in iptables: written when something changes, glanced at, and put back."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from drivers.firewall import FirewallState
from drivers.iptables_firewall import IptablesFirewall
from tests.kernel.firewalls import STATE

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel


def saved(host: "Host") -> str:
    tools = ("iptables-legacy-save", "ip6tables-legacy-save")
    lines = "\n".join(host.output(tool) for tool in tools).splitlines()
    return "\n".join(line for line in lines if line[:1] in {"*", "-"})


@pytest.mark.parametrize(
    ("harm", "lost"),
    [
        ("iptables-legacy -F", "iptables table filter: rules of NETD-FORWARD, rules of NETD-STR"),
        ("iptables-legacy -F", "jump from FORWARD"),
        ("iptables-legacy -t nat -F", "iptables table nat: rules of NETD-DNAT, rules of NETD-POST"),
        ("ip6tables-legacy -t raw -F", "ip6tables table raw: rules of NETD-PREROUTING"),
        ("iptables-legacy -t nat -D OUTPUT 1", "iptables table nat: jump from OUTPUT"),
        (
            "iptables-legacy -t raw -F; iptables-legacy -t raw -X",
            "iptables table raw: chain NETD-PREROUTING, jump from PREROUTING",
        ),
        ("iptables-legacy -I NETD-FORWARD -j ACCEPT", "filter: something else in NETD-FORWARD"),
        ("iptables-legacy -A FORWARD -j ACCEPT", "filter: something else in FORWARD"),
    ],
)
def test_what_others_take_is_seen_at_a_glance_named_and_put_back(
    host: "Host", harm: str, lost: str
) -> None:
    firewall = IptablesFirewall()
    host.run(firewall.apply, STATE)
    before = saved(host)
    assert not host.run(firewall.looks_changed)

    host.output("sh", "-c", harm)

    assert host.run(firewall.looks_changed)
    assert lost in "; ".join(host.run(firewall.repair))
    own = [line for line in saved(host).splitlines() if line != "-A FORWARD -j ACCEPT"]
    assert "\n".join(own) == before
    assert not host.run(firewall.looks_changed)
    assert not host.run(firewall.repair)


def test_a_rule_that_was_replaced_by_one_of_its_size_is_found_by_the_look_at_everything(
    host: "Host",
) -> None:
    firewall = IptablesFirewall()
    host.run(firewall.apply, STATE)
    before = saved(host)
    (number,) = [
        number
        for number, line in enumerate(
            host.output("iptables-legacy", "-S", "NETD-FORWARD").splitlines()
        )
        if "routed: no way in from elsewhere" in line
    ]
    words = f"-R NETD-FORWARD {number} -o br2 -m comment --comment".split()

    host.output("iptables-legacy", *words, "netd routed: no way in from elsewhere", "-j", "ACCEPT")

    assert host.run(firewall.repair) == ["iptables table filter: rules of NETD-FORWARD"]
    assert saved(host) == before


def test_only_the_tables_that_differ_are_written(
    host: "Host", caplog: pytest.LogCaptureFixture
) -> None:
    firewall = IptablesFirewall()
    host.run(firewall.apply, STATE)
    caplog.set_level("DEBUG", "drivers.iptables")

    host.run(firewall.apply, replace(STATE, published={"c": STATE.published["c"][1:]}))

    assert [record.args[0] for record in caplog.records] == ["iptables table nat"]  # type: ignore[index]


def test_nothing_is_left_after_clearing(host: "Host") -> None:
    firewall = IptablesFirewall("abc123")
    other = IptablesFirewall()
    host.run(other.apply, FirewallState(STATE.networks[:1]))
    before = saved(host)
    host.run(firewall.apply, STATE)

    host.run(firewall.clear)

    assert saved(host) == before


def test_a_table_that_is_not_loaded_is_not_asked_for(host: "Host") -> None:
    firewall = IptablesFirewall()

    host.run(firewall.clear)

    assert host.output("cat", "/proc/self/net/ip_tables_names") == ""


def test_rules_that_stay_go_on_counting(host: "Host") -> None:
    firewall = IptablesFirewall()
    host.run(firewall.apply, STATE)
    counted = host.output("iptables-legacy-save", "-c").replace("[0:0] -A NETD", "[5:9] -A NETD")
    restore = f"echo '{counted}' | iptables-legacy-restore -c"
    host.output("sh", "-c", restore)

    host.run(firewall.apply, replace(STATE, published={"c": STATE.published["c"][1:]}))

    after = host.output("iptables-legacy-save", "-c").splitlines()
    assert [line for line in after if " -A NETD" in line and not line.startswith("[5:9]")] == []
    assert not any("8080->80" in line for line in after)
