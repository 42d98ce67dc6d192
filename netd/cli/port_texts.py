"""Ports in words, as docker's commands say them (pure)."""

import re
from collections.abc import Iterable, Sequence

from netd.cli.shapes import Port, PublicPort, PublicPorts


def ports_text(ports: Sequence[Port]) -> str:
    """Say a list's ports in one cell: `90-91/tcp, 0.0.0.0:8000-8002->80-82/tcp`.

    The order is docker's: runs of the same number inside and outside, then the others. Of these
    docker makes no runs.
    """
    same, shifted = _Runs(), _Runs()
    for port in sorted(ports, key=_order):
        inside, outside = port["PrivatePort"], port.get("PublicPort", 0)
        address, kind = port.get("IP", "") if outside else "", port.get("Type", "tcp")
        shift = outside - inside if address else 0
        (shifted if shift else same).add((address, kind, shift), inside)
    # docker puts a run of the first kind where it ends, one of the second where it begins.
    runs = [*same.ended, *same.open.values(), *shifted.begun]
    return ", ".join(str(run) for run in runs)


def public_lines(ports: PublicPorts) -> list[str]:
    """Say where each published port is reached: `80/tcp -> 0.0.0.0:8080`."""
    return _naturally(
        f"{name} -> {_joined(each)}" for name, bindings in ports.items() for each in bindings or ()
    )


def addresses(bindings: Sequence[PublicPort]) -> list[str]:
    """Say where one port is reached: `0.0.0.0:8080`."""
    return _naturally(_joined(each) for each in bindings)


class _Run:
    """Neighbouring ports inside that lead from neighbouring ones outside."""

    def __init__(self, key: tuple[str, str, int], first: int) -> None:
        self.address, self.kind, self.shift = key
        self.first = self.last = first

    def __str__(self) -> str:
        inside = f"{_span(self.first, self.last)}/{self.kind}"
        if not self.address:
            return inside
        outside = _span(self.first + self.shift, self.last + self.shift)
        return f"{_bracketed(self.address)}:{outside}->{inside}"


class _Runs:
    """Runs that are made of ports in the order of their numbers."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str, int], _Run] = {}
        self.begun: list[_Run] = []
        self.ended: list[_Run] = []

    def add(self, key: tuple[str, str, int], port: int) -> None:
        """Put a port where it belongs."""
        run = self.open.get(key)
        if run is not None and port <= run.last + 1:
            run.last = port
            return
        if run is not None:
            self.ended.append(run)
        self.open[key] = _Run(key, port)
        self.begun.append(self.open[key])


def _order(port: Port) -> tuple[int, str, int, str]:
    return (
        port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port.get("Type", ""),
    )  # fmt: skip


def _naturally(lines: Iterable[str]) -> list[str]:
    """Sort so that numbers are in the order of their values."""
    return sorted(lines, key=lambda line: [
        int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", line)
    ])  # fmt: skip


def _joined(port: PublicPort) -> str:
    return f"{_bracketed(port['HostIp'])}:{port['HostPort']}"


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
