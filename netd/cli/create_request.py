"""The body of `POST /containers/create` from the words of `run` and `create`.

What was not said is left out, so that the daemon's own defaults hold.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from netd.cli.errors import CliError
from netd.cli.mount_words import binds, mounts, tmpfs
from netd.cli.network_words import endpoint_settings, network_word, pairs
from netd.cli.port_words import bindings, exposed
from netd.cli.run_options import ContainerOptions
from netd.cli.units import octets

_STREAMS = ("stdin", "stdout", "stderr")

Json = dict[str, object]


def create_body(
    options: ContainerOptions,
    *,
    detach: bool,
    console: tuple[int, int] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Json:
    """Give the body; raises CliError for words that make no sense."""
    network, endpoints = _networks(options)
    streams = attached_streams(options, detach=detach)
    body: Json = {
        "Image": options.image,
        "Cmd": options.command or None,
        "Entrypoint": _entrypoint(options.entrypoint),
        "Env": variables(options.env, options.env_file, environment),
        "User": options.user,
        "WorkingDir": options.workdir,
        "Hostname": options.hostname,
        "Domainname": options.domainname,
        "Labels": pairs(_file_lines(options.label_file, "--label-file"), "--label-file")
        | pairs(options.label, "--label"),
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive and not detach,
        "AttachStdin": "stdin" in streams,
        "AttachStdout": "stdout" in streams,
        "AttachStderr": "stderr" in streams,
        "ExposedPorts": exposed(options.expose),
        "StopSignal": options.stop_signal,
        "StopTimeout": options.stop_timeout,
        "HostConfig": _host(options, network, console),
    }
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return _said(body)


def attached_streams(options: ContainerOptions, *, detach: bool) -> set[str]:
    """Give the streams to attach: those of `-a`, else output, error and with `-i` input."""
    unknown = [word for word in options.attach if word.lower() not in _STREAMS]
    if unknown:
        raise CliError(f"--attach {unknown[0]!r}: streams are {', '.join(_STREAMS)}")
    if detach and options.attach:
        raise CliError("--detach and --attach contradict each other")
    if detach:
        return set()
    if options.attach:
        return {word.lower() for word in options.attach}
    return {"stdout", "stderr"} | ({"stdin"} if options.interactive else set())


def variables(
    words: Sequence[str], files: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """Give `NAME=value` of files, then of flags; a bare NAME takes the client's value."""
    out = []
    for word in [*_file_lines(files, "--env-file"), *words]:
        name, separator, _ = word.partition("=")
        if not name or any(letter.isspace() for letter in name):
            raise CliError(f"environment variable {word!r} has no valid name")
        if separator:
            out.append(word)
        elif name in environment:
            out.append(f"{name}={environment[name]}")
    return out


def _networks(options: ContainerOptions) -> tuple[str, Json]:
    """Give the network mode and the endpoints' settings by network."""
    chosen = [network_word(word) for word in options.network] or [("default", {})]
    endpoints: Json = {}
    for name, settings in chosen:
        if name in endpoints:
            raise CliError(f"network {name} is given twice")
        endpoints[name] = settings
    first, settings = chosen[0]
    short = endpoint_settings(
        ipv4=options.ip,
        ipv6=options.ip6,
        mac=options.mac_address,
        aliases=options.network_alias,
        links=options.link,
    )
    both = sorted(settings.keys() & short.keys())
    if both:
        raise CliError(f"network {first}: {', '.join(both)} given by --network and on its own, too")
    endpoints[first] = settings | short
    if len(endpoints) > 1 or endpoints[first]:
        return first, endpoints
    return first, {}


def _host(options: ContainerOptions, network: str, console: tuple[int, int] | None) -> Json:
    swap = options.memory_swap
    return _said({
        "NetworkMode": network,
        "AutoRemove": options.rm,
        "PortBindings": bindings(options.publish),
        "PublishAllPorts": options.publish_all,
        "Binds": binds(options.volume),
        "Mounts": mounts(options.mount),
        "Tmpfs": tmpfs(options.tmpfs),
        "Dns": options.dns,
        "DnsSearch": options.dns_search,
        "DnsOptions": options.dns_option,
        "ExtraHosts": [_host_line(word) for word in options.add_host],
        "Privileged": options.privileged,
        "CapAdd": options.cap_add,
        "CapDrop": options.cap_drop,
        "SecurityOpt": _security(options.security_opt),
        "GroupAdd": options.group_add,
        "Sysctls": pairs(options.sysctl, "--sysctl"),
        "ReadonlyRootfs": options.read_only,
        "Init": options.init,
        "Runtime": options.runtime,
        "LogConfig": {"Type": options.log_driver} if options.log_driver else {},
        "ShmSize": _size(options.shm_size, "--shm-size"),
        "Memory": _size(options.memory, "--memory"),
        "MemoryReservation": _size(options.memory_reservation, "--memory-reservation"),
        "MemorySwap": -1 if swap == "-1" else _size(swap, "--memory-swap"),
        "NanoCpus": _nano_cpus(options.cpus),
        "CpuShares": options.cpu_shares,
        "CpuPeriod": options.cpu_period,
        "CpuQuota": options.cpu_quota,
        "CpusetCpus": options.cpuset_cpus,
        "CpusetMems": options.cpuset_mems,
        "PidsLimit": options.pids_limit,
        "Ulimits": [_ulimit(word) for word in options.ulimit],
        "OomScoreAdj": options.oom_score_adj,
        "ConsoleSize": list(console) if console and options.tty else None,
    })  # fmt: skip


def _said(values: Json) -> Json:
    """Leave out what is empty: the API's zero values mean the same."""
    return {
        key: value
        for key, value in values.items()
        if value or (key == "StopTimeout" and value is not None)
    }


def _entrypoint(word: str | None) -> list[str] | None:
    if word is None:
        return None
    return [word]  # an empty word is kept: it takes the image's entrypoint away


def _file_lines(files: Sequence[str], flag: str) -> list[str]:
    lines: list[str] = []
    for name in files:
        try:
            text = Path(name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"{flag}: cannot read {name!r}: {error}") from error
        lines += [line.lstrip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _host_line(word: str) -> str:
    name, separator, address = word.partition("=") if "=" in word else word.partition(":")
    if not (name and separator and address):
        raise CliError(f"--add-host {word!r} has no address", "write it as name:address")
    return f"{name}:{address.removeprefix('[').removesuffix(']')}"


def _security(words: Sequence[str]) -> list[str]:
    """Give security options; a seccomp profile is a file of the client's, sent whole."""
    out = []
    for word in words:
        key, separator, value = word.partition("=")
        if key == "seccomp" and separator and value not in {"unconfined", "builtin"}:
            try:
                value = Path(value).read_text()
            except OSError as error:
                raise CliError(
                    f"--security-opt: cannot read {value!r}: {error.strerror}"
                ) from error
            out.append(f"seccomp={value}")
        else:
            out.append(word)
    return out


def _size(word: str, flag: str) -> int:
    return octets(word, flag) if word else 0


def _nano_cpus(word: str) -> int:
    if not word:
        return 0
    try:
        count = float(word)
    except ValueError as error:
        raise CliError(f"--cpus {word!r} is no number", "for example --cpus 1.5") from error
    return round(count * 1_000_000_000)


def _ulimit(word: str) -> Json:
    name, _, limits = word.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError as error:
        raise CliError(
            f"--ulimit {word!r} is no limit", "for example --ulimit nofile=1024:2048"
        ) from error
