"""A change of the firewall in iptables after others have flushed its tables."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from drivers.iptables_firewall import IptablesFirewall
from tests.kernel.firewalls import PORTS, STATE

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel


def rules(host: "Host", table: str) -> str:
    return host.output("iptables-legacy", "-t", table, "-S")


def test_a_change_after_a_flush_brings_back_the_tables_that_it_does_not_touch(
    host: "Host",
) -> None:
    firewall = IptablesFirewall()
    host.run(firewall.apply, replace(STATE, published={"c": PORTS[:1]}))
    before = [rules(host, table) for table in ("raw", "filter")]
    for table in ("raw", "filter", "nat"):
        host.output("iptables-legacy", "-t", table, "-F")

    host.run(firewall.apply, replace(STATE, published={"c": PORTS[:2]}))

    assert "--dport 53 " in rules(host, "nat")
    assert [rules(host, table) for table in ("raw", "filter")] == before
    assert host.run(firewall.looks_changed), "it is still to be told"
    tables = [each.split()[2].rstrip(":") for each in host.run(firewall.repair)]
    assert tables == ["raw", "filter", "nat"]
    assert not host.run(firewall.looks_changed)
