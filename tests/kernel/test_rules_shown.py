"""Live rules as they are told: nothing is missing, and the text is the tools' own."""

import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_interface
from typing import TYPE_CHECKING

import pytest

from drivers.firewall import BridgePort, Firewall
from drivers.iptables_firewall import IptablesFirewall
from drivers.nft_firewall import NftFirewall
from netd.rule_view import ShownRule, shown
from tests.kernel.firewalls import STATE

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

WEB = BridgePort(
    "nd0123456789ab", "02:42:0a:07:00:02", (ip_interface("10.7.0.2/24"),), "front", "web"
)
WHOLE = replace(STATE, ports=(WEB,))


def told(host: "Host", firewall: Firewall) -> Sequence[ShownRule]:
    host.run(firewall.apply, WHOLE)
    return shown(host.run(firewall.rules), WHOLE)


def texts(rules: Sequence[ShownRule]) -> list[str]:
    return sorted(line for rule in rules for line in rule.raw.splitlines())


def test_iptables_is_told_whole_as_iptables_save_writes_it(host: "Host") -> None:
    rules = told(host, IptablesFirewall())

    saved = [host.output(f"{tool}-legacy-save", "-c") for tool in ("iptables", "ip6tables")]
    lines = [line for text in saved for line in text.splitlines() if line.startswith("[")]
    assert texts(rules) == sorted(lines)
    assert not [rule for rule in rules if rule.reason.startswith("netd")]


def test_nftables_is_told_whole_as_nft_lists_it(host: "Host") -> None:
    firewall = NftFirewall()
    rules = told(host, firewall)
    host.run(firewall._tables.close)

    listed = host.output("nft", "list", "ruleset").splitlines()
    lines = [re.sub(r"^\s+(elements = \{ )?|,$| \}$", "", line) for line in listed]
    assert texts(rules) == sorted(
        line for line in lines if "comment" in line and not line.startswith("comment")
    )
    assert not [rule for rule in rules if rule.reason.startswith("netd")]
    assert [rule.reason for rule in rules if rule.packets is None] == [
        "web sends only as 10.7.0.2, MAC 02:42:0a:07:00:02"
    ]
