"""A container's process: its root file system, its bundle, its monitor, and what is left of it.

The only module of the daemon that drives `runtime/`. Folders of a container:

    data_root/containers/<id>/   the writable layer, hosts, hostname, resolv.conf, ctr.log
    exec_root/c/<id>/            config.json, rootfs (the mounted overlay), conmon's files
"""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path

from netd import files
from netd.bundles import bundle_spec, exec_spec
from netd.config import DaemonConfig
from netd.errors import (
    ConflictError,
    InternalError,
    InvalidError,
    NetdError,
    NotImplementedByDriverError,
    UnavailableError,
)
from netd.images import Images
from netd.model import Address, Container, Exec, LogLine, LogStream
from netd.runnable import check_settings, obstacle
from netd.store import Store
from netd.streams import Stream
from runtime import bundle, cgroups
from runtime.errors import BundleError, NotRunningError, OciError, RuntimeFault
from runtime.execs import ExecSession
from runtime.exits import Exit
from runtime.features import HostFeatures, with_devices
from runtime.logs import read_log
from runtime.monitor import Monitor, read_config, write_config
from runtime.oci import OciRuntime
from runtime.resources import discarded
from runtime.snapshots import Snapshots
from runtime.users import ResolvedUser, resolve

log = logging.getLogger(__name__)

CGROUP_PARENT = "/netd"
LOG = "ctr.log"
ROOT = ResolvedUser(0, 0, (), "/root")


class StartError(InvalidError):
    """A process that cannot be run; `exit_code` is what Docker's clients exit with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Runner:
    """Makes, starts and takes down the processes of containers."""

    def __init__(
        self, config: DaemonConfig, features: HostFeatures, store: Store, images: Images
    ) -> None:
        self._data = config.data_root / "containers"
        self._run = config.exec_root / "c"
        self._features, self._store, self._images = features, store, images
        self._snapshots = Snapshots(self._data)
        self._exits = config.exec_root / "exits"
        self._runtime = features.runtime(config.default_runtime)
        self._oci = OciRuntime(
            self._runtime.path or Path(self._runtime.name), config.exec_root / "runtime"
        )
        if problem := obstacle(features, self._runtime):
            log.warning("%s", problem)
        self._monitor = Monitor(features.conmon.path or Path("conmon"), self._oci, self._exits)

    def folder(self, id_: str) -> Path:
        """Return where a container's lasting files are."""
        return self._data / id_

    def rootfs(self, id_: str) -> Path:
        """Return where a running container's file system is mounted."""
        return self._run / id_ / "rootfs"

    def check(self, container: Container) -> Sequence[str]:
        """Raise for settings that no start could honour; return warnings about lesser ones."""
        self._check_tools(container)
        check_settings(container, self._features)
        spec = bundle_spec(container, ROOT, Path("/"), Path("/"), Path("/"))
        with _translated():
            bundle.config(spec, self._features)
        return list(discarded(spec.limits, self._features))

    def make_folder(self, container: Container) -> None:
        """Make a container's folder with its empty writable layer; repeatable."""
        folder = self.folder(container.id)
        folder.mkdir(mode=0o710, exist_ok=True)
        with _translated():
            self._snapshots.create(container.id)

    async def create(self, container: Container, network: Path | None) -> int:
        """Make the process, which waits to be started; return its id.

        `network` is the namespace it joins; None: the host's. Undone by `cleanup`.
        """
        self._check_tools(container)
        place = self._run / container.id
        with _translated():
            await asyncio.to_thread(self._prepare, container, network)
            return await self._monitor.create(
                container.id,
                container.name,
                place,
                self.log_path(container),
                tty=container.config.tty,
                stdin=container.config.open_stdin,
                stdin_once=container.config.stdin_once,
            )

    async def start(self, container: Container) -> None:
        """Let a created process go."""
        with _translated():
            await self._oci.start(container.id)

    async def attach(self, container: Container) -> Stream:
        """Return the streams of a created or running container."""
        with _translated():
            return await self._monitor.attach(
                self._run / container.id, stdin=container.config.open_stdin
            )

    async def resize(self, container: Container, rows: int, columns: int) -> None:
        """Set the size of a container's terminal, in characters."""
        with _translated():
            await self._monitor.resize(self._run / container.id, rows, columns)

    async def kill(self, container: Container, number: int) -> None:
        """Send a signal to the first process; one that is gone needs none."""
        try:
            with _translated():
                await self._monitor.kill(container.id, self._run / container.id, number)
        except ConflictError:
            log.debug("%s ended before signal %d", container.name, number)

    async def exit(self, container: Container) -> Exit:
        """Wait until the container has ended, whoever started it."""
        return await self._monitor.exited(container.id, self._run / container.id)

    async def alive(self, container: Container) -> bool:
        """Whether a container that is said to run has its process still."""
        try:
            cgroup = Path(f"/proc/{container.state.pid}/cgroup").read_text()
        except OSError:
            return False
        return container.id in cgroup

    async def exec(
        self, container: Container, exec_: Exec, *, attach: bool, console: tuple[int, int] | None
    ) -> "ExecProcess":
        """Start a further process in a running container."""
        place = self._run / container.id
        request = exec_.request
        with _translated():
            config = read_config(place)
            user = await asyncio.to_thread(
                resolve, self.rootfs(container.id), request.user or container.config.user
            )
            spec = exec_spec(request, container, user, console)
            session = await self._monitor.exec(
                container.id,
                exec_.id,
                place,
                bundle.exec_process(config, spec, self._features),
                tty=request.tty,
                stdin=request.attach_stdin and attach,
                attach=attach,
            )
        return ExecProcess(session, self._monitor)

    def write_files(self, container: Container) -> None:
        """Write hosts, hostname and resolv.conf as they are to be now; repeatable."""
        with _translated():
            files.write(container, self.folder(container.id), self._host_gateways())

    async def logs(
        self,
        container: Container,
        ended: "asyncio.Future[int] | None",
        *,
        streams: frozenset[LogStream],
        tail: int | None,
        since_ns: int,
        until_ns: int,
    ) -> AsyncGenerator[LogLine, None]:
        """Iterate over what the container wrote; with `ended` also what comes until then."""
        path = self.log_path(container)
        if path is None:
            raise NotImplementedByDriverError("configured logging driver does not support reading")
        over = asyncio.Event()
        if ended is not None:
            ended.add_done_callback(lambda _: over.set())
        lines = read_log(
            path,
            streams=streams,
            tail=tail,
            since_ns=since_ns,
            until_ns=until_ns,
            ended=over if ended is not None else None,
        )
        try:
            async with aclosing(lines):
                async for line in lines:
                    yield LogLine(line.stream, line.time_ns, line.text)
        finally:
            if ended is not None:
                ended.cancel()

    def log_path(self, container: Container) -> Path | None:
        """Return where a container's output is kept; absent: it is not."""
        if container.host.log_driver == "none":
            return None
        return self.folder(container.id) / LOG

    def size(self, container: Container) -> int:
        """Return how many octets the writable layer takes."""
        return self._snapshots.size(container.id)

    async def cleanup(self, id_: str) -> None:
        """Kill and forget whatever there is of a container's processes and mounts; repeatable."""
        place = self._run / id_
        if not place.exists():
            return
        with _translated():
            await self._oci.delete(id_, force=True)
            await cgroups.clear(cgroups.folders(CGROUP_PARENT, id_, cgroups.mounted()))
            await asyncio.to_thread(self._snapshots.unmount, place / "rootfs")
            self._monitor.forget(id_, place)
        await asyncio.to_thread(shutil.rmtree, place)

    def remove_folder(self, id_: str) -> None:
        """Delete a container's lasting files; repeatable."""
        folder = self.folder(id_)
        with _translated():
            self._snapshots.remove(id_)
        if folder.exists():
            shutil.rmtree(folder)

    async def sweep(self, alive: Collection[str], known: Collection[str]) -> None:
        """Take down processes and mounts of containers that do not run, files of unknown ones."""
        for place in self._run.glob("*"):
            if place.name not in alive:
                log.info("taking down what is left of container %s", place.name[:12])
                try:
                    await self.cleanup(place.name)
                except (NetdError, OSError) as error:
                    log.error("%s is left: %s", place, error)  # noqa: TRY400
        for folder in self._data.glob("*"):
            if folder.name not in known:
                log.info("deleting the files of container %s, which is not known", folder.name[:12])
                try:
                    await asyncio.to_thread(self.remove_folder, folder.name)
                except (NetdError, OSError) as error:
                    log.error("%s is left: %s", folder, error)  # noqa: TRY400

    async def close(self) -> None:
        """Let go of all streams; with no container left, of the empty parent cgroups too."""
        await self._monitor.close()
        parents = [tree.path / CGROUP_PARENT.strip("/") for tree in cgroups.mounted()]
        for parent in parents:
            try:
                parent.rmdir()
            except OSError:
                continue  # other containers, or another daemon's, are in it; or it is not there

    def _check_tools(self, container: Container) -> None:
        wanted = container.host.runtime
        if wanted and self._features.runtime(wanted).path != self._oci.path:
            raise InvalidError(
                f"unknown or invalid runtime name: {wanted}; this daemon runs "
                f"{self._runtime.name or 'none'}"
            )
        if problem := obstacle(self._features, self._runtime):
            raise UnavailableError(problem)

    def _prepare(self, container: Container, network: Path | None) -> None:
        place, rootfs = self._run / container.id, self.rootfs(container.id)
        place.mkdir(mode=0o700, exist_ok=True)
        self.make_folder(container)
        self.write_files(container)
        for mount in container.host.mounts:
            # As Docker does for `-v`: a source that is not there becomes a folder.
            if mount.kind == "bind" and not os.path.lexists(mount.source):
                Path(mount.source).mkdir(parents=True)
        self._snapshots.mount(container.id, self._images.layers(container), rootfs)
        user = resolve(rootfs, container.config.user, container.host.group_add)
        spec = bundle_spec(container, user, rootfs, self.folder(container.id), network)
        write_config(place, bundle.config(spec, with_devices(self._features)))

    def _host_gateways(self) -> Sequence[Address]:
        default = self._store.networks.named("bridge")
        subnets = default.subnets if default else ()
        return [subnet.gateway for subnet in subnets if subnet.gateway]


class ExecProcess:
    """A running further process."""

    def __init__(self, session: ExecSession, monitor: Monitor) -> None:
        self._session, self._monitor = session, monitor

    @property
    def pid(self) -> int:
        """Its process id on the host."""
        return self._session.pid

    @property
    def stream(self) -> Stream | None:
        """Its standard streams; absent: detached."""
        return self._session.stream

    async def exit(self) -> int:
        """Wait for its exit code."""
        return await self._session.exited()

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        with _translated():
            await self._monitor.resize(self._session.folder, rows, columns)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the runtime's errors into the daemon's."""
    try:
        yield
    except NetdError:
        raise
    except NotRunningError as error:
        raise ConflictError(str(error)) from error
    except OciError as error:
        if error.exit_code in {126, 127}:
            raise StartError(str(error), error.exit_code) from error
        raise InternalError(str(error)) from error
    except BundleError as error:
        raise InvalidError(str(error)) from error
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise InternalError(f"{what}{error.strerror or error}") from error
    except RuntimeFault as error:
        raise InternalError(str(error)) from error
