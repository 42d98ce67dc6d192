"""A host for tests: a network namespace of its own, and one thread that lives in it.

The machine's own network, firewall and settings are never touched. The thread is the same for all
tests, as the daemon's is: pyroute2 keeps a descriptor for every thread it was used from.
"""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from drivers.bridge import BridgeDriver
from drivers.link import Links
from drivers.sandbox import create_sandbox, entered, remove_sandbox
from tests.kernel.world import World, opened_world

T = TypeVar("T")


class Host:
    """A pretended host; `run` calls a function where the daemon's network thread would."""

    def __init__(self, path: Path, thread: ThreadPoolExecutor) -> None:
        self.path = path
        self._thread = thread
        self._sandboxes: list[Path] = []
        self.links: Links = self.run(Links)
        self.bridge = BridgeDriver(self.links)

    def run(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        return self._thread.submit(function, *args, **options).result()

    def sandbox(self, name: str) -> Path:
        """Make a sandbox that is removed after the test."""
        path = self.path.parent / name
        self._sandboxes.append(path)
        self.run(create_sandbox, path)
        return path

    def command(self, *words: str, inside: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the host's namespace, or in a sandbox's."""
        return subprocess.run(
            ["nsenter", f"--net={inside or self.path}", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def output(self, *words: str, inside: Path | None = None) -> str:
        done = self.command(*words, inside=inside)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reaches(self, source: Path, address: object) -> bool:
        """Whether a ping is answered, in a few seconds."""
        return self._pings(source, address, deadline_s=5)

    def cut_off(self, source: Path, address: object) -> bool:
        """Whether pings are not answered in the half second that is plenty for them."""
        return not self._pings(source, address, deadline_s=0.5)

    def _pings(self, source: Path, address: object, deadline_s: float) -> bool:
        words = (
            "timeout",
            str(deadline_s),
            "busybox",
            "ping",
            "-c",
            "50",
            "-i",
            "0.05",
            str(address),
        )
        with subprocess.Popen(
            ["nsenter", f"--net={source}", *words], stdout=subprocess.PIPE, text=True
        ) as ping:
            assert ping.stdout
            answered = any(" bytes from " in line for line in ping.stdout)
            ping.terminate()  # timeout(1) passes it on
        return answered

    def setting(self, key: str, value: str | None = None, inside: Path | None = None) -> str:
        """Read or write a file below /proc/sys/net."""
        path = Path("/proc/sys/net", key)

        def act() -> str:
            with entered(inside or self.path):
                if value is not None:
                    path.write_text(value)
                return path.read_text().strip()

        return self.run(act)

    def inside(self, path: Path, function: Callable[..., T], *args: Any) -> T:
        """Call a function inside a sandbox, from a thread of its own, so that it may block."""
        with ThreadPoolExecutor(1) as thread:

            def act() -> T:
                with entered(path):
                    return function(*args)

            return thread.submit(act).result(30)

    def close(self) -> None:
        self.run(self.links.close)
        for path in self._sandboxes:
            remove_sandbox(path)


@pytest.fixture(scope="session")
def network_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, "network") as thread:
        yield thread


@pytest.fixture
def host(tmp_path: Path, network_thread: ThreadPoolExecutor) -> Iterator[Host]:
    with _opened_host(tmp_path / "netns" / "host", network_thread) as host:
        yield host


@pytest.fixture(
    scope="module",
    params=[(backend, bridged) for backend in ("iptables", "nftables") for bridged in (0, 1)],
    ids=lambda param: f"{param[0]}-{'bridge-nf' if param[1] else 'plain'}",
)
def world(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    network_thread: ThreadPoolExecutor,
) -> Iterator[World]:
    """A world for packets: with either firewall, and bridged packets shown to it or not."""
    backend, bridged = request.param
    path = tmp_path_factory.mktemp("world")
    with ExitStack() as stack:
        host = stack.enter_context(_opened_host(path / "netns" / "host", network_thread))
        try:
            host.setting("bridge/bridge-nf-call-iptables")
        except FileNotFoundError:
            if bridged:
                pytest.skip("the kernel has no br_netfilter")
        world = World(host, backend, bridged=bool(bridged))
        yield stack.enter_context(opened_world(world, path / "ports.sock"))


@contextmanager
def _opened_host(path: Path, network_thread: ThreadPoolExecutor) -> Iterator[Host]:
    create_sandbox(path)
    with ExitStack() as stack:
        stack.callback(remove_sandbox, path)
        # The thread stays inside for the whole test, as the daemon's does in its own.
        inside = network_thread.submit(_enter, path).result()
        stack.callback(lambda: network_thread.submit(inside.close).result())
        host = Host(path, network_thread)
        stack.callback(host.close)
        yield host


def _enter(path: Path) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(entered(path))
    return stack
