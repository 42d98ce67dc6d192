"""Further processes in running containers: streams, exit codes, terminals, and nothing left."""

import asyncio
import hashlib
import os
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import exec_process
from runtime.conmon import read_pid
from runtime.errors import OciError
from runtime.execs import ExecSession
from runtime.monitor import read_config
from runtime.spec import ExecSpec
from tests.containers import DEADLINE_S, Container, Host, dead, everything, gone, until

pytestmark = pytest.mark.kernel
MIB = 1 << 20


async def execute(
    container: Container, *args: str, stdin: bool = False, attach: bool = True, **settings: Any
) -> ExecSession:
    spec = ExecSpec(args=args, **settings)
    process = exec_process(read_config(container.bundle), spec, container.host.features)
    return await container.host.monitor.exec(
        container.id, secrets.token_hex(32), container.bundle, process,
        tty=spec.terminal, stdin=stdin, attach=attach,
    )  # fmt: skip


async def code_of(session: ExecSession) -> int:
    return await asyncio.wait_for(session.exited(), DEADLINE_S)


@pytest.fixture
async def container(host: Host) -> Container:
    return await host.run("sleep", "1000", env=("GREETING=hello",))


async def test_output_errors_and_exit_code_are_the_process_own(container: Container) -> None:
    session = await execute(container, "sh", "-c", "echo out; echo err >&2; exit 3")

    assert session.stream and session.pid > 0
    assert await everything(session.stream) == (b"out\n", b"err\n")
    assert await code_of(session) == 3


async def test_nothing_is_lost_of_processes_that_end_at_once(container: Container) -> None:
    for number in range(15):
        session = await execute(container, "echo", str(number), terminal=number % 3 == 0)
        assert session.stream
        assert (await everything(session.stream))[0].split() == [b"%d" % number]
        assert await code_of(session) == 0


async def test_input_goes_in_and_ends(container: Container) -> None:
    session = await execute(container, "cat", stdin=True)
    assert session.stream

    await session.stream.write(b"hello")
    session.stream.write_eof()

    assert await everything(session.stream) == (b"hello", b"")
    assert await code_of(session) == 0


async def test_much_data_goes_both_ways_unchanged(container: Container) -> None:
    session = await execute(container, "cat", stdin=True)
    stream = session.stream
    assert stream
    block, blocks, digest = os.urandom(MIB), 64, hashlib.sha256()

    async def write() -> None:
        for _ in range(blocks):
            await stream.write(block)
        stream.write_eof()

    writing = asyncio.create_task(write())
    while packet := await asyncio.wait_for(stream.read(), DEADLINE_S):
        digest.update(packet[1])
    await writing

    assert digest.digest() == hashlib.sha256(block * blocks).digest()
    assert await code_of(session) == 0


async def test_a_detached_process_runs_on_its_own(container: Container) -> None:
    session = await execute(container, "sh", "-c", "exit 6", attach=False)

    assert session.stream is None
    assert await code_of(session) == 6


async def test_it_has_the_containers_surroundings(container: Container) -> None:
    session = await execute(
        container, "sh", "-c", "echo $GREETING $NAME $(id -u):$(id -g) $PWD $HOSTNAME",
        env=("NAME=world",), uid=12, gid=34, cwd="/tmp",
    )  # fmt: skip

    assert session.stream
    assert await everything(session.stream) == (b"hello world 12:34 /tmp box\n", b"")


async def test_a_terminal_has_its_size_from_the_start_and_can_be_resized(
    container: Container,
) -> None:
    session = await execute(
        container, "sh", "-c", "stty size; read x; stty size",
        stdin=True, terminal=True, console_size=(33, 77),
    )  # fmt: skip
    assert session.stream
    assert await asyncio.wait_for(session.stream.read(), DEADLINE_S) == (1, b"33 77\r\n")

    await container.host.monitor.resize(session.folder, 44, 88)
    await until(lambda: size_of_terminal(session.pid) == (44, 88))
    await session.stream.write(b"\n")

    assert b"44 88\r\n" in (await everything(session.stream))[0]
    assert await code_of(session) == 0


def size_of_terminal(pid: int) -> tuple[int, int]:
    with Path(f"/proc/{pid}/fd/0").open("rb", buffering=0) as terminal:
        columns, rows = os.get_terminal_size(terminal.fileno())
    return rows, columns


@pytest.mark.parametrize("attach", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("command", "code", "words"),
    [("nosuch", 127, r"executable file.* not found"), ("/etc/passwd", 126, "permission denied"),
     ("/no/such", 127, "no such file or directory")],
)  # fmt: skip
async def test_a_command_that_cannot_be_run_is_an_error_and_leaves_nothing(
    container: Container, command: str, code: int, words: str, terminal: bool, attach: bool
) -> None:
    before = descriptors()

    with pytest.raises(OciError, match=words) as caught:
        await execute(container, command, terminal=terminal, attach=attach)

    assert caught.value.exit_code == code
    assert sessions(container) == []
    assert descriptors() == before


async def test_no_process_can_be_added_to_a_container_that_ended(host: Host) -> None:
    container = await host.run("true")
    await container.ended()

    with pytest.raises(OciError):
        await execute(container, "true")


async def test_the_end_of_the_container_ends_it_too(container: Container) -> None:
    session = await execute(container, "sleep", "1000")
    assert session.stream

    await container.host.oci.kill(container.id, "KILL")

    assert await everything(session.stream) == (b"", b"")
    assert await code_of(session) == 137
    assert (await container.ended()).code == 137


async def test_one_who_never_reads_does_not_hide_the_exit_code(container: Container) -> None:
    session = await execute(container, "sh", "-c", "yes | head -c 140000; exit 4")

    assert await code_of(session) == 4
    assert session.stream
    assert await everything(session.stream) == (b"y\n" * 70000, b"")


async def test_leaving_early_lets_the_process_end(container: Container) -> None:
    session = await execute(container, "yes")
    assert session.stream

    session.stream.close()

    # Its output has no reader any more and is dropped; it runs until somebody ends it.
    os.kill(session.pid, signal.SIGTERM)
    assert await code_of(session) == 143


async def test_the_exit_code_is_told_to_all_who_wait(container: Container) -> None:
    session = await execute(container, "sh", "-c", "exit 8", attach=False)
    impatient = asyncio.ensure_future(session.exited())
    await asyncio.sleep(0)
    impatient.cancel()

    assert await asyncio.gather(code_of(session), code_of(session)) == [8, 8]


async def test_a_killed_conmon_ends_the_process(container: Container) -> None:
    session = await execute(container, "sleep", "1000")

    os.kill(read_pid(session.folder / "conmon.pid"), signal.SIGKILL)

    assert await code_of(session) == 137
    await until(lambda: dead(session.pid))
    assert sessions(container) == []
    assert session.stream
    assert await everything(session.stream) == (b"", b"")


async def test_many_sessions_leave_no_descriptor_process_or_folder(container: Container) -> None:
    before = descriptors()
    conmons: list[int] = []

    async def one(number: int) -> None:
        session = await execute(container, "echo", "x", attach=bool(number % 2))
        conmons.append(read_pid(session.folder / "conmon.pid"))
        if session.stream:
            await everything(session.stream)
            session.stream.close()
        assert await code_of(session) == 0

    for _ in range(4):
        await asyncio.gather(*(one(number) for number in range(4)))

    assert sessions(container) == []
    assert descriptors() == before
    await until(lambda: all(gone(pid) for pid in conmons))


async def test_a_cancelled_session_leaves_nothing(container: Container) -> None:
    before = descriptors()
    for wait_s in (0, 0.003, 0.01, 0.02):
        opening = asyncio.ensure_future(execute(container, "sleep", "1000"))
        await asyncio.wait([opening], timeout=wait_s)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if not opening.cancelled():
            opening.result().abandon()
    await until(lambda: sessions(container) == [])
    await until(lambda: descriptors() == before)


async def test_sessions_of_an_earlier_daemon_are_forgotten(container: Container) -> None:
    session = await execute(container, "sleep", "1000")
    conmon = read_pid(session.folder / "conmon.pid")
    await container.host.monitor.close()

    container.host.monitor.forget_sessions(container.bundle)

    assert sessions(container) == []
    os.kill(session.pid, signal.SIGKILL)
    await until(lambda: gone(conmon))
    assert sessions(container) == []


def sessions(container: Container) -> list[str]:
    folder = container.bundle / "exec"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
