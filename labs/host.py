"""A host of a lab: a network namespace with a netd daemon of its own.

The namespace has no name: it is held by one sleeping process. All files are under one temporary
folder. So when the containers are removed and the processes are ended, nothing is left; `remains`
looks whether that is so.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from labs.namespace import Namespace, output

ROOT = Path(__file__).parent.parent
NETD = ROOT / ".venv/bin/netd"
DEMO_IMAGE = ROOT / ".cache/demo.tar"
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 20


class LabError(Exception):
    """A step of the lab did not do what it shows."""


class Host:
    """A network namespace with a daemon, its images loaded; a context manager."""

    def __init__(self, beside: "Host | None" = None, firewall: str = "") -> None:
        """Make the folder; with `beside` the daemon is a second one in that host's namespace.

        `firewall` is the backend of every daemon that is started; empty: the daemon chooses.
        """
        self._beside, self.firewall = beside, firewall
        self.folder = Path(tempfile.mkdtemp(prefix="netd-lab-"))
        self.socket = self.folder / "run/netd.sock"
        self.daemon: subprocess.Popen[bytes] | None = None
        self._namespace: Namespace | None = None

    def __enter__(self) -> Self:
        """Make the namespace, start the daemon and load the demo image."""
        try:
            if self._beside is None:
                self.renew_namespace()
            self.start_daemon()
            self.netd("load", "-q", "-i", str(DEMO_IMAGE))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove containers and networks, stop the daemon, delete the folder."""
        self.close()

    def netd(self, *words: str, check: bool = True) -> str:
        """Run the command line against this host's daemon; return what it printed."""
        done = subprocess.run(
            [NETD, "-H", f"unix://{self.socket}", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if check and done.returncode:
            raise LabError(f"netd {' '.join(words)} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def inside(self, *words: str) -> str:
        """Run a program of the machine in this host's network namespace; return its output."""
        return output((*self.nsenter, *words))

    @property
    def netns(self) -> Path:
        """Where this host's network namespace can be opened."""
        if self._beside is not None:
            return self._beside.netns
        assert self._namespace is not None
        return self._namespace.path

    @property
    def nsenter(self) -> Sequence[str]:
        """The words that run a program in this host's network namespace."""
        return ("nsenter", f"--net={self.netns}")

    def daemon_words(self) -> Sequence[str]:
        """Return the words that run this host's daemon."""
        return (*self.nsenter, str(NETD), "daemon", *self._flags())

    def renew_namespace(self) -> None:
        """Make the host's network namespace, in the place of one it had: as after a boot."""
        self._end_namespace()
        self._namespace = Namespace()

    def start_daemon(self, *flags: str) -> None:
        """Start the daemon and wait until it answers; with further flags."""
        log = self.folder / "daemon.log"
        with log.open("ab") as output:
            self.daemon = subprocess.Popen(
                [*self.daemon_words(), *flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"the daemon did not start:\n{log.read_text()}")
            time.sleep(0.02)

    def stop_daemon(self, number: int = signal.SIGTERM) -> int:
        """End the daemon by a signal and wait for that; return its exit status. Repeatable."""
        daemon, self.daemon = self.daemon, None
        if daemon is None:
            return 0
        daemon.send_signal(number)
        try:
            return daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            return daemon.wait()

    def inspect(self, *reference: str) -> dict[str, object]:
        """Return what `netd inspect` says of one thing."""
        found: list[dict[str, object]] = json.loads(self.netd("inspect", *reference))
        return found[0]

    def close(self) -> None:
        """Take everything down; an interrupt meanwhile does not cut it short. Repeatable."""
        ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
        try:
            self._take_down()
        finally:
            for number, handler in zip(ignored, before, strict=True):
                signal.signal(number, handler)

    def remains(self) -> list[str]:
        """Return what is left of this host in mounts, processes and files: nothing, once closed."""
        text = str(self.folder)
        found = [f"mount {line}" for line in _lines("/proc/self/mountinfo") if text in line]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes()
            except OSError:
                continue  # it ended while we looked
            if text.encode() in words and path.parent.name != str(os.getpid()):
                found.append(f"process {path.parent.name}: {words.decode().replace(chr(0), ' ')}")
        return found + ([f"folder {self.folder}"] if self.folder.exists() else [])

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self.socket))
            except OSError:
                return False
        return True

    def _end_namespace(self) -> None:
        namespace, self._namespace = self._namespace, None
        if namespace is not None:
            namespace.close()

    def _flags(self) -> Sequence[str]:
        return (
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/run",
            f"--host=unix://{self.socket}",
            f"--config-file={os.devnull}",
            *((f"--firewall-backend={self.firewall}",) if self.firewall else ()),
        )

    def _take_down(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None and self._answers():
            ids = self.netd("ps", "-aq", check=False).split()
            if ids:
                self.netd("rm", "-f", *ids, check=False)
            self.netd("network", "prune", "-f", check=False)
        self.stop_daemon()
        self._end_namespace()
        if self.folder.exists() and not self._mounts():
            shutil.rmtree(self.folder)
        for what in self.remains():
            print(f"left behind: {what}", file=sys.stderr)

    def _mounts(self) -> list[str]:
        return [line for line in _lines("/proc/self/mountinfo") if str(self.folder) in line]


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
