"""The command line against a real daemon: what a user's shell sees."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from labs.host import NETD, Host

pytestmark = pytest.mark.kernel

DEADLINE_S = 30


@pytest.fixture
def netd(host: Host) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [NETD, "-H", f"unix://{host.socket}", *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    return run


Netd = Callable[..., subprocess.CompletedProcess[str]]


class Screen:
    """The command line on a terminal."""

    def __init__(self, host: Host, *words: str) -> None:
        self.terminal, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [NETD, "-H", f"unix://{host.socket}", *words],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)

    def type(self, text: bytes) -> None:
        os.write(self.terminal, text)

    def until(self, text: bytes) -> None:
        shown, deadline = b"", time.monotonic() + DEADLINE_S
        while text not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)


@pytest.fixture
def screen(host: Host) -> Iterator[Callable[..., Screen]]:
    opened: list[Screen] = []

    def open_screen(*words: str) -> Screen:
        opened.append(Screen(host, *words))
        return opened[-1]

    yield open_screen
    for one in opened:
        one.close()


def test_run_passes_output_errors_and_the_status(netd: Netd) -> None:
    done = netd("run", "--rm", "demo", "sh", "-c", "echo out; echo err >&2; exit 7")

    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert netd("ps", "-aq").stdout == ""


def test_run_passes_input_until_its_end(netd: Netd) -> None:
    text = "line\n" * 50_000

    assert netd("run", "-i", "--rm", "demo", "cat", stdin=text).stdout == text


@pytest.mark.parametrize(
    ("words", "status"), [(["demo", "nosuch"], 127), (["demo", "/etc"], 126), (["nosuch"], 125)]
)
def test_what_cannot_run_has_dockers_status_and_leaves_nothing(
    netd: Netd, words: list[str], status: int
) -> None:
    done = netd("run", "--rm", *words)

    assert done.returncode == status
    assert done.stderr.startswith("netd: ")
    assert netd("ps", "-aq").stdout == ""


def test_exec_passes_input_and_status(netd: Netd) -> None:
    netd("run", "-d", "--name", "box", "demo", "sleep", "1000")

    assert netd("exec", "-i", "box", "sh", "-c", "cat; exit 5", stdin="x\n").stdout == "x\n"
    assert netd("exec", "box", "sh", "-c", "exit 5").returncode == 5


def test_a_detached_terminal_can_be_attached_again(
    netd: Netd, screen: Callable[..., Screen]
) -> None:
    first = screen("run", "-it", "--name", "shell", "demo", "sh")
    first.until(b"# ")
    first.type(b"\x10\x11")
    assert first.process.wait(DEADLINE_S) == 0

    again = screen("attach", "shell")
    again.type(b"\n")
    again.until(b"# ")
    again.type(b"exit 9\n")

    assert again.process.wait(DEADLINE_S) == 9
    assert netd("wait", "shell").stdout == "9\n"


def test_logs_and_start_show_what_was_written(netd: Netd) -> None:
    netd("run", "--name", "job", "demo", "sh", "-c", "echo a; echo b >&2; echo c")

    first = netd("logs", "job")
    again = netd("start", "-a", "job")

    assert (first.stdout, first.stderr) == ("a\nc\n", "b\n")
    assert (again.stdout, again.stderr) == ("a\nc\n", "b\n")
    last = netd("logs", "-n", "1", "job")  # of two pipes read in any order
    assert len(last.stdout + last.stderr) == len("c\n")


def test_the_welcome_and_the_doctor_know_the_daemon(netd: Netd) -> None:
    netd("network", "create", "front")
    netd("run", "-d", "--name", "web", "--network", "front", "demo", "sleep", "1000")

    assert "Now: 1 container running, 4 networks\n" in (said := netd().stdout)
    assert "  front: web\n" in said
    assert netd("doctor").returncode == 0
