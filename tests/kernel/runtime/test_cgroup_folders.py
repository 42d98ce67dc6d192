"""Cgroups that were left behind: found, emptied and removed."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime import cgroups
from tests.containers import Host, dead, until

pytestmark = pytest.mark.kernel


@pytest.fixture
async def left_behind() -> AsyncIterator[tuple[Path, ...]]:
    parent = f"/netd-test-{secrets.token_hex(4)}"
    paths = cgroups.folders(parent, "left", cgroups.mounted())
    if not paths:
        pytest.skip("no cgroups here")
    for path in paths:
        (path / "below").mkdir(parents=True)
    yield paths
    await cgroups.clear(cgroups.folders("", parent, cgroups.mounted()))


async def sleeper(paths: tuple[Path, ...]) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    for path in paths:
        target = path / "below" / "cgroup.procs"
        if path.parent.parent.name != "cpuset":  # needs its cpus set first
            target.write_text(str(process.pid))
    return process


async def test_processes_are_found_below_too(left_behind: tuple[Path, ...]) -> None:
    process = await sleeper(left_behind)

    assert cgroups.processes(left_behind) == {process.pid}

    process.kill()
    await process.wait()


async def test_clearing_kills_and_removes_and_may_be_repeated(
    left_behind: tuple[Path, ...],
) -> None:
    process = await sleeper(left_behind)

    await cgroups.clear(left_behind)
    await cgroups.clear(left_behind)

    assert await process.wait() == -signal.SIGKILL
    assert not any(path.exists() for path in left_behind)


async def test_removing_leaves_living_processes_alone(left_behind: tuple[Path, ...]) -> None:
    process = await sleeper(left_behind)

    await cgroups.remove(left_behind)

    assert process.returncode is None
    assert any(path.exists() for path in left_behind)
    process.kill()
    await process.wait()
    await cgroups.remove(left_behind)
    assert not any(path.exists() for path in left_behind)


async def test_a_containers_cgroups_are_found(host: Host) -> None:
    container = await host.run("sleep", "1000")

    assert container.pid in cgroups.processes(container.cgroups)


async def test_clearing_ends_what_lost_its_monitor_and_runtime_state(host: Host) -> None:
    container = await host.run("sh", "-c", "sleep 1000 & sleep 1000")
    os.kill(container.conmon_pid, signal.SIGKILL)

    await cgroups.clear(container.cgroups)

    await until(lambda: dead(container.pid))
    assert not any(path.exists() for path in container.cgroups)
