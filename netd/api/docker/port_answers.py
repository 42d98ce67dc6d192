"""Docker's Ports: where a container can be reached, for inspect, lists and their filters.

What is exposed comes from the container's settings, what is published from its life; so there is
none of either while it does not run.
"""

import re
from collections.abc import Iterator

from netd.api.docker.ports import PortSpan, port_span
from netd.api.docker.shapes import Json
from netd.model import Container, PortMapping

_PLAIN = re.compile(r"[1-9][0-9]{0,4}/(?:tcp|udp|sctp)")


def ports_answer(container: Container) -> dict[str, list[Json] | None]:
    """Return the ports of a container as inspect gives them.

    Null is a port that is exposed only; one that is published without a port of the host, as it is
    where addresses are routed, has an empty one.
    """
    if not container.state.running:
        return {}
    answer: dict[str, list[Json] | None] = dict.fromkeys(_exposed(container))
    for each in container.published:
        address = str(each.host_address)
        for step, name in enumerate(_inside(each).names()):
            host_port = str(each.host_port + step) if each.host_port else ""
            known = answer.get(name)
            if known is None:
                known = answer[name] = []
            known.append({"HostIp": address, "HostPort": host_port})
    return answer


def port_list_answer(container: Container) -> list[Json]:
    """Return the ports of a container as lists give them: one for each address of the host."""
    if not container.state.running:
        return []
    published = {name for each in container.published for name in _inside(each).names()}
    answers: list[Json] = []
    for name in _exposed(container):
        if name not in published:
            port, _, kind = name.partition("/")
            answers.append({"PrivatePort": int(port), "Type": kind})
    for each in container.published:
        address, kind = str(each.host_address), each.protocol
        for step in range(each.count):
            answer: Json = {"IP": address, "PrivatePort": each.port + step}
            if each.host_port:
                answer["PublicPort"] = each.host_port + step
            answer["Type"] = kind
            answers.append(answer)
    return answers


def published_at(container: Container, span: PortSpan) -> bool:
    """Return whether one of these ports of the host leads to the container."""
    return container.state.running and any(
        each.host_port and _meet(span, _outside(each)) for each in container.published
    )


def open_at(container: Container, span: PortSpan) -> bool:
    """Return whether one of these ports of the container is exposed or published."""
    return container.state.running and (
        any(_meet(span, _inside(each)) for each in container.published)
        or any(_meet(span, port_span(name)) for name in _exposed(container))
    )


def _exposed(container: Container) -> Iterator[str]:
    for name in container.config.exposed_ports:
        if _PLAIN.fullmatch(name):
            yield name
        # An image may name anything: a range, a port without its protocol, what is no port.
        elif span := port_span(name):
            yield from span.names()


def _inside(mapping: PortMapping) -> PortSpan:
    return PortSpan(mapping.protocol, mapping.port, mapping.port + mapping.count - 1)


def _outside(mapping: PortMapping) -> PortSpan:
    return PortSpan(mapping.protocol, mapping.host_port, mapping.host_port + mapping.count - 1)


def _meet(one: PortSpan, other: PortSpan | None) -> bool:
    return (
        other is not None
        and one.protocol == other.protocol
        and one.first <= other.last
        and other.first <= one.last
    )
