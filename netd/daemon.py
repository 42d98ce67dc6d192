"""The daemon: everything built from its settings, recovered, served, and stopped again.

SIGTERM and SIGINT stop the daemon and nothing else: containers, their monitors and the DNS server
go on, and the next daemon on the same folders finds them.
"""

import asyncio
import fcntl
import hashlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import ipam
from netd import __version__
from netd.addresses import Addresses
from netd.config import DaemonConfig, daemon_config
from netd.containers import Containers
from netd.endpoints import Endpoints
from netd.errors import NetdError, UnavailableError
from netd.events import Events
from netd.execs import Execs
from netd.firewall import HostFirewall
from netd.images import Images
from netd.kernel import Kernel
from netd.lifecycle import Lifecycle
from netd.locks import Locks
from netd.networks import Networks
from netd.ports import PublishedPorts
from netd.publishing import Publishing
from netd.recovery import Recovery
from netd.repair import Repair
from netd.resolver import Resolver
from netd.rules import Rules
from netd.runner import Runner
from netd.sandboxes import Sandboxes
from netd.store import Store
from netd.system import System, system
from runtime.features import HostFeatures, probe
from runtime.images import ImageStore

log = logging.getLogger(__name__)


def run(arguments: Mapping[str, object]) -> int:
    """Run a daemon until it is told to stop; return its exit status."""
    try:
        config = daemon_config(arguments)
        _log_to_stderr(config.log_level)
        asyncio.run(_serve(config))
    except (NetdError, OSError, ExceptionGroup) as error:
        log.debug("the daemon ends", exc_info=error)
        print(f"netd: {error}", file=sys.stderr)  # noqa: T201 - before and after logging
        return 1
    return 0


class Daemon:
    """One daemon's parts, as the API uses them."""

    def __init__(self, config: DaemonConfig, features: HostFeatures) -> None:
        """Build all parts; nothing is touched but the folders and the state."""
        self.config, self.features = config, features
        data, run_ = config.data_root, config.exec_root
        self.store = Store(data / "netd.db")
        self.events = Events()
        self.kernel = Kernel()
        addresses, locks = Addresses(self.store), Locks()
        self.resolver = Resolver(run_ / "dns.sock", run_ / "dns.log", self.store, config.dns)
        self.firewall = HostFirewall(
            self.store, self.kernel, config.firewall_backend, _mark(data), run_
        )
        self._published = PublishedPorts(
            self.store, run_ / "ports.sock", run_ / "ports.log", config.ip
        )
        pools = (*config.address_pools, ipam.unique_local_pool(_host_seed(data)))
        self.networks = Networks(
            self.store,
            self.kernel,
            self.events,
            addresses,
            self.resolver,
            self.firewall,
            pools,
            config.mtu,
        )
        self.images = Images(self.store, self.events, ImageStore(data / "images"), data / "tmp")
        self.sandboxes = Sandboxes(
            run_ / "netns",
            config.mtu,
            self.store,
            self.kernel,
            addresses,
            self.resolver,
            self._published,
            self.firewall,
        )
        self.ports = Publishing(self.store, self.events, locks, self.sandboxes)
        self.rules = Rules(self.store, self.firewall)
        self.runner = Runner(config, features, self.store, self.images)
        self.lifecycle = Lifecycle(self.store, self.events, locks, self.sandboxes, self.runner)
        self.endpoints = Endpoints(
            self.store,
            self.events,
            locks,
            self.networks,
            addresses,
            self.sandboxes,
            self.runner,
        )
        self.containers = Containers(
            store=self.store,
            events=self.events,
            locks=locks,
            images=self.images,
            endpoints=self.endpoints,
            sandboxes=self.sandboxes,
            resolver=self.resolver,
            runner=self.runner,
            lifecycle=self.lifecycle,
        )
        self.execs = Execs(self.store, self.events, self.runner)
        self._recovery = Recovery(self.store, self.sandboxes, self.runner, self.lifecycle)
        self._repair = Repair(
            self.store,
            self.events,
            locks,
            self.kernel,
            self.firewall,
            self.networks,
            self.sandboxes,
        )

    async def start(self) -> None:
        """Open the doors to the kernel, put networks right, adopt or recover containers."""
        await self.kernel.open()
        await self.firewall.open()
        await self.resolver.start(self.sandboxes.resolver_sockets)
        await self._published.start()
        await self.networks.restore()
        await self.firewall.clear_other()
        await self.images.sweep()
        await self._recovery.run()
        await self._repair.start()

    async def stop(self) -> None:
        """Let go of everything; containers go on, and the DNS server while there are any."""
        await self._repair.stop()
        await self.lifecycle.close()
        await self.execs.close()
        await self.runner.close()
        running = any(container.state.running for container in self.store.containers)
        await self.resolver.stop(shutdown=not running)
        await self._published.stop(shutdown=not running)
        await self.firewall.close()
        await self.kernel.close()
        self.store.close()

    def system(self) -> System:
        """Return the facts and counts for `docker info`."""
        return system(
            self.config,
            self.features,
            self.store,
            self.events,
            tuple(self.kernel.drivers),
            self.firewall.backend,
        )


async def _serve(config: DaemonConfig) -> None:
    from netd.api.app import application
    from netd.api.serve import serve

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as undo:
        undo.enter_context(_folders(config))
        features = await asyncio.to_thread(probe, config.default_runtime)
        daemon = Daemon(config, features)
        undo.push_async_callback(daemon.stop)
        await daemon.start()
        runner = await serve(application(daemon), config.host, config.group)
        undo.push_async_callback(runner.close)
        log.info("netd %s listens on %s", __version__, config.host)
        await stopping.wait()
        log.info("stopping; containers go on")


def _folders(config: DaemonConfig) -> ExitStack:
    """Make the daemon's folders and hold them against a second daemon."""
    if os.geteuid() != 0:
        raise UnavailableError("the daemon must be run as root: it makes namespaces and links")
    undo = ExitStack()
    try:
        for root in (config.data_root, config.exec_root):
            root.mkdir(mode=0o711, parents=True, exist_ok=True)
            _hold(root, undo)
        for name in ("containers", "images", "tmp"):
            (config.data_root / name).mkdir(mode=0o700, exist_ok=True)
        for name in ("netns", "c", "exits"):
            (config.exec_root / name).mkdir(mode=0o700, exist_ok=True)
        config.pidfile.parent.mkdir(parents=True, exist_ok=True)
        config.pidfile.write_text(f"{os.getpid()}\n")
        undo.callback(config.pidfile.unlink, missing_ok=True)
    except OSError as error:
        undo.close()
        raise UnavailableError(f"cannot use {error.filename}: {error.strerror}") from error
    except BaseException:
        undo.close()
        raise
    return undo


def _hold(folder: Path, undo: ExitStack) -> None:
    lock = undo.enter_context((folder / "netd.lock").open("a+"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        raise UnavailableError(
            f"another netd daemon (pid {holder}) uses {folder}; stop it, or give this one folders "
            "of its own (--data-root, --exec-root)"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _host_seed(data_root: Path) -> bytes:
    # Other on every host and for every daemon of a host, the same at each start.
    try:
        machine = Path("/etc/machine-id").read_bytes()
    except OSError:
        machine = os.uname().nodename.encode()
    return machine + os.fsencode(data_root)


def _mark(data_root: Path) -> str:
    """Return what tells this daemon's firewall chains from others'; nothing for the host's own."""
    if data_root == DaemonConfig().data_root:
        return ""
    return hashlib.sha256(os.fsencode(data_root)).hexdigest()[:6]


def _log_to_stderr(level: str) -> None:
    names = {"warn": "WARNING", "fatal": "CRITICAL"}
    logging.basicConfig(
        level=names.get(level, level.upper()),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # Their debug lines are each message and each wake-up: nobody finds netd's own among them.
    for chatty in ("pyroute2", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.INFO)
