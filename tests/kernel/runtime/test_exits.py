"""How containers ended: told to the daemon that started them, to the next one, or to nobody."""

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.containers import DEADLINE_S, Container, Host, dead, gone, until

pytestmark = pytest.mark.kernel


async def test_the_next_daemon_sees_a_container_end(host: Host) -> None:
    container = await host.run("sh", "-c", "read x; exit 5", stdin=True)
    await host.monitor.close()
    after = host.another_monitor()
    waiting = asyncio.ensure_future(after.exited(container.id, container.bundle))
    stream = await after.attach(container.bundle)

    await stream.write(b"\n")

    end = await asyncio.wait_for(waiting, DEADLINE_S)
    assert (end.code, end.error) == (5, "")
    stream.close()


async def test_an_end_that_nobody_saw_is_read_from_the_file(host: Host) -> None:
    before = datetime.now(UTC)
    container = await host.run("sh", "-c", "exit 5")
    await until(lambda: gone(container.conmon_pid))

    end = await asyncio.wait_for(
        host.another_monitor().exited(container.id, container.bundle), DEADLINE_S
    )

    assert (end.code, end.error) == (5, "")
    assert abs((end.finished - before).total_seconds()) < DEADLINE_S


async def test_all_output_is_in_the_log_when_the_end_is_told(host: Host) -> None:
    container = await host.run("seq", "20000")

    await container.ended()

    assert container.logged().endswith(" stdout F 20000\n")


async def test_a_killed_conmon_takes_its_container_along(host: Host) -> None:
    container = await host.run("sh", "-c", "sleep 1000 & sleep 1000")
    waiting = asyncio.ensure_future(container.ended())
    await asyncio.sleep(0)

    os.kill(container.conmon_pid, signal.SIGKILL)

    end = await waiting
    assert end.code == 137
    assert "conmon died" in end.error
    await until(lambda: dead(container.pid))


async def test_a_conmon_killed_while_the_daemon_was_away_is_noticed(host: Host) -> None:
    container = await host.run("sleep", "1000")
    os.kill(container.conmon_pid, signal.SIGKILL)
    await until(lambda: gone(container.conmon_pid))

    end = await host.another_monitor().exited(container.id, container.bundle)

    assert (end.code, "conmon died" in end.error) == (137, True)
    await until(lambda: dead(container.pid))


async def test_numbers_that_went_to_other_processes_are_not_touched(host: Host) -> None:
    container = await host.run("true")
    await container.ended()
    (host.exits / container.id).unlink()
    stranger = await asyncio.create_subprocess_exec("sleep", "1000")
    try:
        for name in ("conmon.pid", "pidfile"):
            (container.bundle / name).write_text(str(stranger.pid))

        end = await host.another_monitor().exited(container.id, container.bundle)

        assert end.code == 137
        assert stranger.returncode is None
        os.kill(stranger.pid, 0)
        (container.bundle / "conmon.pid").unlink()
    finally:
        stranger.kill()
        await stranger.wait()


async def test_after_a_reboot_there_are_no_files_at_all(host: Host) -> None:
    container = host.prepared("true")

    end = await host.monitor.exited(container.id, container.bundle)

    assert (end.code, end.oom_killed) == (137, False)


async def test_waiting_that_is_cancelled_leaves_nothing(host: Host) -> None:
    container = await host.run("sleep", "1000")
    before = descriptors()

    for _ in range(10):
        waiting = asyncio.ensure_future(container.ended())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    assert descriptors() == before


async def test_any_number_may_wait(host: Host) -> None:
    container = await host.create("sh", "-c", "exit 2")
    waits = [asyncio.ensure_future(container.ended()) for _ in range(5)]

    await container.start()

    assert [end.code for end in await asyncio.gather(*waits)] == [2] * 5


async def test_a_created_container_that_is_deleted_ends(host: Host) -> None:
    container = await host.create("true")
    waiting = asyncio.ensure_future(container.ended())

    await host.oci.delete(container.id, force=True)

    assert (await waiting).code == 137


async def test_the_file_is_forgotten_on_demand(host: Host) -> None:
    container: Container = await host.run("true")
    await container.ended()

    host.monitor.forget(container.id, container.bundle)
    host.monitor.forget(container.id, container.bundle)

    assert list(host.exits.iterdir()) == []
    assert [path.name for path in container.bundle.iterdir()] == ["config.json"]


async def test_forgetting_at_once_leaves_no_file_that_comes_later(host: Host) -> None:
    for _ in range(5):
        container = await host.run("sleep", "1000")
        conmon = container.conmon_pid
        await host.oci.delete(container.id, force=True)

        host.monitor.forget(container.id, container.bundle)

        assert gone(conmon)
        assert list(host.exits.iterdir()) == []
        assert [path.name for path in container.bundle.iterdir()] == ["config.json"]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
