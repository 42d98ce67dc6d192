"""A working session, word for word the same with the docker command and with netd's own."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from labs.host import DEMO_IMAGE, NETD, Host

pytestmark = [pytest.mark.kernel, pytest.mark.docker]

DEADLINE_S = 20


@dataclass(frozen=True)
class Cli:
    """One of the two commands, pointed at the host's daemon."""

    command: str
    environment: dict[str, str]

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.command, *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def ok(self, *words: str, stdin: bytes = b"") -> str:
        done = self(*words, stdin=stdin)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.decode()

    @contextmanager
    def started(self, *words: str, **more: object) -> "Iterator[subprocess.Popen[bytes]]":
        process = subprocess.Popen([self.command, *words], env=self.environment, **more)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()


@pytest.fixture(params=["docker", "netd"])
def cli(request: pytest.FixtureRequest, host: Host, tmp_path: Path) -> Cli:
    command = "docker" if request.param == "docker" else str(NETD)
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{host.socket}",
        "DOCKER_CONFIG": str(tmp_path),
    }
    return Cli(command, environment)


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """Read until the text has come; fail at the deadline or the end."""
    seen = b""
    deadline = time.monotonic() + DEADLINE_S
    while wanted not in seen:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([descriptor], [], [], max(0, left))
        assert ready, f"{wanted!r} did not come: {seen!r}"
        data = os.read(descriptor, 4096)
        assert data, f"{wanted!r} did not come before the end: {seen!r}"
        seen += data
    return seen


@contextmanager
def terminal(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        set_size(ours, rows, columns)
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def set_size(descriptor: int, rows: int, columns: int) -> None:
    subprocess.run(["stty", "rows", str(rows), "cols", str(columns)], stdin=descriptor, check=True)


def on_terminal(
    cli: Cli, theirs: int, words: Sequence[str]
) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    return cli.started(
        *words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: _control(theirs),
    )  # fmt: skip


def _control(descriptor: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def test_the_whole_session(cli: Cli) -> None:
    assert "netd" in cli.ok("version")
    assert "Loaded image: demo:latest" in cli.ok("load", "-i", str(DEMO_IMAGE))
    assert "demo" in cli.ok("images")
    assert re.fullmatch("[0-9a-f]{64}\n", cli.ok("network", "create", "front"))
    run = ("run", "-d", "--name", "web", "--network", "front", "--network-alias", "www", "demo")
    id_ = cli.ok(*run, "httpd", "-f", "-h", "/www").strip()

    once = ("run", "--rm", "--network", "front", "demo")
    assert "1 packets received" in cli.ok(*once, "ping", "-c1", "web")
    assert "Name:\twww" in cli.ok(*once, "nslookup", "-type=a", "www")
    assert "Hello from netd" in cli.ok(*once, "wget", "-qO-", "http://web/")
    cli.ok("network", "create", "back")
    elsewhere = cli("run", "--rm", "--network", "back", "demo", "nslookup", "web")
    assert elsewhere.returncode != 0

    assert [line.split()[-1] for line in cli.ok("ps").splitlines()] == ["NAMES", "web"]
    assert cli.ok("inspect", "--format", "{{.Id}} {{.State.Status}}", "web").split() == [
        id_,
        "running",
    ]
    cli.ok("network", "connect", "back", "web")
    assert "eth1" in cli.ok("exec", "web", "ip", "-o", "link")
    back = ("run", "--rm", "--network", "back", "demo")
    assert "1 packets received" in cli.ok(*back, "ping", "-c1", "web")
    cli.ok("network", "disconnect", "back", "web")

    assert cli.ok("stop", "-t", "0", "web").strip() == "web"
    assert cli.ok("wait", "web").strip() == "137"
    assert cli.ok("rm", "web").strip() == "web"
    assert cli.ok("network", "rm", "front").strip() == "front"


def test_output_input_and_exit_codes_come_through(cli: Cli) -> None:
    done = cli("run", "--rm", "demo", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")

    data = os.urandom(1 << 20)
    assert cli("run", "-i", "--rm", "demo", "cat", stdin=data).stdout == data

    cli.ok("run", "-d", "--name", "web", "demo", "sleep", "1000")
    assert cli("exec", "-i", "web", "sort", stdin=b"b\na\n").stdout == b"a\nb\n"
    assert cli("exec", "web", "sh", "-c", "exit 9").returncode == 9
    assert cli("exec", "-u", "demo", "-w", "/tmp", "-e", "X=y", "web", "sh", "-c",
               "echo $(id -un) $PWD $X").stdout == b"demo /tmp y\n"  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "--rm", "demo", "nosuch"), 127, b"executable file not found"),
        (("run", "--rm", "demo", "/etc/passwd"), 126, b"permission denied"),
        (("run", "--rm", "--network", "nowhere", "demo", "true"), 125, b"nowhere"),
        (("exec", "nobody", "true"), 1, b"nobody"),
        (("rm", "nobody"), 1, b"nobody"),
    ],
)
def test_failures_have_dockers_exit_codes(
    cli: Cli, words: Sequence[str], code: int, said: bytes
) -> None:
    done = cli(*words)

    assert (done.returncode, said in done.stderr.lower()) == (code, True), done.stderr


def test_exec_gives_a_working_terminal_that_follows_its_size(cli: Cli) -> None:
    cli.ok("run", "-d", "--name", "web", "demo", "sleep", "1000")
    with (
        terminal(33, 99) as (ours, theirs),
        on_terminal(cli, theirs, ["exec", "-it", "web", "sh"]) as shell,
    ):
        os.write(ours, b"tty; stty size; echo re''ady\n")
        seen = read_until(ours, b"ready")
        assert b"/dev/pts/0" in seen and b"33 99" in seen
        set_size(ours, 44, 111)
        os.kill(shell.pid, signal.SIGWINCH)
        os.write(ours, b"until stty size | grep '44 111'; do sleep 0.1; done; echo do''ne\n")
        read_until(ours, b"done")
        os.write(ours, b"exit 5\n")
        assert shell.wait(DEADLINE_S) == 5


def test_run_on_a_terminal_is_left_with_the_detach_keys_and_attached_to_again(cli: Cli) -> None:
    with (
        terminal(24, 80) as (ours, theirs),
        on_terminal(cli, theirs, ["run", "-it", "--name", "web", "demo", "sh"]) as run,
    ):
        os.write(ours, b"echo wor''ks\n")
        read_until(ours, b"works")
        os.write(ours, b"\x10\x11")  # ctrl-p ctrl-q
        run.wait(DEADLINE_S)
    assert cli.ok("ps", "-q").strip()

    with (
        terminal(24, 80) as (ours, theirs),
        on_terminal(cli, theirs, ["attach", "web"]) as attach,
    ):
        os.write(ours, b"echo ag''ain\n")
        read_until(ours, b"again")
        os.write(ours, b"exit 4\n")
        assert attach.wait(DEADLINE_S) == 4
    assert cli.ok("wait", "web").strip() == "4"


def test_logs_can_be_followed_cut_and_dated(cli: Cli) -> None:
    script = "for n in 1 2 3; do echo line $n; done; while [ ! -e /go ]; do sleep 0.05; done; "
    cli.ok("run", "-d", "--name", "web", "demo", "sh", "-c", script + "echo late; echo bad >&2")
    with cli.started("logs", "-f", "web", stdout=subprocess.PIPE) as follow:
        assert follow.stdout is not None
        read_until(follow.stdout.fileno(), b"line 3\n")
        cli.ok("exec", "web", "touch", "/go")
        read_until(follow.stdout.fileno(), b"late\n")
        assert follow.wait(DEADLINE_S) == 0

    done = cli("logs", "--tail", "2", "web")
    assert (done.stdout, done.stderr) == (b"late\n", b"bad\n")
    dated = cli.ok("logs", "-t", "--tail", "5", "web").splitlines()[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1", dated)
    assert cli.ok("logs", "--since", "1h", "web").startswith("line 1\n")
    assert cli.ok("logs", "--since", "2099-01-01T00:00:00Z", "web") == ""


def test_events_tell_the_life_of_a_container_in_order(cli: Cli) -> None:
    since, name = str(int(time.time())), f"life-of-{Path(cli.command).name}"
    cli.ok("run", "--rm", "--name", name, "demo", "true")
    deadline = time.monotonic() + DEADLINE_S
    actions: list[str] = []
    while "destroy" not in actions and time.monotonic() < deadline:
        until = f"{time.time():.6f}"
        words = ("events", "--since", since, "--until", until, "--filter", f"container={name}")
        actions = cli.ok(*words, "--format", "{{.Action}}").split()

    for action in ("create", "attach", "start", "die", "destroy"):
        assert actions.count(action) >= 1, actions
    order = [actions.index(action) for action in ("create", "start", "die", "destroy")]
    assert order == sorted(order)


def test_a_signal_to_the_client_reaches_the_process(cli: Cli) -> None:
    script = "trap 'echo caught; exit 6' TERM; echo re''ady; while true; do sleep 0.05; done"
    words = ("run", "--rm", "--name", "web", "demo", "sh", "-c", script)
    with cli.started(*words, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        read_until(run.stdout.fileno(), b"ready")
        run.send_signal(signal.SIGTERM)
        read_until(run.stdout.fileno(), b"caught")
        assert run.wait(DEADLINE_S) == 6


def test_a_container_gets_what_was_asked_for_it(cli: Cli) -> None:
    out = cli.ok(
        "run", "--rm", "--hostname", "box", "-e", "A=b", "-w", "/tmp", "-u", "1000:1000",
        "--add-host", "db:192.0.2.7", "--dns", "192.0.2.53", "--entrypoint", "sh", "demo", "-c",
        "hostname; echo $A; pwd; id -u; grep db /etc/hosts",
    )  # fmt: skip

    assert out.split() == ["box", "b", "/tmp", "1000", "192.0.2.7", "db"]
