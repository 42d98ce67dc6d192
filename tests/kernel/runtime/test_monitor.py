"""Containers through conmon and a real OCI runtime: made, started, ended, and nothing left."""

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime import cgroups
from runtime.errors import MonitorError, NotRunningError, OciError
from runtime.spec import Limits
from tests.containers import DEADLINE_S, Host, everything, gone, until

pytestmark = pytest.mark.kernel


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_created_container_waits_until_it_is_started(host: Host) -> None:
    container = await host.create("sh", "-c", "echo ran")

    state = await host.oci.state(container.id)
    assert state and state["status"] == "created" and state["pid"] == container.pid
    assert container.logged() == ""

    await container.start()

    assert (await container.ended()).code == 0
    assert "stdout F ran" in container.logged()


@pytest.mark.parametrize("code", [0, 7, 255])
async def test_the_exit_code_is_the_process_own(host: Host, code: int) -> None:
    before = datetime.now(UTC)
    container = await host.run("sh", "-c", f"exit {code}")

    end = await container.ended()

    assert (end.code, end.oom_killed, end.error) == (code, False, "")
    assert before <= end.finished <= datetime.now(UTC)


async def test_a_command_that_is_not_there_is_told_at_creation(host: Host) -> None:
    with pytest.raises(
        OciError, match=r"executable file .*not found|executable file not found"
    ) as caught:
        await host.create("nosuch")

    assert caught.value.exit_code == 127


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc"])
async def test_a_command_that_cannot_be_run_is_told_at_creation(host: Host, path: str) -> None:
    with pytest.raises(OciError, match=r"permi.* denied|not permitted|is a directory") as caught:
        await host.create(path)

    assert caught.value.exit_code == 126


async def test_nothing_is_left_of_a_container_that_could_not_be_created(host: Host) -> None:
    container = host.prepared("nosuch")
    before = descriptors()

    with pytest.raises(OciError):
        await host.monitor.create(container.id, "test", container.bundle, container.log)

    assert descriptors() == before
    assert await host.oci.state(container.id) is None
    assert [path.name for path in container.bundle.iterdir()] == ["config.json"]
    assert not any(path.exists() for path in container.cgroups)


async def test_a_bundle_that_is_no_bundle_is_an_error(host: Host) -> None:
    container = host.prepared("true")
    (container.bundle / "config.json").write_text("{}")

    with pytest.raises(OciError):
        await host.monitor.create(container.id, "test", container.bundle, container.log)


async def test_a_container_can_be_started_again(host: Host) -> None:
    container = await host.run("sh", "-c", "echo once")
    await container.ended()
    await host.oci.delete(container.id)

    await host.monitor.create(container.id, "test", container.bundle, container.log)
    await container.start()

    assert (await container.ended()).code == 0
    assert container.logged().count("once") == 2


async def test_without_a_log_path_no_log_is_written(host: Host) -> None:
    container = host.prepared("echo", "hello")
    await host.monitor.create(container.id, "test", container.bundle, None)
    stream = await container.attach(stdin=False)
    await container.start()

    assert await everything(stream) == (b"hello\n", b"")
    await container.ended()
    assert not container.log.exists()


async def test_a_signal_reaches_the_process_and_a_second_one_nobody(host: Host) -> None:
    container = await host.run(
        "sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 1; done"
    )
    await until(lambda: "ready" in container.logged())

    await host.oci.kill(container.id, "USR1")

    assert (await container.ended()).code == 3
    with pytest.raises(NotRunningError):
        await host.oci.kill(container.id, "KILL")


async def test_a_kill_reaches_the_process_and_a_second_one_nobody(host: Host) -> None:
    container = await host.run(
        "sh", "-c", "trap 'exit 3' USR1; echo ready; while :; do sleep 1; done"
    )
    await until(lambda: "ready" in container.logged())

    await host.monitor.kill(container.id, container.bundle, signal.SIGUSR1)

    assert (await container.ended()).code == 3
    with pytest.raises(NotRunningError):
        await host.monitor.kill(container.id, container.bundle, signal.SIGKILL)


async def test_a_kill_reaches_a_process_that_left_its_cgroup(host: Host) -> None:
    container = await host.run("sleep", "1000")
    for tree in cgroups.mounted():
        (tree.path / "cgroup.procs").write_text(str(container.pid))

    await host.monitor.kill(container.id, container.bundle, signal.SIGKILL)

    assert (await container.ended()).code == 137


async def test_a_kill_does_not_touch_a_process_that_has_the_number_now(host: Host) -> None:
    container = await host.run("true")
    await container.ended()
    stranger = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        (container.bundle / "pidfile").write_text(str(stranger.pid))

        with pytest.raises(NotRunningError):
            await host.monitor.kill(container.id, container.bundle, signal.SIGKILL)

        assert Path(f"/proc/{stranger.pid}/cmdline").read_bytes().startswith(b"sleep")
    finally:
        stranger.kill()
        await stranger.wait()


async def test_deleting_ends_everything_and_may_be_repeated(host: Host) -> None:
    container = await host.run("sleep", "1000")
    end = asyncio.ensure_future(container.ended())

    await host.oci.delete(container.id, force=True)
    await host.oci.delete(container.id, force=True)

    assert (await end).code == 137
    assert await host.oci.state(container.id) is None
    assert not any(path.exists() for path in container.cgroups)


async def test_a_container_that_uses_too_much_memory_is_told_so(host: Host) -> None:
    if "memory" not in host.features.controllers:
        pytest.skip("this host cannot limit memory")
    hog = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    container = await host.run("sh", "-c", hog, limits=Limits(memory=16 << 20))

    end = await container.ended()

    assert (end.code, end.oom_killed) == (137, True)


async def test_conmon_lives_apart_from_the_daemon(host: Host) -> None:
    inherited = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        container = await host.run("sleep", "1000")
    finally:
        os.close(inherited)
    process = Path("/proc") / str(container.conmon_pid)

    assert os.getsid(container.conmon_pid) == container.conmon_pid != os.getsid(0)
    assert {(process / "fd" / name).readlink() for name in "012"} == {Path("/dev/null")}
    ours = {path.readlink() for path in Path("/proc/self/fd").glob("*") if path.is_symlink()}
    theirs = [(process / "fd" / path.name).readlink() for path in (process / "fd").iterdir()]
    assert theirs.count(Path("/dev/null")) <= 5  # its standard ones and two to hand on
    assert not {name for name in theirs if name in ours and "pipe" in str(name)}


async def test_the_terminal_can_be_resized_before_and_after_the_start(host: Host) -> None:
    container = await host.create(
        "sh", "-c", "stty size; read x; stty size", terminal=True, stdin=True
    )
    stream = await container.attach()
    await host.monitor.resize(container.bundle, 31, 101)
    await asyncio.sleep(0)
    await container.start()

    assert await asyncio.wait_for(stream.read(), DEADLINE_S) == (1, b"31 101\r\n")
    await host.monitor.resize(container.bundle, 50, 90)
    await until(lambda: size_of_terminal(container.pid) == (50, 90))
    await stream.write(b"\n")
    assert b"50 90\r\n" in (await everything(stream))[0]


async def test_of_many_sizes_in_a_row_the_last_one_stays(host: Host) -> None:
    container = await host.create("sleep", "1000", terminal=True, stdin=True)
    await container.start()

    for columns in range(40, 140):
        await host.monitor.resize(container.bundle, 40, columns)
        assert size_of_terminal(container.pid) == (40, columns)


def size_of_terminal(pid: int) -> tuple[int, int]:
    with Path(f"/proc/{pid}/fd/0").open("rb", buffering=0) as terminal:
        columns, rows = os.get_terminal_size(terminal.fileno())
    return rows, columns


async def test_resizing_what_does_not_run_is_an_error(host: Host) -> None:
    container = host.prepared("true")

    with pytest.raises(MonitorError, match="cannot resize"):
        await host.monitor.resize(container.bundle, 10, 10)


async def test_a_container_joins_the_network_namespace_it_is_given(host: Host) -> None:
    holder = await asyncio.create_subprocess_exec("unshare", "--net", "sleep", "1000")
    try:
        path = Path(f"/proc/{holder.pid}/ns/net")
        await until(lambda: path.readlink() != Path("/proc/self/ns/net").readlink())
        container = await host.run("readlink", "/proc/self/ns/net", network=path)
        await container.ended()
        assert str(path.readlink()) in container.logged()
    finally:
        holder.kill()
        await holder.wait()


async def test_many_containers_leave_no_descriptor_process_or_file(host: Host) -> None:
    await (await host.run("true")).ended()
    before = descriptors()

    async def one() -> int:
        container = await host.run("sh", "-c", "exit 5")
        code = (await container.ended()).code
        await host.oci.delete(container.id)
        host.monitor.forget(container.id, container.bundle)
        assert [path.name for path in container.bundle.iterdir()] == ["config.json"]
        assert gone(container.conmon_pid)
        return code

    assert await asyncio.gather(*(one() for _ in range(6))) == [5] * 6

    assert descriptors() == before
    assert len(list(host.exits.iterdir())) == 1


async def test_a_creation_that_is_cancelled_leaves_nothing(host: Host) -> None:
    container = host.prepared("sleep", "1000")
    before = descriptors()
    for wait_s in (0, 0.005, 0.02, 0.04):
        creation = asyncio.ensure_future(
            host.monitor.create(container.id, "test", container.bundle, container.log)
        )
        await asyncio.wait([creation], timeout=wait_s)
        creation.cancel()
        await asyncio.gather(creation, return_exceptions=True)

        if creation.cancelled():
            assert await host.oci.state(container.id) is None
            assert [path.name for path in container.bundle.iterdir()] == ["config.json"]
        await host.oci.delete(container.id, force=True)
    await until(lambda: descriptors() == before)


async def test_an_unknown_signal_is_refused(host: Host) -> None:
    with pytest.raises(OciError, match="invalid signal: NOSUCH"):
        await host.oci.kill("x", "NOSUCH")


async def test_the_daemons_own_signals_do_not_reach_containers(host: Host) -> None:
    container = await host.run("sleep", "1000")

    assert os.getpgid(container.conmon_pid) != os.getpgid(0)
    assert os.getpgid(container.pid) != os.getpgid(0)
    os.kill(container.pid, signal.SIGKILL)
    assert (await container.ended()).code == 137
