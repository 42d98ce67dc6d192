"""Which ports of the host a container gets, and what is said when it cannot have one."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from labs.host import Host
from tests.live.reaching import SERVES, bound, free, reached

pytestmark = pytest.mark.kernel

Docker = Callable[..., str]
RunDocker = Callable[..., subprocess.CompletedProcess[str]]

SLEEPS = ("demo", "sleep", "1000")


def published(docker: Docker, name: str) -> Mapping[str, Sequence[tuple[str, int]]]:
    """Return the host's ends by the container's ports."""
    found = json.loads(docker("inspect", "-f", "{{json .NetworkSettings.Ports}}", name))
    return {
        port: [(end["HostIp"], int(end["HostPort"])) for end in ends or ()]
        for port, ends in found.items()
    }


def everywhere(port: int) -> Sequence[tuple[str, int]]:
    return [("0.0.0.0", port), ("::", port)]


def test_a_range_shifts(host: Host, docker: Docker) -> None:
    docker("run", "-d", "-p", "8000-8002:79-81", "--name", "web", "demo", *SERVES)

    assert published(docker, "web") == {
        f"{79 + shift}/tcp": everywhere(8000 + shift) for shift in range(3)
    }
    assert reached(host.netns, "127.0.0.1", 8001)
    assert reached(host.netns, "::1", 8001)


def test_containers_share_a_range_until_it_is_used_up(
    host: Host, docker: Docker, run_docker: RunDocker
) -> None:
    with bound(host.netns, "tcp", "127.0.0.1", 8001):
        for name in ("one", "two"):
            docker("run", "-d", "-p", "8000-8002:80", "--name", name, "demo", *SERVES)
        done = run_docker("run", "-d", "-p", "8000-8002:80", "--name", "three", *SLEEPS)

    ends = [published(docker, name)["80/tcp"] for name in ("one", "two")]
    assert ends == [everywhere(8000), everywhere(8002)]
    assert reached(host.netns, "127.0.0.1", 8000) and reached(host.netns, "127.0.0.1", 8002)
    assert done.returncode == 125
    assert "all ports are allocated" in done.stderr
    for word in ("8000 by container one", f"pid {os.getpid()}", "8002 by container two"):
        assert word in done.stderr


def test_what_names_no_port_gets_one_for_both_families(host: Host, docker: Docker) -> None:
    docker("run", "-d", "-p", "80", "-p", "80/udp", "--name", "web", "demo", *SERVES)

    ends = published(docker, "web")
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for port in ("80/tcp", "80/udp"):
        number = ends[port][0][1]
        assert ends[port] == everywhere(number)
        assert first <= number <= last
    assert reached(host.netns, "::1", ends["80/tcp"][0][1])


def test_all_exposed_ports_are_published_on_request(host: Host, docker: Docker) -> None:
    words = ("-P", "--expose", "80", "--expose", "90-91/udp", "-p", "8080:443")
    docker("run", "-d", *words, "--name", "web", "demo", *SERVES)

    ends = published(docker, "web")
    assert [*sorted(ends)] == ["443/tcp", "80/tcp", "90/udp", "91/udp"]
    assert ends["443/tcp"] == everywhere(8080)
    assert reached(host.netns, "127.0.0.1", ends["80/tcp"][0][1])


def test_exact_ports_come_before_ranges(docker: Docker) -> None:
    docker("run", "-d", "-p", "8000-8001:80", "-p", "8000:81", "--name", "web", *SLEEPS)

    assert published(docker, "web") == {"80/tcp": everywhere(8001), "81/tcp": everywhere(8000)}


def test_tcp_and_udp_have_ports_of_their_own(host: Host, docker: Docker) -> None:
    docker("run", "-d", "-p", "8000:80", "--name", "one", *SLEEPS)
    docker("run", "-d", "-p", "8000:80/udp", "--name", "two", *SLEEPS)

    assert published(docker, "two")["80/udp"] == everywhere(8000)
    assert not free(host.netns, 8000) and not free(host.netns, 8000, "udp")


def test_a_port_of_another_container_is_refused_and_nothing_stays(
    host: Host, docker: Docker, run_docker: RunDocker
) -> None:
    docker("run", "-d", "-p", "8080:80", "--name", "one", "demo", *SERVES)
    before = host.inside("nft", "list", "ruleset"), host.inside("iptables-legacy-save")

    done = run_docker("run", "-d", "-p", "8000:80", "-p", "8080:81", "--name", "two", *SLEEPS)

    assert done.returncode == 125
    assert "driver failed programming external connectivity on endpoint two" in done.stderr
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in done.stderr
    assert "container one" in done.stderr
    assert docker("inspect", "-f", "{{.State.Status}} {{.State.Pid}}", "two") == "created 0"
    assert docker("port", "two") == ""
    assert free(host.netns, 8000) and free(host.netns, 8000, address="::1")
    assert reached(host.netns, "127.0.0.1", 8080)
    after = host.inside("nft", "list", "ruleset"), host.inside("iptables-legacy-save")
    assert [*map(_still, after)] == [*map(_still, before)]

    docker("rm", "-f", "one")
    docker("start", "two")
    assert published(docker, "two") == {"80/tcp": everywhere(8000), "81/tcp": everywhere(8080)}


def test_a_port_of_a_process_of_the_host_is_refused_with_its_name(
    host: Host, docker: Docker, run_docker: RunDocker
) -> None:
    name = Path("/proc/self/comm").read_text().strip()
    for protocol, address in (("tcp", "127.0.0.1"), ("udp", "::1")):
        with bound(host.netns, protocol, address, 8080):
            done = run_docker("run", "-p", f"8080:80/{protocol}", "--name", "web", *SLEEPS)
        assert done.returncode == 125
        assert f"8080/{protocol}: address already in use" in done.stderr
        assert f"by {name}, pid {os.getpid()}" in done.stderr
        assert docker("inspect", "-f", "{{.State.Status}}", "web") == "created"
        docker("start", "web")
        docker("rm", "-f", "web")


def test_an_address_that_is_not_the_hosts_is_refused(
    host: Host, docker: Docker, run_docker: RunDocker
) -> None:
    for address in ("192.0.2.7", "[2001:db8:77::7]"):
        docker("network", "create", "--ipv6", "front")
        words = ("-p", f"{address}:8080:80", "--network", "front", "--name", "web")
        done = run_docker("run", "-d", *words, *SLEEPS)

        assert done.returncode == 125
        assert f"{address}:8080/tcp: cannot assign requested address" in done.stderr
        assert docker("inspect", "-f", "{{.State.Status}}", "web") == "created"
        docker("rm", "-f", "web")
        docker("network", "rm", "front")


def test_addresses_of_the_host_have_ports_of_their_own(host: Host, docker: Docker) -> None:
    for number in (1, 2):
        end = f"127.0.0.{number}:8080:80"
        docker("run", "-d", "-p", end, "--name", f"web{number}", "demo", *SERVES)

    with ExitStack() as stack:
        stack.enter_context(bound(host.netns, "tcp", "127.0.0.3", 8080))
        for number in (1, 2):
            assert reached(host.netns, f"127.0.0.{number}")


def _still(rules: str) -> str:
    """Return rules without what changes by itself."""
    return re.sub(r"\[\d+:\d+\]|packets \d+ bytes \d+|(?m:^#.*)", "", rules)
