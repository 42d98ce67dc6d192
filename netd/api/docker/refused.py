"""What netd cannot do for a container yet: said, never dropped in silence.

Clients fill in every key, so a value that means "not set" is none. What is harmless beside that
stands in the tables: the field's name, then the values that change nothing here.
"""

from collections.abc import Mapping

from netd.api.docker.shapes import Json, unset
from netd.errors import InvalidError

HOST_CONFIG: Mapping[str, tuple[object, ...]] = {
    "Links": (),
    "VolumesFrom": (),
    "VolumeDriver": ("local",),
    "Devices": (),
    "DeviceCgroupRules": (),
    "DeviceRequests": (),
    "UsernsMode": ("host",),  # ids are never shifted
    "PidMode": ("private",),
    "IpcMode": ("private",),
    "UTSMode": ("private",),
    "CgroupnsMode": (),
    "Cgroup": (),
    "CgroupParent": (),
    "Isolation": ("default",),
    "StorageOpt": (),
    "Annotations": (),
    "OomKillDisable": (),
    "MemorySwappiness": (),
    "KernelMemory": (),
    "KernelMemoryTCP": (),
    "BlkioWeight": (),
    "BlkioWeightDevice": (),
    "BlkioDeviceReadBps": (),
    "BlkioDeviceWriteBps": (),
    "BlkioDeviceReadIOps": (),
    "BlkioDeviceWriteIOps": (),
    "CpuRealtimePeriod": (),
    "CpuRealtimeRuntime": (),
    "CpuCount": (),
    "CpuPercent": (),
    "IOMaximumIOps": (),
    "IOMaximumBandwidth": (),
}
# Here an empty list means something: nothing is masked.
NULL_ONLY = ("MaskedPaths", "ReadonlyPaths")
CONFIG: Mapping[str, tuple[object, ...]] = {
    "Volumes": (),
    "NetworkDisabled": (),
    "Healthcheck": ({"Test": ["NONE"]},),  # none at all is what there is
}


def check_refused(config: Json, host: Json) -> None:
    """Raise InvalidError that names each field, and its value, that cannot be honoured."""
    problems = [
        *_problems("", config, CONFIG),
        *_problems("HostConfig.", host, HOST_CONFIG),
        *(
            f"HostConfig.{name} is {_shown(host[name])}"
            for name in NULL_ONLY
            if host.get(name) is not None
        ),
        *_policy_problems(host),
    ]
    if problems:
        raise InvalidError(f"netd does not support: {'; '.join(problems)}")


def _problems(prefix: str, given: Json, table: Mapping[str, tuple[object, ...]]) -> list[str]:
    return [
        f"{prefix}{name} is {_shown(given[name])}"
        for name, harmless in table.items()
        if not unset(given.get(name)) and _said(given[name]) not in harmless
    ]


def _policy_problems(host: Json) -> list[str]:
    policy = host.get("RestartPolicy")
    if unset(policy) or not isinstance(policy, dict):
        return []
    if policy.get("Name") in {None, "", "no"} and unset(policy.get("MaximumRetryCount")):
        return []
    return [f"HostConfig.RestartPolicy is {_shown(policy)}"]


def _said(value: object) -> object:
    """Return a value without what is not set in it."""
    if isinstance(value, dict):
        return {key: each for key, each in value.items() if not unset(each)}
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
