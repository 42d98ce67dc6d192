"""-p and --expose, read; ports, said."""

from collections.abc import Callable
from typing import Any

import pytest

from netd.cli.errors import CliError
from netd.cli.port_texts import addresses, ports_text, public_lines
from netd.cli.port_words import bindings, exposed

PUBLISHED = [
    ("80", "80/tcp", "", ""),
    (":80", "80/tcp", "", ""),
    ("8080:80", "80/tcp", "", "8080"),
    ("0:80", "80/tcp", "", ""),
    ("8080:80/udp", "80/udp", "", "8080"),
    ("8080:80/SCTP", "80/sctp", "", "8080"),
    ("8080:80/", "80/tcp", "", "8080"),
    ("127.0.0.1:8080:80", "80/tcp", "127.0.0.1", "8080"),
    ("127.0.0.1::80", "80/tcp", "127.0.0.1", ""),
    ("[::1]:8080:80", "80/tcp", "::1", "8080"),
    ("[::1]::53/udp", "53/udp", "::1", ""),
    ("::1:8080:80", "80/tcp", "::1", "8080"),
    ("8000-8010:80", "80/tcp", "", "8000-8010"),
    ("80-82", "80-82/tcp", "", ""),
    ("8000-8002:80-82/udp", "80-82/udp", "", "8000-8002"),
    ("published=8080,target=80", "80/tcp", "", "8080"),
    ("target=53,protocol=udp", "53/udp", "", ""),
]


@pytest.mark.parametrize(("word", "key", "address", "port"), PUBLISHED)
def test_a_port_is_published_as_it_is_said(word: str, key: str, address: str, port: str) -> None:
    assert bindings([word]) == {key: [{"HostIp": address, "HostPort": port}]}


def test_a_port_may_be_published_several_times() -> None:
    assert bindings(["8080:80", "8081:80/tcp", "8080:80", "53:53/udp"]) == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "", "HostPort": "8081"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
    }


WRONG = [
    ("", "no port specified: <empty>"),
    ("8080:", "no port specified: 8080:<empty>"),
    ("/tcp", "no port specified: /tcp<empty>"),
    ("abc", "invalid containerPort: abc"),
    ("8080:abc", "invalid containerPort: abc"),
    ("8080:0", "invalid containerPort: 0"),
    ("65536", "invalid containerPort: 65536"),
    ("80-79", "invalid containerPort: 80-79"),
    ("1-2-3", "invalid containerPort: 1-2-3"),
    ("8\u0660:80", "invalid hostPort: 8\u0660"),
    ("abc:80", "invalid hostPort: abc"),
    ("99999:80", "invalid hostPort: 99999"),
    ("1.2.3.4:80", "invalid hostPort: 1.2.3.4"),
    ("[::1]:80", "invalid hostPort: [::1]"),
    ("localhost:8080:80", "invalid IP address: localhost"),
    ("[::1:8080:80", "invalid IP address: [::1"),
    ("fe80::1%eth0:8080:80", "invalid IP address: fe80::1%eth0"),
    ("80/foo", "invalid proto: foo"),
    (
        "8000-8002:80-81",
        "invalid ranges specified for container and host Ports: 80-81 and 8000-8002",
    ),
    ("8000:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000"),
    ("published=8080", "no port specified: 8080:/<empty>"),
    (
        "target=80,=8",
        "invalid publish opts format (should be name=value but got '=8')",
    ),
    (
        "target=80,mode=host",
        "invalid publish opts format (should be name=value but got 'mode=host')",
    ),
]


@pytest.mark.parametrize(("word", "message"), WRONG)
def test_what_publishes_no_port_is_told_in_dockers_words(word: str, message: str) -> None:
    with pytest.raises(CliError) as caught:
        bindings([word])

    assert (caught.value.message, caught.value.exit_code) == (message, 125)
    assert caught.value.hint


def test_ports_and_ranges_are_exposed() -> None:
    assert exposed(["80", "53/udp", "80-90/UDP", "80"]) == {
        "80/tcp": {}, "53/udp": {}, "80-90/udp": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("http", "--expose 'http' is no port"),
        ("0", "--expose '0' is no port"),
        ("90-80", "--expose '90-80' is no port"),
        ("80:80", "--expose '80:80' is no port"),
        ("80/foo", "invalid proto: foo"),
    ],
)
def test_what_exposes_no_port_is_told(word: str, message: str) -> None:
    with pytest.raises(CliError) as caught:
        exposed([word])

    assert (caught.value.message, caught.value.exit_code) == (message, 125)


@pytest.mark.parametrize("command", ["run", "create"])
def test_words_about_ports_that_make_no_sense_end_with_dockers_status(
    netd: Callable[..., Any], engine: Any, command: str
) -> None:
    result = netd(command, "-p", "8080:abc", "demo")

    assert (result.status, result.out) == (125, "")
    assert result.err.startswith("netd: invalid containerPort: abc\nhint: write it as ")
    assert engine.requests == []


def listed(*ports: tuple[str, int, int] | tuple[str, int, int, str]) -> list[Any]:
    """Return ports of a list from (address, public, private[, type])."""
    return [
        {"IP": address, "PublicPort": public, "PrivatePort": private, "Type": (*kind, "tcp")[0]}
        for address, public, private, *kind in ports
    ]


def bare(port: int, kind: str = "tcp") -> dict[str, Any]:
    return {"PrivatePort": port, "Type": kind}


# What docker ps 28 prints, but for the runs whose numbers differ: these it prints one by one.
SAID: list[tuple[list[Any], str]] = [
    ([], ""),
    ([bare(80)], "80/tcp"),
    ([bare(81), bare(80), bare(90), bare(80, "udp")], "80-81/tcp, 90/tcp, 80/udp"),
    (
        [*listed(("0.0.0.0", 8080, 80), ("::", 8080, 80)), bare(81), bare(53, "udp")],
        "53/udp, 81/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
    ),
    (
        listed(("::", 81, 81), ("::", 80, 80), ("0.0.0.0", 81, 81), ("0.0.0.0", 80, 80)),
        "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp",
    ),
    (
        [
            *(bare(5), bare(6), bare(7, "udp"), bare(9)),
            *listed(*((ip, port, port) for ip in ("0.0.0.0", "::") for port in (1000, 1001, 1005))),
        ],
        (
            "5-6/tcp, 0.0.0.0:1000-1001->1000-1001/tcp, [::]:1000-1001->1000-1001/tcp, 9/tcp, "
            "7/udp, 0.0.0.0:1005->1005/tcp, [::]:1005->1005/tcp"
        ),
    ),
    (
        listed(*((ip, 7920 + port, port) for ip in ("0.0.0.0", "::") for port in (80, 81, 82))),
        "0.0.0.0:8000-8002->80-82/tcp, [::]:8000-8002->80-82/tcp",
    ),
    (
        listed(("127.0.0.1", 9000, 80), ("127.0.0.1", 8000, 80), ("127.0.0.1", 8001, 81)),
        "127.0.0.1:8000-8001->80-81/tcp, 127.0.0.1:9000->80/tcp",
    ),
    (
        listed(("127.0.0.1", 8000, 80), ("127.0.0.1", 8002, 82), ("127.0.0.1", 8001, 81, "udp")),
        "127.0.0.1:8000->80/tcp, 127.0.0.1:8001->81/udp, 127.0.0.1:8002->82/tcp",
    ),
    # Without a port of the host, as where addresses are routed.
    ([{"IP": "0.0.0.0", **bare(80)}, {"IP": "::", **bare(80)}, bare(81)], "80-81/tcp"),
]


@pytest.mark.parametrize(("ports", "text"), SAID)
def test_ports_are_said_in_one_cell(ports: list[Any], text: str) -> None:
    assert ports_text(ports) == text


def test_the_order_of_a_list_does_not_matter() -> None:
    for ports, text in SAID:
        assert ports_text(ports[::-1]) == text


def test_published_ports_are_said_in_the_order_of_their_numbers() -> None:
    four, six = ({"HostIp": address, "HostPort": "8080"} for address in ("0.0.0.0", "::"))
    low: Any = {"HostIp": "0.0.0.0", "HostPort": "999"}

    assert public_lines({"1000/tcp": [four], "81/tcp": None, "80/tcp": [six, four, low]}) == [
        "80/tcp -> 0.0.0.0:999",
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
        "1000/tcp -> 0.0.0.0:8080",
    ]
    assert addresses([six, four, low]) == ["0.0.0.0:999", "0.0.0.0:8080", "[::]:8080"]
