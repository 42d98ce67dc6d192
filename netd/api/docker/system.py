"""The daemon and its host as `GET /info` and `GET /version` give them."""

from datetime import UTC, datetime

from netd.api.docker.shapes import Json
from netd.api.docker.times import rfc3339
from netd.api.versions import NEWEST, OLDEST, text
from netd.system import System

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def info_answer(facts: System, *, debug: bool) -> Json:
    """Return `GET /info`."""
    return {
        "ID": facts.id,
        "Containers": facts.containers,
        "ContainersRunning": facts.running,
        "ContainersPaused": 0,
        "ContainersStopped": facts.stopped,
        "Images": facts.images,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "overlayfs"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": sorted(facts.network_drivers),
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        **_abilities(facts),
        "Debug": debug,
        "NFd": facts.file_descriptors,
        "NGoroutines": 1,
        "SystemTime": rfc3339(datetime.now(UTC)),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(facts.cgroup_version),
        "NEventsListener": facts.listeners,
        "KernelVersion": facts.kernel,
        "OperatingSystem": facts.os_name,
        "OSVersion": facts.os_version,
        "OSType": "linux",
        "Architecture": facts.architecture,
        "IndexServerAddress": "",
        "RegistryConfig": _registries(),
        "NCPU": facts.cpus,
        "MemTotal": facts.memory,
        "GenericResources": None,
        "DockerRootDir": str(facts.data_root),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": facts.name,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": facts.version,
        "Runtimes": {name: {"path": str(path)} for name, path in facts.runtimes.items()},
        "DefaultRuntime": facts.default_runtime,
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "docker-init",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin"] if facts.seccomp else [],
        "CDISpecDirs": [],
        "Warnings": list(facts.warnings) or None,
    }


def version_answer(facts: System) -> Json:
    """Return `GET /version`."""
    architecture = _ARCHITECTURES.get(facts.architecture, facts.architecture)
    return {
        "Platform": {"Name": "netd"},
        "Components": [
            {
                "Name": "Engine",
                "Version": facts.version,
                "Details": {
                    "ApiVersion": text(NEWEST),
                    "Arch": architecture,
                    "Experimental": "false",
                    "KernelVersion": facts.kernel,
                    "MinAPIVersion": text(OLDEST),
                    "Os": "linux",
                },
            }
        ],
        "Version": facts.version,
        "ApiVersion": text(NEWEST),
        "MinAPIVersion": text(OLDEST),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": facts.kernel,
        "BuildTime": "",
    }


def _abilities(facts: System) -> Json:
    return {
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "OomKillDisable": False,
        "IPv4Forwarding": facts.ipv4_forwarding,
        "FirewallBackend": {"Driver": facts.firewall},
        "BridgeNfIptables": facts.bridge_nf_iptables,
        "BridgeNfIp6tables": facts.bridge_nf_ip6tables,
    }


def _registries() -> Json:
    docker = {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        "IndexConfigs": {"docker.io": docker},
        "Mirrors": None,
    }
