"""Containers watched by conmon: made, attached to, resized, executed in, and seen to end.

One conmon a container keeps its output, its exit code and its terminal, and belongs to nobody: it
goes on when the daemon stops, and the next daemon finds everything in the container's folder.

```
daemon ── start byte ──> conmon ──> runc create        bundle: config.json conmon.pid pidfile
       <── {"data": pid} ──┘                                   attach ctl oom oci.log exec/
       <══ attach (SEQPACKET) ══> output and input     exits:  <id>
```
"""

import asyncio
import json
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from runtime import exits
from runtime.conmon import clean, launch, read_pid, runtime_words
from runtime.execs import ExecRequest, ExecSession, open_session, remove_sessions
from runtime.exits import Exit
from runtime.oci import OciRuntime
from runtime.streams import AttachStream, connect
from runtime.terminals import set_size

_ACCEPT_TIMEOUT_S = 1  # it takes microseconds, unless somebody else does not read his output
_CONFIG = "config.json"


class Monitor:
    """All containers of one OCI runtime; needs a running asyncio loop."""

    def __init__(self, conmon: Path, runtime: OciRuntime, exits_folder: Path) -> None:
        """Use the program `conmon`; exit files come into `exits_folder`, which is made."""
        self.runtime = runtime
        self._conmon = conmon
        self._exits = exits_folder
        # With the folder each belongs to; whoever drops a stream unread is none of our business.
        self._streams = WeakKeyDictionary[AttachStream, Path]()
        self._sessions: set[asyncio.Task[int]] = set()

    async def create(
        self, id_: str, name: str, bundle: Path, log_path: Path | None = None, *,
        tty: bool = False, stdin: bool = False, stdin_once: bool = False,
    ) -> int:  # fmt: skip
        """Make a container, not started yet; return the id of its process, which waits.

        `bundle` holds what `write_config` wrote; what an earlier run left there is removed. Without
        `log_path` output that nobody is attached to is dropped. With `stdin_once` the input ends
        when the first who was attached leaves. Raises OciError with the OCI runtime's words, or
        MonitorError; nothing is left then.
        """
        self.forget(id_, bundle)
        self._exits.mkdir(parents=True, exist_ok=True)
        flags = {
            "-t": tty,
            "-i": stdin,
            # A terminal stays usable when one of several clients leaves.
            "--leave-stdin-open": tty or not stdin_once,
        }
        words = self._words(id_, name, bundle, log_path)
        words += [flag for flag, wanted in flags.items() if wanted]
        making = asyncio.ensure_future(self._made(words, bundle))
        try:
            return await asyncio.shield(making)
        except BaseException:
            # Cancelled or not: conmon cannot be called back halfway, it would go on unseen.
            await asyncio.wait([making])
            await self._undo(id_, bundle)
            raise

    async def attach(self, bundle: Path, *, stdin: bool = True) -> AttachStream:
        """Attach to a created or running container.

        Done before its start, all output arrives. Without `stdin`, as it must be when the
        container takes no input, what is written is dropped.
        """
        stream = AttachStream(await connect(bundle), stdin=stdin)
        try:
            await stream.accepted(_ACCEPT_TIMEOUT_S)
        except BaseException:
            stream.close()
            raise
        self._streams[stream] = bundle
        return stream

    async def resize(self, bundle: Path, rows: int, columns: int) -> None:
        """Set the size of a created or running container's terminal.

        `bundle` may also be the `folder` of an exec session.
        """
        set_size(read_pid(bundle / "conmon.pid"), rows, columns)

    async def kill(self, id_: str, bundle: Path, number: int) -> None:
        """Send a signal to a container's first process; NotRunningError when there is none."""
        if not exits.send_signal(id_, bundle, number):
            # A process that left its cgroup is known to the OCI runtime all the same.
            await self.runtime.kill(id_, number)

    async def exec(
        self, id_: str, session_id: str, bundle: Path, process: dict[str, Any], *,
        tty: bool = False, stdin: bool = False, attach: bool = True,
    ) -> ExecSession:  # fmt: skip
        """Start a further process, OCI's `process` (see `bundle.exec_process`).

        With `attach` the session has a stream, and with `stdin` that takes input. Raises OciError,
        exit_code 126 or 127 if it cannot be run.
        """
        request = ExecRequest(
            container_id=id_, session_id=session_id, bundle=bundle,
            process=process | {"terminal": tty}, stdin=stdin, attach=attach,
        )  # fmt: skip
        opening = asyncio.ensure_future(open_session(self._conmon, self.runtime, request))
        try:
            session = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            if not opening.exception():
                self._keep(opening.result())
                opening.result().abandon()
            raise
        self._keep(session)
        return session

    async def exited(self, id_: str, bundle: Path) -> Exit:
        """Wait until a container has ended, whoever started it, and all its output is written.

        It may also have ended while nobody watched. Any number may wait; cancelling leaves nothing
        behind.
        """
        return await exits.exited(id_, bundle, self._exits, lambda: self._drain(bundle))

    def forget(self, id_: str, bundle: Path) -> None:
        """Remove what conmon left of a container that has ended. May be repeated.

        Ends its conmon, which is gone already if somebody waited for `exited`.
        """
        exits.kill_conmon(id_, bundle)
        clean(bundle)
        remove_sessions(bundle)
        exits.forget(id_, self._exits)

    def forget_sessions(self, bundle: Path) -> None:
        """Remove what exec sessions of an earlier daemon left; their processes may run on."""
        remove_sessions(bundle)

    async def close(self) -> None:
        """Let go of all streams and exec sessions; containers and their processes go on."""
        for stream in list(self._streams):
            stream.close()
        sessions = list(self._sessions)
        for session in sessions:
            session.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)

    async def _made(self, words: list[str], bundle: Path) -> int:
        conmon = await launch(self._conmon, words, folder=bundle)
        try:
            return await conmon.pid()
        finally:
            conmon.close()
            conmon.sync.close()

    def _words(self, id_: str, name: str, bundle: Path, log_path: Path | None) -> list[str]:
        log = f"k8s-file:{log_path}" if log_path else "none:"
        return [
            "--api-version", "-c", id_, "-u", id_, "-n", name,
            *runtime_words(self.runtime, bundle), "-b", str(bundle),
            "-p", str(bundle / "pidfile"), "-P", str(bundle / "conmon.pid"), "-l", log,
            # Docker does not sync logs to disk either; it would cost each exit milliseconds.
            "--exit-dir", str(self._exits), "--full-attach", "--no-sync-log",
            "--log-level", "error",
        ]  # fmt: skip

    async def _undo(self, id_: str, bundle: Path) -> None:
        exits.kill_conmon(id_, bundle)
        await self.runtime.delete(id_, force=True)
        self.forget(id_, bundle)

    def _keep(self, session: ExecSession) -> None:
        if session.stream:
            self._streams[session.stream] = session.folder
        self._sessions.add(session.ended)
        session.ended.add_done_callback(self._sessions.discard)

    def _drain(self, bundle: Path) -> None:
        for stream, of in list(self._streams.items()):
            if of == bundle:
                stream.drain()


def write_config(bundle: Path, config: dict[str, Any]) -> None:
    """Make a bundle's folder, for root alone, and write its config.json. May be repeated."""
    bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = bundle / f".{_CONFIG}.part"
    part.write_text(json.dumps(config), encoding="utf-8")
    part.rename(bundle / _CONFIG)


def read_config(bundle: Path) -> dict[str, Any]:
    """Return a bundle's config.json."""
    config: dict[str, Any] = json.loads((bundle / _CONFIG).read_text(encoding="utf-8"))
    return config
