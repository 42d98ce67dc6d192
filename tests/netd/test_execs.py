import asyncio
from typing import Any

import pytest
from makers import container, running

from netd.errors import NotFoundError
from netd.events import Events
from netd.execs import KEPT, Execs
from netd.model import ExecRequest
from netd.store import Store

REQUEST = ExecRequest(cmd=("true",))


class Process:
    """A process that ends when it is told to."""

    pid, stream = 42, None

    def __init__(self) -> None:
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def exit(self) -> int:
        return await self.code


class Runner:
    """Runs nothing."""

    def __init__(self) -> None:
        self.processes: list[Process] = []

    async def exec(self, *args: Any, **settings: Any) -> Process:
        self.processes.append(Process())
        return self.processes[-1]


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def execs(store: Store, runner: Runner) -> Execs:
    store.containers.put(running(container("web")))
    return Execs(store, Events(), runner)


async def test_the_exit_code_is_known_after_the_end(execs: Execs, runner: Runner) -> None:
    exec_ = await execs.create("web", REQUEST)
    await execs.start(exec_.id, detach=True)

    runner.processes[0].code.set_result(3)
    while execs.exec(exec_.id).running:
        await asyncio.sleep(0)

    assert execs.exec(exec_.id).exit_code == 3


async def test_of_execs_that_ended_the_oldest_are_forgotten(execs: Execs) -> None:
    first, second = [await execs.create("web", REQUEST) for _ in range(2)]
    for _ in range(KEPT):
        await execs.create("web", REQUEST)

    assert execs.exec(second.id) == second
    with pytest.raises(NotFoundError, match="No such exec instance"):
        execs.exec(first.id)


async def test_an_exec_that_runs_is_never_forgotten(execs: Execs) -> None:
    exec_ = await execs.create("web", REQUEST)
    await execs.start(exec_.id, detach=True)
    for _ in range(KEPT + 2):
        await execs.create("web", REQUEST)

    assert execs.of(exec_.container_id) == [exec_.id]
    await execs.close()


async def test_the_execs_of_a_container_that_ended_are_forgotten(
    execs: Execs, store: Store
) -> None:
    exec_ = await execs.create("web", REQUEST)
    store.containers.put(container("web"))
    store.containers.put(running(container("other")))

    await execs.create("other", REQUEST)

    with pytest.raises(NotFoundError):
        execs.exec(exec_.id)
