"""Execs: further processes in running containers."""

import asyncio
import logging

from msgspec.structs import replace

from netd.errors import ConflictError, InvalidError, NotFoundError
from netd.events import Events
from netd.model import Container, Exec, ExecRequest
from netd.naming import new_id
from netd.runner import ExecProcess, Runner, StartError
from netd.store import Store
from netd.streams import Stream

log = logging.getLogger(__name__)

KEPT = 256  # execs that do not run, for whoever asks about their exit code


class Execs:
    """The execs of all containers.

    One is known while it runs, then until its container ends or `KEPT` younger ones have ended: a
    container whose health is asked by an exec would have millions in a year.
    """

    def __init__(self, store: Store, events: Events, runner: Runner) -> None:
        self._store, self._events, self._runner = store, events, runner
        self._execs: dict[str, Exec] = {}
        self._processes: dict[str, ExecProcess] = {}
        self._watches: set[asyncio.Task[None]] = set()

    async def create(self, container_reference: str, request: ExecRequest) -> Exec:
        """Register a process for a running container."""
        container = self._store.containers.find(container_reference.removeprefix("/"))
        self._check_running(container)
        if not request.cmd or not request.cmd[0]:
            raise InvalidError("no exec command specified")
        exec_ = Exec(new_id(), container.id, request)
        self._forget()
        self._execs[exec_.id] = exec_
        self._events.container(f"exec_create: {' '.join(request.cmd)}", container, execID=exec_.id)
        return exec_

    def exec(self, id_: str) -> Exec:
        """Return an exec by its id."""
        if id_ not in self._execs:
            raise NotFoundError(f"No such exec instance: {id_}")
        return self._execs[id_]

    def check(self, id_: str) -> Container:
        """Return an exec's container; raises if that is gone or does not run."""
        container = self._store.containers.get(self.exec(id_).container_id)
        if container is None:
            raise NotFoundError(f"No such container: {self.exec(id_).container_id}")
        self._check_running(container)
        return container

    def of(self, container_id: str) -> list[str]:
        """Return the ids of a container's execs that run."""
        return [e.id for e in self._execs.values() if e.container_id == container_id and e.running]

    async def start(
        self, id_: str, *, detach: bool, console_size: tuple[int, int] | None = None
    ) -> Stream | None:
        """Run the process; return its stream, or None when detached.

        Raises InvalidError when the command cannot be run; its exit code is then 126 or 127.
        """
        exec_, container = self.exec(id_), self.check(id_)
        if exec_.running or exec_.exit_code is not None:
            raise ConflictError(f"Error: Exec command {id_} has already run")
        self._put(replace(exec_, running=True))
        try:
            process = await self._runner.exec(
                container, exec_, attach=not detach, console=console_size
            )
        except BaseException as error:
            code = error.exit_code if isinstance(error, StartError) else 126
            self._put(replace(exec_, running=False, exit_code=code))
            raise
        self._put(replace(exec_, running=True, pid=process.pid))
        self._processes[id_] = process
        command = " ".join(exec_.request.cmd)
        self._events.container(f"exec_start: {command}", container, execID=id_)
        watch = asyncio.create_task(self._until_exit(id_, container))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return _ExecStream(process.stream, watch) if process.stream else None

    async def resize(self, id_: str, rows: int, columns: int) -> None:
        """Set the size of a running exec's terminal."""
        exec_ = self.exec(id_)
        if not exec_.running or id_ not in self._processes:
            raise ConflictError(f"exec {id_} is not running")
        await self._processes[id_].resize(rows, columns)

    async def close(self) -> None:
        """Stop watching; the processes go on."""
        for watch in tuple(self._watches):
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    async def _until_exit(self, id_: str, container: Container) -> None:
        code = await self._processes[id_].exit()
        del self._processes[id_]
        self._put(replace(self._execs[id_], running=False, exit_code=code))
        self._events.container("exec_die", container, execID=id_, exitCode=str(code))

    def _put(self, exec_: Exec) -> None:
        self._execs[exec_.id] = exec_

    def _check_running(self, container: Container) -> None:
        if not container.state.running:
            raise ConflictError(f"container {container.id} is not running")

    def _forget(self) -> None:
        idle = [exec_ for exec_ in self._execs.values() if not exec_.running]
        known = [exec_ for exec_ in idle if self._runs(exec_.container_id)]
        kept = {exec_.id for exec_ in known[-KEPT:]}
        for exec_ in idle:
            if exec_.id not in kept:
                del self._execs[exec_.id]

    def _runs(self, container_id: str) -> bool:
        container = self._store.containers.get(container_id)
        return container is not None and container.state.running


class _ExecStream:
    """An exec's stream whose end comes after its exit code is known, as clients count on."""

    def __init__(self, stream: Stream, watch: "asyncio.Task[None]") -> None:
        self._stream, self._watch = stream, watch
        self.write, self.write_eof, self.close = stream.write, stream.write_eof, stream.close

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece; None once all came and the exit code is known."""
        piece = await self._stream.read()
        if piece is None:
            await asyncio.shield(self._watch)
        return piece
