"""A container's life from start to exit: its network, its process, who watches and waits.

    created --start--> running --exit--> exited
       (the intent `starting` is stored first, so that a crash in the middle is known)

Start builds from the outside in: addresses, namespace, interfaces, names, files, root file system,
monitor, process; a failure takes down what was built. The end is one path, `_ended`, however it
came: by itself, by kill, or while the daemon was away.
"""

import asyncio
import logging
import signal as signals
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack

from msgspec.structs import replace

from netd.errors import (
    ConflictError,
    InternalError,
    NetdError,
    NotFoundError,
    NotModifiedError,
)
from netd.events import Events
from netd.locks import Locks
from netd.model import Container, State, Status
from netd.runnable import signal_number
from netd.runner import Runner, StartError
from netd.sandboxes import Sandboxes
from netd.store import Store, now
from netd.streams import STDERR, STDOUT, ContainerStream, Stream
from netd.together import together
from netd.waiting import Condition, Waiters
from runtime.exits import Exit

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 10
KILL_TIMEOUT_S = 10


class Lifecycle:
    """Starts, stops and watches containers."""

    def __init__(
        self, store: Store, events: Events, locks: Locks, sandboxes: Sandboxes, runner: Runner
    ) -> None:
        self._store, self._events, self._locks = store, events, locks
        self._sandboxes, self._runner = sandboxes, runner
        self._waiters = Waiters()
        self._pending: dict[str, set[ContainerStream]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        # Set by Containers: what becomes of a container that was run with --rm.
        self.on_exit_remove: Callable[[Container], Coroutine[None, None, None]] = _keep

    async def start(self, id_: str) -> None:
        """Start a container by its whole id; raises NotModifiedError when it runs."""
        async with self._locks.held(id_):
            container = self._present(id_)
            if container.state.running:
                raise NotModifiedError(f"container {container.name} is already running")
            if container.state.removing:
                raise ConflictError(
                    f"container {container.name} is marked for removal and cannot be started"
                )
            await self._start(container)

    async def stop(self, id_: str, timeout_s: int | None, signal: str) -> None:
        """Ask the process to end, kill it after the timeout (-1: never), return when it is gone."""
        container = await self.settled(id_)
        if not container.state.running:
            raise NotModifiedError(f"container {container.name} is not running")
        number = signal_number(signal or container.config.stop_signal or "TERM")
        if timeout_s is None:
            timeout_s = container.config.stop_timeout_s
        timeout = STOP_TIMEOUT_S if timeout_s is None else timeout_s
        ended = self._waiters.add(id_, "not-running")
        await self._signal(container, number)
        try:
            await asyncio.wait_for(asyncio.shield(ended), None if timeout < 0 else timeout)
        except TimeoutError:
            await self._kill_and_wait(container)
        self._events.container("stop", container)

    async def kill(self, id_: str, signal: str) -> None:
        """Send a signal, by name or number; after KILL the process is gone on return."""
        number = signal_number(signal)
        container = await self.settled(id_)
        if not container.state.running:
            raise ConflictError(
                f"cannot kill container: {container.name}: container {id_} is not running"
            )
        if number == signals.SIGKILL:
            await self._kill_and_wait(container)
        else:
            await self._signal(container, number)

    async def settled(self, id_: str) -> Container:
        """Return a container once a start of it that is under way has ended."""
        if self._present(id_).state.starting:
            async with self._locks.held(id_):
                log.debug("the start of %s has ended", id_)
        return self._present(id_)

    def waiter(self, container: Container, condition: Condition) -> "asyncio.Future[int]":
        """Return what to await for the exit code; registered when this returns."""
        if condition == "not-running" and not container.state.running:
            done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            done.set_result(container.state.exit_code)
            return done
        return self._waiters.add(container.id, condition)

    def removed(self, container: Container) -> None:
        """Tell all that wait for a removed container, and end its waiting streams."""
        self._waiters.removed(container.id, container.state.exit_code)
        self._connect_pending(container.id, None)

    async def attach(self, id_: str, *, stdout: bool, stderr: bool, stdin: bool) -> Stream:
        """Return a stream of a running container, or of one that is yet to be started."""
        async with self._locks.held(id_):
            container = self._present(id_)
            outputs = frozenset(
                number for number, wanted in ((STDOUT, stdout), (STDERR, stderr)) if wanted
            )
            if container.config.tty and outputs:
                outputs = frozenset({STDOUT})
            stream = ContainerStream(outputs, lambda each: self._forget(id_, each))
            if container.state.running:
                stream.connect(await self._runner.attach(container))
            else:
                self._pending.setdefault(id_, set()).add(stream)
            log.debug("attached to %s (input: %s)", container.name, stdin)
        self._events.container("attach", container)
        return stream

    async def resize(self, id_: str, rows: int, columns: int) -> None:
        """Set the size of a running container's terminal, in characters."""
        container = self._present(id_)
        if not container.state.running:
            raise ConflictError(f"container {id_} is not running")
        await self._runner.resize(container, rows, columns)
        self._events.container("resize", container, height=str(rows), width=str(columns))

    async def adopt(self, container: Container) -> None:
        """Watch a container that ran before this daemon did."""
        self._watch(container)

    async def discard(self, container: Container) -> Container:
        """Take down whatever there is of a container that does not run; repeatable."""
        # As it is stored, with all that a start has leased, whatever the caller knew.
        container = self._store.containers.get(container.id) or container
        # At once, because one waits for the OCI runtime and the other for the kernel.
        _, closed = await together(
            self._runner.cleanup(container.id), self._sandboxes.close(container)
        )
        return closed

    async def close(self) -> None:
        """Stop watching; the containers go on. Ends that are being dealt with are finished."""
        for watch in tuple(self._watches):
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        while self._endings:
            await asyncio.gather(*self._endings, return_exceptions=True)

    async def _start(self, container: Container) -> None:
        container = self._put(replace(container, state=replace(container.state, starting=True)))
        try:
            async with AsyncExitStack() as undo:
                undo.push_async_callback(self.discard, container)
                container = await self._sandboxes.open(container)
                pid = await self._runner.create(container, self._sandboxes.path(container))
                container = self._put(replace(container, state=replace(container.state, pid=pid)))
                await self._attach_pending(container)
                await self._runner.start(container)
                container = self._put(
                    replace(container, state=State(Status.RUNNING, pid=pid, started=now()))
                )
                undo.pop_all()
        except BaseException as error:
            self._failed(container, error)
            raise
        log.info("started %s (pid %d)", container.name, pid)
        for endpoint in container.endpoints:
            network = self._store.networks.get(endpoint.network_id)
            if network:
                self._events.network("connect", network, container=container.id)
        self._events.container("start", container)
        self._watch(container)

    def _failed(self, container: Container, error: BaseException) -> None:
        self._connect_pending(container.id, None)
        current = self._store.containers.get(container.id)
        if current is None:
            return
        code = error.exit_code if isinstance(error, StartError) else 128
        state = replace(current.state, starting=False, pid=0, error=str(error), exit_code=code)
        current = self._noted(replace(current, state=state))
        # A run with --rm whose start failed: its waiting client learns the code from here.
        self._waiters.exited(current.id, code)
        if current.host.auto_remove:
            self._spawn(self._endings, self.on_exit_remove(current))

    async def _signal(self, container: Container, number: int) -> None:
        # Told before it is done: the end that it brings is told by somebody else.
        self._events.container("kill", container, signal=str(number))
        await self._runner.kill(container, number)

    async def _kill_and_wait(self, container: Container) -> None:
        ended = self._waiters.add(container.id, "not-running")
        await self._signal(container, signals.SIGKILL)
        try:
            await asyncio.wait_for(ended, KILL_TIMEOUT_S)
        except TimeoutError:
            raise InternalError(
                f"container {container.name} (pid {container.state.pid}) does not end although "
                "it was killed"
            ) from None

    def _watch(self, container: Container) -> None:
        self._spawn(self._watches, self._until_exit(container))

    async def _until_exit(self, container: Container) -> None:
        ended = _noted_exit(container.state) or await self._runner.exit(container)
        self._spawn(self._endings, self._end(container.id, ended))

    async def _end(self, id_: str, ended: Exit) -> None:
        async with self._locks.held(id_):
            container = self._store.containers.get(id_)
            if container is None or not container.state.running:
                return
            # How it ended is stored before the first trace of it goes: a daemon that is ended in
            # the middle leaves to the next one what only this one has seen.
            state = replace(
                container.state,
                exit_code=ended.code,
                oom_killed=ended.oom_killed,
                error=ended.error,
                finished=ended.finished,
            )
            await self._ended(self._noted(replace(container, state=state)), ended)

    async def _ended(self, container: Container, ended: Exit) -> None:
        self._events.container("die", container, exitCode=str(ended.code))
        error = ""
        try:
            container = await self.discard(container)
        except (NetdError, OSError, ExceptionGroup) as problem:
            # The end is told all the same; the next start or the recovery takes down the rest.
            log.exception("container %s ended, but not all of it is gone", container.name)
            error = str(problem)
        for endpoint in container.endpoints:
            network = self._store.networks.get(endpoint.network_id)
            if network:
                self._events.network("disconnect", network, container=container.id)
        current = self._store.containers.get(container.id) or container
        state = State(
            Status.EXITED,
            exit_code=ended.code,
            error=error or ended.error,
            oom_killed=ended.oom_killed,
            started=current.state.started,
            finished=ended.finished,
        )
        current = self._noted(replace(current, state=state))
        log.info("%s exited with %d", current.name, ended.code)
        self._waiters.exited(current.id, ended.code)
        if current.host.auto_remove:
            self._spawn(self._endings, self.on_exit_remove(current))

    async def _attach_pending(self, container: Container) -> None:
        for stream in self._pending.pop(container.id, set()):
            stream.connect(await self._runner.attach(container))

    def _connect_pending(self, id_: str, source: Stream | None) -> None:
        for stream in self._pending.pop(id_, set()):
            stream.connect(source)

    def _forget(self, id_: str, stream: ContainerStream) -> None:
        waiting = self._pending.get(id_, set())
        waiting.discard(stream)
        if not waiting:
            self._pending.pop(id_, None)

    def _present(self, id_: str) -> Container:
        container = self._store.containers.get(id_)
        if container is None:
            raise NotFoundError(f"No such container: {id_}")
        return container

    def _put(self, container: Container) -> Container:
        self._store.containers.put(container)
        return container

    def _noted(self, container: Container) -> Container:
        # An end is told to those who wait for it even when the disk is full.
        self._store.containers.note(container)
        return container

    def _spawn(self, kind: set[asyncio.Task[None]], work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        kind.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._watches.discard(task)
        self._endings.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a container's watch failed", exc_info=task.exception())


def _noted_exit(state: State) -> Exit | None:
    """Return how a container ended whose end was noted and not dealt with to the end."""
    if state.finished is None:
        return None
    return Exit(state.exit_code, state.oom_killed, state.finished, state.error)


async def _keep(container: Container) -> None:
    del container
