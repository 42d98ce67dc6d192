"""A running container's way out, when its networks change."""

import json
from typing import Any

import pytest
from docker.client import DockerClient

from labs.host import Host

pytestmark = pytest.mark.kernel


def default_routes(host: Host, name: str) -> dict[str, str]:
    """Return the interface of each family's default route."""
    return {
        family: route["dev"]
        for family in ("-4", "-6")
        for route in routes(host, name, family)
        if route["dst"] == "default"
    }


def routes(host: Host, name: str, family: str) -> list[dict[str, Any]]:
    state = host.inspect(name)["State"]
    assert isinstance(state, dict)
    text = host.inside("nsenter", f"--net=/proc/{state['Pid']}/ns/net", "ip", "-j", family, "route")
    return list(json.loads(text or "[]"))


def test_the_way_out_follows_the_networks(host: Host, client: DockerClient) -> None:
    front, back, inner = (
        client.networks.create("front", enable_ipv6=True),
        client.networks.create("back"),
        client.networks.create("inner", internal=True),
    )
    client.containers.run("demo", ["sleep", "1000"], name="web", network="inner", detach=True)
    seen = [default_routes(host, "web")]

    for network, verb in (
        (back, "connect"), (front, "connect"), (back, "disconnect"), (inner, "disconnect"),
        (back, "connect"), (front, "disconnect"), (back, "disconnect"),
    ):  # fmt: skip
        getattr(network, verb)("web")
        seen.append(default_routes(host, "web"))

    assert seen == [
        {},
        {"-4": "eth1"},
        {"-4": "eth1", "-6": "eth2"},
        {"-4": "eth2", "-6": "eth2"},
        {"-4": "eth2", "-6": "eth2"},
        {"-4": "eth2", "-6": "eth2"},
        {"-4": "eth0"},
        {},
    ]
