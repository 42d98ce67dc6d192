"""port: where a container is reached, and what changes that."""

from collections.abc import Callable
from typing import Any

import pytest

Netd = Callable[..., Any]

BOTH = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
PORTS = {"80/tcp": BOTH, "81/tcp": None, "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}
LINES = "53/udp -> 127.0.0.1:53\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"


def known(engine: Any, name: str = "web", ports: object = PORTS) -> None:
    engine.answer(f"GET /containers/{name}/json", {"Id": "1", "NetworkSettings": {"Ports": ports}})


@pytest.mark.parametrize("command", [("port",), ("container", "port")])
def test_all_published_ports_are_listed(engine: Any, netd: Netd, command: tuple[str, ...]) -> None:
    known(engine)

    assert netd(*command, "web") == (0, LINES, "")


@pytest.mark.parametrize("ports", [{}, None, {"80/tcp": None}])
def test_without_published_ports_nothing_is_printed(engine: Any, netd: Netd, ports: object) -> None:
    known(engine, ports=ports)

    assert netd("port", "web") == (0, "", "")


@pytest.mark.parametrize(
    ("word", "out"),
    [
        ("80", "0.0.0.0:8080\n[::]:8080\n"),
        ("80/tcp", "0.0.0.0:8080\n[::]:8080\n"),
        ("53/UDP", "127.0.0.1:53\n"),
    ],
)
def test_one_port_is_told_by_its_addresses(engine: Any, netd: Netd, word: str, out: str) -> None:
    known(engine)

    assert netd("port", "web", word) == (0, out, "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("web", "81"), "no public port '81' published for web"),
        (("web", "80/udp"), "no public port '80/udp' published for web"),
        (("web", "http"), "invalid port (http)"),
        (("web", "99999"), "invalid port (99999)"),
        (("web", "80", "81"), "got unexpected extra argument(s) (81)"),
        (("nobody",), "no such thing: /containers/nobody/json"),
        (("",), "a name or id is needed, not ''"),
        (("add", "", "80"), "a name or id is needed, not ''"),
        ((), "missing argument"),
    ],
)
def test_what_cannot_be_told_is_an_error(
    engine: Any, netd: Netd, words: tuple[str, ...], sentence: str
) -> None:
    known(engine)

    result = netd("port", *words)

    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"netd: {sentence}")


def test_more_ports_are_published_and_all_are_listed(engine: Any, netd: Netd) -> None:
    engine.answer("POST /netd/containers/web/ports", {"Ports": PORTS})

    assert netd("port", "add", "web", "8080:80", "127.0.0.1:53:53/udp") == (0, LINES, "")
    assert engine.sent("POST .*").json == {
        "PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        }
    }


def test_ports_are_taken_away_in_silence(engine: Any, netd: Netd) -> None:
    engine.answer("DELETE /netd/containers/web/ports", {"Ports": PORTS})

    assert netd("port", "rm", "web", "80", "8081:81") == (0, "", "")
    assert engine.sent("DELETE .*").json == {
        "PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": ""}],
            "81/tcp": [{"HostIp": "", "HostPort": "8081"}],
        }
    }


@pytest.mark.parametrize("name", ["add", "rm"])
def test_a_container_may_have_the_name_of_a_verb(engine: Any, netd: Netd, name: str) -> None:
    known(engine, name)

    assert netd("port", name) == (0, LINES, "")
    assert netd("port", name, "53/udp") == (0, "127.0.0.1:53\n", "")


@pytest.mark.parametrize(("verb", "method"), [("add", "POST"), ("rm", "DELETE")])
def test_what_the_daemon_refuses_is_told(engine: Any, netd: Netd, verb: str, method: str) -> None:
    engine.answer(f"{method} /netd/containers/web/ports", {"message": "web has no network"}, 409)

    assert netd("port", verb, "web", "80") == (1, "", "netd: web has no network\n")


@pytest.mark.parametrize("verb", ["add", "rm"])
def test_ports_that_make_no_sense_are_not_sent(engine: Any, netd: Netd, verb: str) -> None:
    result = netd("port", verb, "web", "8080:80", "http")

    assert (result.status, result.out) == (125, "")
    assert result.err.startswith("netd: invalid containerPort: http\n")
    assert engine.requests == []
