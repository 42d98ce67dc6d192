"""attach, run and exec as a process of their own: pipes, a terminal, signals."""

import fcntl
import hashlib
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Engine = Any  # conftest.py's: a scripted daemon
Started = Callable[..., subprocess.Popen[bytes]]

DEADLINE_S = 20
RUNNING = {
    "Id": "abc",
    "Name": "/web",
    "Config": {"Tty": False, "OpenStdin": True},
    "State": {"Running": True},
    "HostConfig": {},
}


def running_container(engine: Engine, talk: Callable[[socket.socket], None]) -> threading.Event:
    """Script `run`: create, attach (by talk), wait until the event, start."""
    ended = threading.Event()
    engine.answer("POST /containers/create", {"Id": "abc"}, 201)
    engine.hijack("POST /containers/abc/attach", talk)

    def wait(_request: object, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        ended.wait(DEADLINE_S)
        connection.sendall(b'10\r\n{"StatusCode":3}\r\n0\r\n\r\n')

    engine.talk("POST /containers/abc/wait", wait)
    engine.answer("POST /containers/abc/(start|resize|kill)", status=204)
    return ended


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)


def test_input_ends_in_a_half_close_and_output_still_arrives(
    engine: Engine, started: Started
) -> None:
    received = bytearray()

    def echo_at_the_end(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            received.extend(data)
        connection.sendall(engine.frame(1, b"got all\n"))
        ended.set()

    ended = running_container(engine, echo_at_the_end)

    process = started("run", "-i", "demo", "cat")
    out, err = process.communicate(b"x" * 300_000, timeout=DEADLINE_S)

    assert (out, err, process.returncode) == (b"got all\n", b"", 3)
    assert bytes(received) == b"x" * 300_000


def test_many_octets_both_ways_at_once_do_not_stall(engine: Engine, started: Started) -> None:
    def echo(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(engine.frame(1, data))
        ended.set()

    ended = running_container(engine, echo)
    data = os.urandom(1 << 20) * 32

    process = started("run", "-i", "demo", "cat")
    out, _ = process.communicate(data, timeout=DEADLINE_S)

    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_a_reader_that_went_away_ends_the_command_quietly(engine: Engine, started: Started) -> None:
    def flood(connection: socket.socket) -> None:
        for _ in range(10_000):
            connection.sendall(engine.frame(1, b"line\n" * 100))

    running_container(engine, flood)

    process = started("run", "demo", "yes")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()

    assert process.wait(DEADLINE_S) == 141
    assert process.stderr.read() == b""


def test_a_list_into_a_closed_pipe_is_quiet(engine: Engine, started: Started) -> None:
    engine.answer(
        "GET /networks",
        [
            {"Id": str(n), "Name": "n" * 1000 + str(n), "Created": "2026-11-23T18:54:28Z"}
            for n in range(1000)
        ],
    )

    process = started("network", "ls")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()

    assert process.wait(DEADLINE_S) == 141
    assert process.stderr.read() == b""


def test_an_interrupt_ends_what_only_looks_on_quietly(engine: Engine, started: Started) -> None:
    def events(_request: object, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.recv(1)

    engine.talk("GET /events", events)

    process = started("events")
    wait_for(lambda: engine.requests)
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=DEADLINE_S) == (b"", b"")
    assert process.returncode == 130


def test_signals_reach_the_container_and_its_status_counts(
    engine: Engine, started: Started
) -> None:
    ended = running_container(engine, lambda connection: ended.wait(DEADLINE_S))

    process = started("run", "demo", "sleep", "9")
    wait_for(lambda: "POST /containers/abc/start" in engine.seen())
    time_of_start = len(engine.requests)
    wait_for(lambda: _handles(process.pid, signal.SIGTERM))
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: len(engine.requests) > time_of_start)
    ended.set()

    assert process.wait(DEADLINE_S) == 3
    assert engine.sent("POST /containers/abc/kill").query == {"signal": "TERM"}


def test_a_third_interrupt_lets_go_of_a_container_that_does_not_care(
    engine: Engine, started: Started
) -> None:
    ended = running_container(engine, lambda connection: ended.wait(DEADLINE_S))

    process = started("run", "demo", "sleep", "9")
    wait_for(lambda: _handles(process.pid, signal.SIGTERM))
    for number in range(3):
        process.send_signal(signal.SIGINT)
        wait_for(lambda n=number: n == 2 or engine.seen().count("POST /containers/abc/kill") > n)
    _, err = process.communicate(timeout=DEADLINE_S)
    ended.set()

    assert process.returncode == 130
    assert b"let go of the container" in err


def _handles(pid: int, number: signal.Signals) -> bool:
    """Say whether a process has a handler for a signal (SigCgt, proc_pid_status(5))."""
    with Path(f"/proc/{pid}/status").open() as status:
        caught = next(line.split()[1] for line in status if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


class Terminal:
    """A pseudo-terminal with the command at its other end."""

    def __init__(self, started: Started, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = started(
            *words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )

    def until(self, text: bytes) -> bytes:
        shown = b""
        deadline = time.monotonic() + DEADLINE_S
        while text not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([self.ours], [], [], 0.1)[0]:
                shown += os.read(self.ours, 65536)
        return shown

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(started: Started) -> Any:
    made: list[Terminal] = []

    def open_terminal(*words: str) -> Terminal:
        made.append(Terminal(started, *words))
        return made[-1]

    yield open_terminal
    for one in made:
        one.close()


def test_a_terminal_is_raw_meanwhile_and_its_size_is_passed_on(
    engine: Engine, terminal: Callable[..., Terminal]
) -> None:
    def shell(connection: socket.socket) -> None:
        connection.sendall(b"\x1b[1m# ")
        typed = b""
        while b"\x03" not in typed:
            typed += connection.recv(100)
        connection.sendall(b"typed " + typed.replace(b"\x03", b"^C") + b"\r\n")
        ended.set()

    ended = running_container(engine, shell)

    screen = terminal("run", "-it", "demo", "sh")
    screen.until(b"\x1b[1m# ")
    os.write(screen.ours, b"ls\x03")
    shown = screen.until(b"typed ls^C\r\n")
    status = screen.process.wait(DEADLINE_S)

    assert status == 3
    assert b"ls\x03" not in shown  # nothing was echoed: the terminal was raw
    assert termios.tcgetattr(screen.theirs) == screen.before
    assert engine.sent("POST /containers/abc/resize").query == {"h": "33", "w": "99"}
    assert engine.sent("POST /containers/create").json["HostConfig"]["ConsoleSize"] == [33, 99]


def test_a_changed_size_is_passed_on(engine: Engine, terminal: Callable[..., Terminal]) -> None:
    ended = running_container(engine, lambda connection: ended.wait(DEADLINE_S))

    screen = terminal("run", "-it", "demo", "sh")
    wait_for(lambda: "POST /containers/abc/resize" in engine.seen())
    fcntl.ioctl(screen.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 20, 0, 0))
    screen.process.send_signal(signal.SIGWINCH)
    wait_for(lambda: engine.seen().count("POST /containers/abc/resize") == 2)
    ended.set()

    assert engine.requests[-1].query == {"h": "10", "w": "20"}


def test_the_keys_detach_and_leave_the_container_alone(
    engine: Engine, terminal: Callable[..., Terminal]
) -> None:
    ended = running_container(
        engine, lambda connection: (connection.sendall(b"# "), ended.wait(DEADLINE_S))
    )

    screen = terminal("run", "-it", "demo", "sh")
    screen.until(b"# ")
    os.write(screen.ours, b"\x10")
    os.write(screen.ours, b"\x11")

    assert screen.process.wait(DEADLINE_S) == 0
    assert termios.tcgetattr(screen.theirs) == screen.before
    ended.set()


def test_a_command_that_is_terminated_leaves_the_terminal_in_order(
    engine: Engine, terminal: Callable[..., Terminal]
) -> None:
    ended = threading.Event()
    engine.answer("POST /containers/web/exec", {"Id": "e1"}, 201)
    engine.hijack(
        "POST /exec/e1/start",
        lambda connection: (connection.sendall(b"# "), ended.wait(DEADLINE_S)),
    )
    engine.answer("POST /exec/e1/resize")

    screen = terminal("exec", "-it", "web", "sh")
    screen.until(b"# ")
    wait_for(lambda: termios.tcgetattr(screen.theirs) != screen.before)
    screen.process.send_signal(signal.SIGTERM)

    assert screen.process.wait(DEADLINE_S) == 143
    assert termios.tcgetattr(screen.theirs) == screen.before
    ended.set()


def test_a_terminal_that_is_none_is_refused(engine: Engine, started: Started) -> None:
    process = started("exec", "-it", "web", "sh")
    _, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert err.startswith(b"netd: standard input is no terminal, but -t with -i needs one\nhint: ")
    assert engine.requests == []


def test_the_end_of_input_ends_an_attach_to_a_container_that_runs_on(
    engine: Engine, started: Started
) -> None:
    def until_the_end_of_input(connection: socket.socket) -> None:
        while connection.recv(100):
            pass

    ended = running_container(engine, until_the_end_of_input)
    engine.answer("GET /containers/(web|abc)/json", RUNNING)

    process = started("attach", "web")
    process.communicate(b"word\n", timeout=DEADLINE_S)
    ended.set()

    assert process.returncode == 0


def test_an_attach_gives_the_containers_status(engine: Engine, started: Started) -> None:
    ended = running_container(
        engine, lambda connection: (connection.sendall(engine.frame(1, b"bye\n")), ended.set())
    )
    engine.answer("GET /containers/(web|abc)/json", RUNNING)

    process = started("attach", "--no-stdin", "web")
    out, _ = process.communicate(timeout=DEADLINE_S)

    assert (out, process.returncode) == (b"bye\n", 3)
    assert engine.sent("POST /containers/abc/attach").query["stdin"] == "0"


def test_an_attach_to_a_stopped_container_says_what_to_do(engine: Engine, started: Started) -> None:
    engine.answer("GET /containers/web/json", RUNNING | {"State": {"Running": False}})

    process = started("attach", "web")
    _, err = process.communicate(timeout=DEADLINE_S)

    assert err == b"netd: container web is not running\nhint: start it: netd start -a web\n"
