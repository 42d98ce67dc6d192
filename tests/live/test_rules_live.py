"""The firewall's rules as a user asks for them, in both kinds of firewall."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labs.host import Host, LabError
from tests.live.clients import client_of

pytestmark = pytest.mark.kernel

URL = "http://127.0.0.1:8080/"


@pytest.fixture(scope="module", params=["iptables", "nftables"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    with Host(firewall=request.param) as host:
        yield host
    assert host.remains() == []


@pytest.fixture
def web(host: Host) -> str:
    """Publish a web server on a network of its own, and a second one beside it on another."""
    for name in ("front", "back"):
        host.netd("network", "create", "--ipv6", name)
    more = ("-p", "8080:80", "-p", "7000-7002:6000-6002/udp")
    host.netd(
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "front",
        *more,
        "demo",
        "httpd",
        "-f",
        "-h",
        "/www",
    )
    host.netd(
        "run", "-d", "--name", "db", "--network", "back", "-p", "5432:5432", "demo", "sleep", "1000"
    )
    networks: Any = host.inspect("web")["NetworkSettings"]
    return str(networks["Networks"]["front"]["IPAddress"])


def rules(host: Host, *of: str) -> list[dict[str, Any]]:
    lines = host.netd("network", "rules", *of, "--format", "json").splitlines()
    return [json.loads(line) for line in lines]


def packets(host: Host, reason: str, *of: str) -> int:
    return sum(rule["Packets"] for rule in rules(host, *of) if rule["Reason"] == reason)


def test_a_published_port_counts_the_connections_that_it_leads(host: Host, web: str) -> None:
    led = f"packets to this host's TCP port 8080 go to web ({web}:80)"
    assert packets(host, led) == 0

    for connections in (1, 2):
        assert "Hello" in host.inside("busybox", "wget", "-qO-", URL)
        assert packets(host, led, "web") == connections

    (line,) = (line for line in host.netd("network", "rules").splitlines() if led in line)
    assert line.split()[:1] + line.split()[2:4] == ["2", "led", "front/web"]


def test_what_is_dropped_is_counted_where_it_is_dropped(host: Host, web: str) -> None:
    before = sum(rule["Packets"] for rule in rules(host, "front") if rule["Verdict"] == "drop")

    host.netd("exec", "db", "ping", "-c1", "-W1", web, check=False)

    dropping = [r for r in rules(host, "front") if r["Verdict"] == "drop" and r["Packets"]]
    assert sum(rule["Packets"] for rule in dropping) > before
    assert any(each["Reason"].startswith("nobody from elsewhere gets ") for each in dropping)


def test_only_what_concerns_a_thing_is_shown(host: Host, web: str) -> None:
    everything = {rule["Owner"] for rule in rules(host)}

    assert {"all", "bridge", "front", "front/web", "back", "back/db"} <= everything
    assert {rule["Owner"] for rule in rules(host, "front")} == {"all", "front", "front/web"}
    assert {rule["Owner"] for rule in rules(host, "db")} == {"all", "back", "back/db"}
    assert rules(host, "host") == []
    with pytest.raises(LabError, match="no such network or container: nowhere"):
        rules(host, "nowhere")


def test_a_run_of_ports_is_one_rule(host: Host, web: str) -> None:
    runs = [rule["Reason"] for rule in rules(host, "web") if "7000" in rule["Reason"]]

    assert f"packets to this host's UDP ports 7000-7002 go to web ({web}:6000-6002)" in runs
    assert len(runs) == 2  # of each family


def test_a_renamed_container_has_its_rules_by_the_new_name(host: Host, web: str) -> None:
    with client_of(host) as client:
        client.containers.get("web").rename("site")

    reasons = {rule["Reason"] for rule in rules(host, "site") if rule["Owner"] == "front/site"}

    assert f"packets to this host's TCP port 8080 go to site ({web}:80)" in reasons


def test_raw_text_is_what_the_tools_list(host: Host, web: str) -> None:
    raw = host.netd("network", "rules", "--raw").splitlines()

    if host.firewall == "iptables":
        saved = host.inside("iptables-legacy-save", "-c").splitlines()
        want = [line for line in saved if "-j DNAT" in line]
    else:
        listed = host.inside("nft", "list", "ruleset").splitlines()
        want = [line.strip(" \t,") for line in listed if ". 7001 " in line]
    assert want and {*want} <= {*raw}
