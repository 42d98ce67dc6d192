"""Execs: their requests decoded, their state encoded."""

from msgspec import Struct

from netd.api.docker.shapes import Json, Texts, texts
from netd.api.keys import detach_keys
from netd.errors import InvalidError
from netd.model import Exec, ExecRequest


class CreateExec(Struct, rename="pascal"):
    """The body of `POST /containers/{id}/exec`."""

    cmd: list[str] | str | None = None
    env: Texts = None
    user: str | None = None
    working_dir: str | None = None
    tty: bool | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    privileged: bool | None = None
    detach_keys: str | None = None


class StartExec(Struct, rename="pascal"):
    """The body of `POST /exec/{id}/start`; the terminal is the one of its creation."""

    detach: bool | None = None
    tty: bool | None = None
    console_size: tuple[int, int] | None = None


def exec_request(body: CreateExec) -> ExecRequest:
    """Return what a client wants run; raises InvalidError."""
    cmd = (body.cmd,) if isinstance(body.cmd, str) else tuple(body.cmd or ())
    if not cmd or not cmd[0]:
        raise InvalidError("No exec command specified")
    for entry in texts(body.env):
        if not entry or entry.startswith("="):
            raise InvalidError(f"invalid environment variable: {entry!r}")
    if body.working_dir and not body.working_dir.startswith("/"):
        raise InvalidError(
            f"the working directory '{body.working_dir}' is invalid, it needs to be an absolute "
            "path"
        )
    detach_keys(body.detach_keys or "")
    return ExecRequest(
        cmd=cmd,
        env=texts(body.env),
        user=body.user or "",
        working_dir=body.working_dir or "",
        tty=bool(body.tty),
        attach_stdin=bool(body.attach_stdin),
        attach_stdout=bool(body.attach_stdout),
        attach_stderr=bool(body.attach_stderr),
        privileged=bool(body.privileged),
        detach_keys=body.detach_keys or "",
    )


def console_size(body: StartExec) -> tuple[int, int] | None:
    """Return the terminal's rows and columns; absent: not said."""
    if not body.console_size or not all(body.console_size):
        return None
    if not all(0 < each < 65536 for each in body.console_size):
        raise InvalidError(f"invalid terminal size: {body.console_size}")
    return body.console_size


def exec_answer(exec_: Exec) -> Json:
    """Return an exec as `GET /exec/{id}/json` gives it."""
    request = exec_.request
    process: Json = {
        "tty": request.tty,
        "entrypoint": request.cmd[0],
        "arguments": list(request.cmd[1:]),
        "privileged": request.privileged,
    }
    if request.user:
        process["user"] = request.user
    return {
        "ID": exec_.id,
        "Running": exec_.running,
        "ExitCode": exec_.exit_code,
        "ProcessConfig": process,
        "OpenStdin": request.attach_stdin,
        "OpenStderr": request.attach_stderr,
        "OpenStdout": request.attach_stdout,
        "CanRemove": False,
        "ContainerID": exec_.container_id,
        "DetachKeys": request.detach_keys,
        "Pid": exec_.pid,
    }
