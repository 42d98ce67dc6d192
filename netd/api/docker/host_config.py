"""Docker's HostConfig: how the host runs a container, decoded and encoded."""

from ipaddress import ip_address
from typing import Literal

from msgspec import Struct

from netd.api.docker.mounts import MountPoint, binds_answer, mounts, tmpfs_answer
from netd.api.docker.ports import Bindings, bindings_answer
from netd.api.docker.shapes import Characters, Int64, Json, TextMap, Texts, or_null, text_map, texts
from netd.errors import InvalidError
from netd.model import HostConfig, PortRequest, Resources, Ulimit

_MEMORY_AT_LEAST = 6 << 20


class LogConfig(Struct, rename="pascal"):
    """Where output is kept."""

    type: str | None = None
    config: TextMap = None


class UlimitSettings(Struct, rename="pascal"):
    """An entry of `Ulimits`."""

    name: str
    soft: Int64
    hard: Int64


class HostSettings(Struct, rename="pascal"):
    """The fields that netd honours; the rest is in `refused`."""

    network_mode: str | None = None
    auto_remove: bool | None = None
    binds: Texts = None
    tmpfs: TextMap = None
    mounts: list[MountPoint] | None = None
    dns: Texts = None
    dns_search: Texts = None
    dns_options: Texts = None
    extra_hosts: Texts = None
    privileged: bool | None = None
    readonly_rootfs: bool | None = None
    cap_add: Texts = None
    cap_drop: Texts = None
    group_add: Texts = None
    security_opt: Texts = None
    sysctls: TextMap = None
    shm_size: Int64 | None = None
    oom_score_adj: Int64 | None = None
    runtime: str | None = None
    init: bool | None = None
    log_config: LogConfig | None = None
    console_size: tuple[Characters, Characters] | None = None
    memory: Int64 | None = None
    memory_reservation: Int64 | None = None
    memory_swap: Int64 | None = None
    nano_cpus: Int64 | None = None
    cpu_shares: Int64 | None = None
    cpu_period: Int64 | None = None
    cpu_quota: Int64 | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: Int64 | None = None
    ulimits: list[UlimitSettings] | None = None
    port_bindings: Bindings = None
    publish_all_ports: bool | None = None


def host_config(
    settings: HostSettings, network_mode: str, ports: tuple[PortRequest, ...]
) -> HostConfig:
    """Return the model's value; raises InvalidError for what cannot be, in Docker's words."""
    default = HostConfig()
    for server in texts(settings.dns):
        _check_address("dns", server)
    for what, words in (("search domain", settings.dns_search), ("option", settings.dns_options)):
        for word in texts(words):
            # They become lines of resolv.conf.
            if not word.isprintable() or word.split() != [word]:
                raise InvalidError(f"invalid DNS {what}: {word!r}")
    for line in texts(settings.extra_hosts):
        _check_host_line(line)
    shm_size = settings.shm_size or default.shm_size
    if shm_size < 0:
        raise InvalidError(f"SHM size can not be less than 0: {shm_size}")
    oom_score_adj = settings.oom_score_adj or 0
    if not -1000 <= oom_score_adj <= 1000:
        raise InvalidError(
            f"Invalid value {oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    return HostConfig(
        network_mode=network_mode,
        auto_remove=bool(settings.auto_remove),
        dns=texts(settings.dns),
        dns_search=texts(settings.dns_search),
        dns_options=texts(settings.dns_options),
        extra_hosts=texts(settings.extra_hosts),
        privileged=bool(settings.privileged),
        read_only_rootfs=bool(settings.readonly_rootfs),
        cap_add=texts(settings.cap_add),
        cap_drop=texts(settings.cap_drop),
        group_add=texts(settings.group_add),
        security_opt=texts(settings.security_opt),
        sysctls=text_map(settings.sysctls),
        shm_size=shm_size,
        oom_score_adj=oom_score_adj,
        runtime=settings.runtime or "",
        init=bool(settings.init),
        log_driver=_log_driver(settings.log_config or LogConfig()),
        mounts=mounts(
            texts(settings.binds), text_map(settings.tmpfs), tuple(settings.mounts or ())
        ),
        resources=_resources(settings),
        ports=ports,
        publish_all=bool(settings.publish_all_ports),
        console_size=settings.console_size or (0, 0),
    )


def host_config_answer(host: HostConfig) -> Json:
    """Return HostConfig as inspect gives it, with the fields that are always empty here."""
    return {
        "Binds": binds_answer(host.mounts),
        "ContainerIDFile": "",
        "LogConfig": {"Type": host.log_driver, "Config": {}},
        "NetworkMode": host.network_mode,
        "PortBindings": bindings_answer(host.ports),
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": host.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": list(host.console_size),
        "CapAdd": or_null(host.cap_add),
        "CapDrop": or_null(host.cap_drop),
        "CgroupnsMode": "",
        "Dns": list(host.dns),
        "DnsOptions": list(host.dns_options),
        "DnsSearch": list(host.dns_search),
        "ExtraHosts": or_null(host.extra_hosts),
        "GroupAdd": or_null(host.group_add),
        "IpcMode": "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": host.oom_score_adj,
        "PidMode": "",
        "Privileged": host.privileged,
        "PublishAllPorts": host.publish_all,
        "ReadonlyRootfs": host.read_only_rootfs,
        "SecurityOpt": or_null(host.security_opt),
        **_map_answers(host),
        "UTSMode": "",
        "UsernsMode": "",
        "ShmSize": host.shm_size,
        "Runtime": host.runtime,
        "Isolation": "",
        **_resource_answers(host.resources),
    }


def _map_answers(host: HostConfig) -> Json:
    """Return the fields that Docker leaves out when they are empty."""
    answers: Json = {}
    if tmpfs := tmpfs_answer(host.mounts):
        answers["Tmpfs"] = tmpfs
    if host.sysctls:
        answers["Sysctls"] = dict(host.sysctls)
    if host.init:
        answers["Init"] = True
    return answers


def _resource_answers(limits: Resources) -> Json:
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": [],
        "BlkioDeviceWriteBps": [],
        "BlkioDeviceReadIOps": [],
        "BlkioDeviceWriteIOps": [],
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [],
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap,
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": limits.pids_limit or None,
        "Ulimits": [{"Name": u.name, "Hard": u.hard, "Soft": u.soft} for u in limits.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _resources(settings: HostSettings) -> Resources:
    _check_memory(settings)
    if settings.nano_cpus and (settings.cpu_period or settings.cpu_quota):
        other = "Period" if settings.cpu_period else "Quota"
        raise InvalidError(f"Conflicting options: Nano CPUs and CPU {other} cannot both be set.")
    for name in ("nano_cpus", "cpu_shares", "cpu_period"):
        if (getattr(settings, name) or 0) < 0:
            raise InvalidError(f"invalid {name.replace('_', ' ')}: {getattr(settings, name)}")
    return Resources(
        memory=settings.memory or 0,
        memory_reservation=settings.memory_reservation or 0,
        memory_swap=settings.memory_swap or 0,
        nano_cpus=settings.nano_cpus or 0,
        cpu_shares=settings.cpu_shares or 0,
        cpu_period=settings.cpu_period or 0,
        cpu_quota=max(0, settings.cpu_quota or 0),
        cpuset_cpus=settings.cpuset_cpus or "",
        cpuset_mems=settings.cpuset_mems or "",
        pids_limit=max(0, settings.pids_limit or 0),
        ulimits=tuple(Ulimit(u.name, u.soft, u.hard) for u in settings.ulimits or ()),
    )


def _check_memory(settings: HostSettings) -> None:
    memory, swap = settings.memory or 0, settings.memory_swap or 0
    reservation = settings.memory_reservation or 0
    if memory < 0 or reservation < 0 or swap < -1:
        raise InvalidError(f"invalid memory limits: {memory}, {reservation}, {swap}")
    if 0 < memory < _MEMORY_AT_LEAST or 0 < reservation < _MEMORY_AT_LEAST:
        raise InvalidError("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise InvalidError(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < swap < memory:
        raise InvalidError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory and reservation > memory:
        raise InvalidError(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _log_driver(config: LogConfig) -> Literal["json-file", "none"]:
    driver = config.type or ""
    if driver not in {"", "json-file", "none"}:
        raise InvalidError(f"logger: no log driver named '{driver}' is registered")
    if config.config:
        option = next(iter(config.config))
        raise InvalidError(f"unknown log opt '{option}' for {driver or 'json-file'} log driver")
    return "none" if driver == "none" else "json-file"


def _check_address(what: str, text: str) -> None:
    try:
        ip_address(text)
    except ValueError as error:
        raise InvalidError(f"invalid {what} address: {text!r}") from error


def _check_host_line(line: str) -> None:
    name, separator, address = line.partition(":")
    if not name or not separator or any(letter.isspace() for letter in name):
        raise InvalidError(f"bad format for add-host: {line!r}")
    if address != "host-gateway":
        _check_address("add-host", address.removeprefix("[").removesuffix("]"))
