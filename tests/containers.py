"""Containers for tests: a temporary folder as host, conmon and the OCI runtime for real."""

import asyncio
import functools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runtime import cgroups
from runtime.bundle import config
from runtime.conmon import read_pid
from runtime.exits import Exit
from runtime.features import HostFeatures
from runtime.monitor import Monitor, write_config
from runtime.oci import OciRuntime
from runtime.spec import BundleSpec
from runtime.streams import AttachStream

DEADLINE_S = 20


async def until(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        await asyncio.sleep(0.005)


async def everything(stream: AttachStream) -> tuple[bytes, bytes]:
    """Read a stream to its end: output and errors."""
    pieces: dict[int, list[bytes]] = {1: [], 2: []}
    while packet := await asyncio.wait_for(stream.read(), DEADLINE_S):
        pieces[packet[0]].append(packet[1])
    return b"".join(pieces[1]), b"".join(pieces[2])


@dataclass
class Container:
    """One container of a test."""

    host: "Host"
    id: str
    bundle: Path
    log: Path
    pid: int = 0

    async def start(self) -> None:
        await self.host.oci.start(self.id)

    async def ended(self) -> Exit:
        return await asyncio.wait_for(self.host.monitor.exited(self.id, self.bundle), DEADLINE_S)

    async def attach(self, *, stdin: bool = True) -> AttachStream:
        stream = await self.host.monitor.attach(self.bundle, stdin=stdin)
        self.host.streams.append(stream)
        return stream

    @property
    def conmon_pid(self) -> int:
        return read_pid(self.bundle / "conmon.pid")

    @property
    def cgroups(self) -> tuple[Path, ...]:
        return cgroups.folders(self.host.cgroup_parent, self.id, cgroups.mounted())

    def logged(self) -> str:
        return self.log.read_text() if self.log.exists() else ""


@dataclass
class Host:
    """Folders, programs, and the containers made in them."""

    folder: Path
    rootfs: Path
    features: HostFeatures
    oci: OciRuntime
    monitor: Monitor
    cgroup_parent: str
    containers: list[Container] = field(default_factory=list)
    streams: list[AttachStream] = field(default_factory=list)

    @property
    def exits(self) -> Path:
        return self.folder / "exits"

    def another_monitor(self) -> Monitor:
        """What a daemon that was started again has."""
        assert self.features.conmon.path
        return Monitor(self.features.conmon.path, self.oci, self.exits)

    def prepared(self, *args: str, **settings: Any) -> Container:
        id_ = secrets.token_hex(32)
        bundle = self.folder / "c" / id_
        spec = BundleSpec(
            id=id_, rootfs=self.rootfs, args=args, cgroup_parent=self.cgroup_parent, hostname="box"
        )
        write_config(bundle, config(replace(spec, **settings), self.features))
        container = Container(self, id_, bundle, self.folder / f"{id_}.log")
        self.containers.append(container)
        return container

    async def create(
        self, *args: str, stdin: bool = False, stdin_once: bool = True, **settings: Any
    ) -> Container:
        container = self.prepared(*args, **settings)
        container.pid = await self.monitor.create(
            container.id, "test", container.bundle, container.log,
            tty=settings.get("terminal", False), stdin=stdin, stdin_once=stdin_once,
        )  # fmt: skip
        return container

    async def run(self, *args: str, **settings: Any) -> Container:
        container = await self.create(*args, **settings)
        await container.start()
        return container

    async def clear(self) -> None:
        for stream in self.streams:
            stream.close()
        for container in self.containers:
            await self.oci.delete(container.id, force=True)
            await cgroups.clear(container.cgroups)
            await until(functools.partial(gone, container.conmon_pid))
        await self.monitor.close()


def gone(pid: int) -> bool:
    """Whether this conmon has ended."""
    try:
        return b"conmon" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def dead(pid: int) -> bool:
    """Whether this process has ended; whoever is its parent now may not have noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
