"""Containers as inspect and lists give them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from netd.api.docker.endpoints import endpoint_answer
from netd.api.docker.host_config import host_config_answer
from netd.api.docker.mounts import mount_answers
from netd.api.docker.port_answers import port_list_answer, ports_answer
from netd.api.docker.shapes import Json
from netd.api.docker.times import duration, rfc3339, unix
from netd.api.versions import Version
from netd.model import Container, Endpoint, Status

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = (
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
)  # fmt: skip


class Places(Struct, frozen=True):
    """Where a container's things are on the host."""

    folder: Path  # hosts, hostname, resolv.conf, ctr.log, the writable layer
    rootfs: Path  # where its root file system is mounted
    layers: Sequence[Path]  # lowest first
    sandbox: Path | None  # absent: the host's network namespace


def container_answer(
    container: Container, places: Places, execs: Sequence[str], version: Version, runtime: str
) -> Json:
    """Return a container as `GET /containers/{id}/json` gives it."""
    return {
        "Id": container.id,
        "Created": rfc3339(container.created),
        "Path": container.path,
        "Args": list(container.args),
        "State": _state(container),
        "Image": container.image_id,
        **_file_answers(container, places.folder),
        "Name": f"/{container.name}",
        "RestartCount": 0,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(execs) or None,
        "HostConfig": _host_config(container, runtime),
        "GraphDriver": _graph_driver(places),
        "Mounts": mount_answers(container.host.mounts),
        "Config": _config(container),
        "NetworkSettings": _network_settings(container, places.sandbox, version),
    }


def summary_answer(container: Container, image: str, now: datetime, version: Version) -> Json:
    """Return a container as `GET /containers/json` gives it; `image` is its name by now."""
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": image,
        "ImageID": container.image_id,
        "Command": _command(container),
        "Created": unix(container.created),
        "Ports": port_list_answer(container),
        "Labels": dict(container.config.labels),
        "State": container.state.status.value,
        "Status": status_text(container, now),
        "HostConfig": {"NetworkMode": container.host.network_mode},
        "NetworkSettings": {"Networks": _networks(container, version)},
        "Mounts": mount_answers(container.host.mounts),
    }


def status_text(container: Container, now: datetime | None = None) -> str:
    """Return the words of `docker ps`: Up 3 seconds, Exited (0) 2 minutes ago, Created."""
    state, now = container.state, now or datetime.now(UTC)
    if state.status is Status.RUNNING:
        return f"Up {duration((now - (state.started or now)).total_seconds())}"
    if state.status is Status.EXITED:
        ago = duration((now - (state.finished or now)).total_seconds())
        return f"Exited ({state.exit_code}) {ago} ago"
    return state.status.value.capitalize()


def _state(container: Container) -> Json:
    state = container.state
    return {
        "Status": state.status.value,
        "Running": state.running,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid if state.running else 0,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started),
        "FinishedAt": rfc3339(state.finished),
    }


def _file_answers(container: Container, folder: Path) -> Json:
    started = container.state.started is not None
    files = {
        "ResolvConfPath": "resolv.conf",
        "HostnamePath": "hostname",
        "HostsPath": "hosts",
        "LogPath": "ctr.log" if container.host.log_driver != "none" else "",
    }
    return {key: str(folder / file) if started and file else "" for key, file in files.items()}


def _host_config(container: Container, runtime: str) -> Json:
    answer = host_config_answer(container.host)
    answer["Runtime"] = container.host.runtime or runtime
    open_ = container.host.privileged or "systempaths=unconfined" in container.host.security_opt
    answer["MaskedPaths"] = [] if open_ else list(MASKED_PATHS)
    answer["ReadonlyPaths"] = [] if open_ else list(READONLY_PATHS)
    return answer


def _graph_driver(places: Places) -> Json:
    return {
        "Data": {
            "LowerDir": ":".join(str(path) for path in reversed(places.layers)),
            "MergedDir": str(places.rootfs),
            "UpperDir": str(places.folder / "upper"),
            "WorkDir": str(places.folder / "work"),
        },
        "Name": "overlay2",
    }


def _config(container: Container) -> Json:
    config = container.config
    answer: Json = {
        "Hostname": config.hostname,
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": config.attach_stdin,
        "AttachStdout": config.attach_stdout,
        "AttachStderr": config.attach_stderr,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": list(config.env),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Image": config.image,
        "Volumes": None,
        "WorkingDir": config.working_dir,
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "OnBuild": None,
        "Labels": dict(config.labels),
    }
    if config.exposed_ports:
        answer["ExposedPorts"] = {port: {} for port in config.exposed_ports}
    if config.stop_signal:
        answer["StopSignal"] = config.stop_signal
    if config.stop_timeout_s is not None:
        answer["StopTimeout"] = config.stop_timeout_s
    return answer


def _network_settings(container: Container, sandbox: Path | None, version: Version) -> Json:
    up = container.state.running
    default = next((each for each in container.endpoints if each.network_name == "bridge"), None)
    return {
        "Bridge": "",
        "SandboxID": container.id if up else "",
        "SandboxKey": str(sandbox) if up and sandbox else "",
        "Ports": ports_answer(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **_default_bridge(container, default, version),
        "Networks": _networks(container, version),
    }


def _default_bridge(container: Container, endpoint: Endpoint | None, version: Version) -> Json:
    """Return what stands on top for the default bridge only, empty without it."""
    whole = endpoint_answer(container, endpoint, version) if endpoint else {}
    empty: Json = {
        "EndpointID": "", "Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
        "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "MacAddress": "",
    }  # fmt: skip
    return {key: whole.get(key, value) for key, value in empty.items()}


def _networks(container: Container, version: Version) -> Json:
    return {
        endpoint.network_name: endpoint_answer(container, endpoint, version)
        for endpoint in container.endpoints
    }


def _command(container: Container) -> str:
    words = (f"'{word}'" if " " in word else word for word in container.args)
    return " ".join([container.path, *words])
