"""What should be against what is: run at every start, whatever ended the last run.

After a crash, a kill or a reboot there may be: containers that ran on and are adopted; ones that
ended meanwhile, whose exit codes lie in files; starts that were cut in the middle, which are taken
down and made again; removals cut in the middle; and folders, namespaces and processes that belong
to nothing, which go. Every verb used here may be repeated, so a crash in a recovery is no other
case.
"""

import logging

from msgspec.structs import replace

from netd.errors import NetdError
from netd.lifecycle import Lifecycle
from netd.model import Container, Status
from netd.runner import Runner
from netd.sandboxes import Sandboxes
from netd.store import Store

log = logging.getLogger(__name__)


class Recovery:
    """Brings what is in line with what should be."""

    def __init__(
        self, store: Store, sandboxes: Sandboxes, runner: Runner, lifecycle: Lifecycle
    ) -> None:
        self._store, self._sandboxes = store, sandboxes
        self._runner, self._lifecycle = runner, lifecycle

    async def run(self) -> None:
        """Adopt, finish or take down every container; remove what belongs to none."""
        interrupted: list[Container] = []
        for container in self._store.containers:
            try:
                if container.state.running:
                    await self._running(container)
                elif container.state.starting:
                    interrupted.append(await self._interrupted(container))
                elif any(endpoint.interface for endpoint in container.endpoints):
                    await self._lifecycle.discard(container)
            except (NetdError, OSError, ExceptionGroup):
                log.exception("container %s is not recovered", container.name)
        await self._sweep()
        for container in interrupted:
            await self._finish(container)
        for container in self._store.containers:
            ended = container.state.status is Status.EXITED and container.host.auto_remove
            if ended or container.state.removing:
                await self._remove(container)

    async def _running(self, container: Container) -> None:
        if await self._runner.alive(container):
            log.info("container %s goes on (pid %d)", container.name, container.state.pid)
        else:
            log.info("container %s ended while the daemon was away", container.name)
        # The watch ends at once for one that is gone: its end takes the same path as any other.
        await self._lifecycle.adopt(container)

    async def _interrupted(self, container: Container) -> Container:
        container = await self._lifecycle.discard(container)
        state = replace(container.state, starting=False, pid=0)
        container = replace(container, state=state)
        self._store.containers.put(container)
        return container

    async def _finish(self, container: Container) -> None:
        log.info("starting %s, which was cut off", container.name)
        try:
            await self._lifecycle.start(container.id)
        except (NetdError, OSError, ExceptionGroup) as error:
            log.warning("container %s is not started: %s", container.name, error)

    async def _remove(self, container: Container) -> None:
        try:
            await self._lifecycle.on_exit_remove(container)
        except (NetdError, OSError, ExceptionGroup) as error:
            log.error("container %s is not removed: %s", container.name, error)  # noqa: TRY400

    async def _sweep(self) -> None:
        alive = {each.id for each in self._store.containers if each.state.running}
        known = {each.id for each in self._store.containers}
        await self._runner.sweep(alive, known)
        await self._sandboxes.sweep({id_[:12] for id_ in alive})
