"""Docker's ExposedPorts and PortBindings: the ports that a container is asked for with.

Docker has an entry for every single port, the model has runs of ports that shift together: what a
client sends as 10,000 entries, for `-p 20000-29999:20000-29999`, is one value here.

    {"80/tcp": [{"HostIp": "", "HostPort": "8080"}],         PortRequest(80, count=2,
     "81/tcp": [{"HostIp": "", "HostPort": "8081"}]}   ->                host_port=8080)
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from msgspec import Struct, field

from netd.api.docker.shapes import Json
from netd.errors import InvalidError
from netd.model import Address, PortRequest, Transport

_NUMBERS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_TRANSPORTS: Mapping[str, Transport] = {"": "tcp", "tcp": "tcp", "udp": "udp", "sctp": "sctp"}
_MOST = 65535 * 3  # every port of every protocol; ranges could name far more in a few octets
_MISTAKES_TOLD = 6  # a range has as many as it has ports


class PortBinding(Struct):
    """An entry of `PortBindings`: where on the host a port is published."""

    host_ip: str | None = field(name="HostIp", default=None)
    host_port: str | None = field(name="HostPort", default=None)


Bindings = dict[str, list[PortBinding | None] | None] | None


class PublishBody(Struct, rename="pascal"):
    """What netd's own requests about the ports of a container hold."""

    port_bindings: Bindings = None


class PortSpan(NamedTuple):
    """Neighbouring ports of one protocol."""

    protocol: Transport
    first: int
    last: int

    def names(self) -> Iterator[str]:
        """Iterate over its ports as Docker names them: "80/tcp"."""
        for port in range(self.first, self.last + 1):
            yield f"{port}/{self.protocol}"


class AskedPorts(NamedTuple):
    """The ports that a container is asked for with."""

    exposed: tuple[str, ...]  # "80/tcp", each port once; those to publish are among them
    requests: tuple[PortRequest, ...]


def asked_ports(exposed: Iterable[str], bindings: Bindings) -> AskedPorts:
    """Return what ExposedPorts and PortBindings ask for; raises InvalidError with all mistakes."""
    reading, bindings = _Reading(), bindings or {}
    spans = [reading.exposed(key) for key in exposed if key not in bindings]
    asked: list[_Asked] = []
    for key, given in bindings.items():
        span = reading.span(key)
        # None at all is as good as one that leaves everything open.
        asked += [reading.binding(key, span, each or PortBinding()) for each in given or [None]]
    reading.check()
    published = [each.span for each in asked]
    for verb, named in (("expose", spans), ("publish", published)):
        if (count := sum(each.last - each.first + 1 for each in named)) > _MOST:
            raise InvalidError(f"too many ports to {verb}: {count}, at most {_MOST}")
    names = dict.fromkeys(
        name for span in dict.fromkeys([*spans, *published]) for name in span.names()
    )
    return AskedPorts(tuple(names), _requests(asked))


def port_span(text: str) -> PortSpan | None:
    """Return the ports that `80`, `80/udp` or `80-90/tcp` means; absent: it means none."""
    ports, _, word = text.partition("/")
    protocol, numbers = _TRANSPORTS.get(word.lower()), _numbers(ports)
    if protocol is None or numbers is None:
        return None
    return PortSpan(protocol, *numbers)


def bindings_answer(requests: Sequence[PortRequest]) -> Json:
    """Return PortBindings: what was asked for, each port by itself."""
    answer: dict[str, list[Json]] = {}
    for each in requests:
        address = "" if each.host_address is None else str(each.host_address)
        for step in range(each.count):
            binding: Json = {"HostIp": address, "HostPort": _host_text(each, step)}
            answer.setdefault(f"{each.port + step}/{each.protocol}", []).append(binding)
    return {**answer}


class _Asked(NamedTuple):
    """One binding, read."""

    span: PortSpan
    address: Address | None
    first: int  # of the host; zero: whichever is free
    last: int


class _Reading:
    """Reads the words of one request and keeps its mistakes."""

    def __init__(self) -> None:
        self._problems: list[str] = []
        self._addresses: dict[str, Address | None] = {"": None}

    def check(self) -> None:
        """Raise InvalidError with what was wrong so far."""
        if not self._problems:
            return
        left = len(self._problems) - _MISTAKES_TOLD
        more = [f"and {left} more"] if left > 0 else []
        raise InvalidError("; ".join([*self._problems[:_MISTAKES_TOLD], *more]))

    def exposed(self, key: str) -> PortSpan:
        """Return the ports of a key of ExposedPorts."""
        return port_span(key) or self._wrong(f"invalid exposed port: {key!r}")

    def span(self, key: str) -> PortSpan:
        """Return the ports of a key of PortBindings."""
        return port_span(key) or self._wrong(f"invalid port specification: {_quoted(key)}")

    def binding(self, key: str, span: PortSpan, given: PortBinding) -> _Asked:
        """Return one of the bindings of a key, whose ports are given."""
        text = given.host_ip or ""
        if text not in self._addresses:
            self._addresses[text] = _address(text)
        address = self._addresses[text]
        if text and address is None:
            self._wrong(f"invalid IP address: {text} (of {key})")
        return _Asked(span, address, *self._host_ports(key, span, given.host_port or ""))

    def _host_ports(self, key: str, span: PortSpan, text: str) -> tuple[int, int]:
        if text in {"", "0"}:
            return 0, 0
        numbers = _numbers(text)
        if numbers is None:
            self._wrong(f"invalid port specification: {_quoted(text)} (of {key})")
        elif span.last - span.first not in {0, numbers[1] - numbers[0]}:
            self._wrong(
                "invalid ranges specified for container and host Ports: "
                f"{span.first}-{span.last} and {text}"
            )
        return numbers or (0, 0)

    def _wrong(self, problem: str) -> PortSpan:
        """Note a mistake; return what stands in for the ports that are not to be had."""
        self._problems.append(problem)
        return PortSpan("tcp", 1, 1)


def _numbers(text: str) -> tuple[int, int] | None:
    match = _NUMBERS.fullmatch(text)
    if match:
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if 0 < first <= last < 65536:
            return first, last
    return None


def _address(text: str) -> Address | None:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    if getattr(address, "scope_id", None):
        return None
    mapped: IPv4Address | None = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _requests(asked: Iterable[_Asked]) -> tuple[PortRequest, ...]:
    """Return all that was asked for, once, neighbours that shift together as one."""
    runs: dict[tuple[Transport, Address | None, int], list[tuple[int, int]]] = {}
    choices: dict[PortRequest, None] = {}
    for (protocol, first, last), address, host_first, host_last in asked:
        if host_first and host_last - host_first == last - first:
            runs.setdefault((protocol, address, host_first - first), []).append((first, last))
            continue
        for port in range(first, last + 1):
            choices[PortRequest(port, protocol, 1, address, host_first, host_last)] = None
    exact = [
        PortRequest(first, protocol, last - first + 1, address, first + shift)
        for (protocol, address, shift), spans in runs.items()
        for first, last in _joined(spans)
    ]
    return tuple(sorted([*exact, *choices], key=lambda each: (each.protocol, each.port)))


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Iterate over spans without those that overlap or touch."""
    start, end = 0, -1
    for first, last in sorted(spans):
        if first > end + 1:
            if start:
                yield start, end
            start = first
        end = max(end, last)
    yield start, end


def _host_text(request: PortRequest, step: int) -> str:
    if not request.host_port:
        return ""
    if request.host_last:
        return f"{request.host_port}-{request.host_last}"
    return str(request.host_port + step)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
