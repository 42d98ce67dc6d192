"""Makes a host what a page of docs/firewall is about, by the commands that stand on the page."""

import shlex
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from drivers.iptables_rules import USER
from labs.host import Host
from tests.live.firewall_pages import Page
from tests.rawapi import Api

ADDRESSES = (IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))  # RFC 5737, RFC 3849
USERS = ("nft", "add", "rule", "inet", "netd", "user")  # before what the rule says


def start_again(host: Host, *, router: bool) -> None:
    """Start the daemon of a host without containers on a router, or on a host that is none."""
    host.stop_daemon()
    for address in ADDRESSES:
        length = address.max_prefixlen
        host.inside("ip", "address", "replace", f"{address}/{length}", "dev", "lo", "nodad")
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        host.inside("sysctl", "-q", "-w", f"{name}={int(router)}")
    # It says which forwarding netd itself has turned on since the last boot.
    (host.folder / "run/forwarding").unlink(missing_ok=True)
    host.start_daemon()


def make(host: Host, page: Page, table: str) -> Sequence[str]:
    """Run a page's commands on a host without networks; return the user's own rules among them.

    `table` is the name that nftables has for this daemon's table.
    """
    lines = [*_lines(page.commands), *_lines(page.own_commands.get(host.firewall, ""))]
    making = [words for words in lines if words[:3] == ["netd", "network", "create"]]
    while True:
        for words in making:
            host.netd(*words[1:])
        # Rules of several networks stand in the order of their ids, which are drawn by lot.
        ids = [str(host.inspect(name)["Id"]) for name in page.networks]
        if ids == sorted(ids):
            break
        host.netd("network", "prune", "-f")
    for words in lines:
        if words in making:
            continue
        if words[0] == "netd":
            host.netd(*words[1:])
        else:
            host.inside(*(table if word == "netd" else word for word in words))
    return [_rule(words) for words in lines if words[0] != "netd"]


def clean(host: Host, table: str) -> None:
    """Take everything away that a page's commands have made."""
    with Api(host.socket) as api:
        for each in api.call("GET", "/containers/json?all=1"):
            api.remove(each["Id"])
        api.call("POST", "/networks/prune")
    if host.firewall == "iptables":
        host.inside("iptables-legacy", "-F", USER)
    else:
        host.inside("nft", f"flush chain inet {table} user")


def _lines(commands: str) -> list[list[str]]:
    return [shlex.split(line) for line in commands.replace("\\\n   ", "").splitlines()]


def _rule(words: Sequence[str]) -> str:
    if words[0] == "nft":
        return " ".join(words[len(USERS) :])
    return " ".join(f'"{word}"' if " " in word else word for word in words[1:])
