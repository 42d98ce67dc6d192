"""What this host offers to containers, found out once at start and shared by `netd doctor`.

Probing changes nothing and prints nothing; what is lacking is told in sentences within the data.
"""

import os
import platform
import resource
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from runtime.capabilities import from_mask
from runtime.cgroups import Hierarchy, hierarchies
from runtime.spec import Device

CgroupMode = Literal["v1", "v2", "hybrid", "none"]
RUNTIMES = ("crun", "runc")  # crun first: a start costs it a third
_INITS = ("catatonit", "docker-init", "tini")
_VERSION_TIMEOUT_S = 5
# As Docker: these folders of /dev are the container's own.
_OWN_IN_DEV = frozenset({"pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev"})
_CPUS = Path("/sys/devices/system/cpu")
_LIMITS = {
    name.removeprefix("RLIMIT_").lower(): number
    for name, number in vars(resource).items()
    if name.startswith("RLIMIT_")
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program that netd leans on; `problem` is why it cannot be used, empty when it can."""

    name: str
    path: Path | None = None  # absent: not installed
    version: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HostFeatures:
    """Facts of a host that decide what a container can have."""

    architecture: str  # uname's machine
    kernel: tuple[int, int]
    cgroup_mode: CgroupMode
    controllers: frozenset[str]  # that limit containers: memory, cpu, cpuset, pids, ...
    capabilities: frozenset[str]  # that this process could hand on
    seccomp: bool = True
    swap_limit: bool = True
    cgroup_problem: str = ""  # a sentence; empty: all is well
    rlimits: Mapping[str, int] = field(default_factory=dict)  # hard limits here, -1: none
    devices: tuple[Device, ...] = ()  # of the host, for privileged containers
    masked_paths: tuple[str, ...] = ()  # to be hidden from containers, beside the usual ones
    init: Path | None = None
    conmon: Program = Program("conmon", problem="conmon is not installed")
    runtimes: tuple[Program, ...] = ()  # in the order of preference

    def runtime(self, name: str = "") -> Program:
        """Return the named OCI runtime, or the first that works; look at its `problem`."""
        named = [one for one in self.runtimes if one.name == name] if name else []
        if name:
            return named[0] if named else Program(name, problem=f"no such OCI runtime: {name}")
        works = [one for one in self.runtimes if not one.problem]
        return (works or [_no_runtime(self.runtimes)])[0]


def probe(default_runtime: str = "") -> HostFeatures:
    """Find out about this host; `default_runtime` is preferred over the usual order.

    It may name a runtime that is not one of `RUNTIMES`, also by an absolute path.
    """
    order = dict.fromkeys((*([default_runtime] if default_runtime else []), *RUNTIMES))
    programs = _programs(("conmon", *order))
    mounted = hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    mode, controllers = _cgroup_mode(mounted), _controllers(mounted)
    status = _status()
    capabilities = from_mask(int(status["CapEff"], 16) & int(status["CapBnd"], 16))
    return HostFeatures(
        architecture=platform.machine(),
        kernel=_kernel(platform.release()),
        cgroup_mode=mode,
        controllers=controllers,
        capabilities=capabilities,
        seccomp="Seccomp" in status,
        swap_limit=_swap_limit(mounted),
        cgroup_problem=_cgroup_problem(mode, mounted),
        rlimits={name: resource.getrlimit(number)[1] for name, number in _LIMITS.items()},
        devices=tuple(host_devices()),
        # They tell a container how hot the host is, and so what others do (moby's list).
        masked_paths=tuple(sorted(map(str, _CPUS.glob("cpu*/thermal_throttle")))),
        init=next((Path(path) for name in _INITS if (path := shutil.which(name))), None),
        conmon=programs["conmon"],
        runtimes=tuple(_judged(programs[name], mode, capabilities) for name in order),
    )


def with_devices(host: HostFeatures) -> HostFeatures:
    """Return the same with the devices that are there now; they come and go."""
    return replace(host, devices=tuple(host_devices()))


def host_devices(folder: Path = Path("/dev")) -> Iterator[Device]:
    """Yield the device nodes below a folder, as Docker gives them to privileged containers."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name in _OWN_IN_DEV:
                continue
            with suppress(OSError):  # gone meanwhile, or a mount that does not answer
                if entry.is_dir(follow_symlinks=False):
                    yield from host_devices(Path(entry.path))
                    continue
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
                    yield _device(entry.path, facts)


def _device(path: str, facts: os.stat_result) -> Device:
    return Device(
        path=path,
        kind="c" if stat.S_ISCHR(facts.st_mode) else "b",
        major=os.major(facts.st_rdev),
        minor=os.minor(facts.st_rdev),
        mode=stat.S_IMODE(facts.st_mode),
        uid=facts.st_uid,
        gid=facts.st_gid,
    )


def _no_runtime(tried: Sequence[Program]) -> Program:
    problems = "; ".join(one.problem for one in tried)
    return Program("", problem=f"no OCI runtime works: {problems}")


def _programs(names: Sequence[str]) -> dict[str, Program]:
    """Ask all of them for their versions at once: one after the other would take 30 ms."""
    started = {name: _started(name) for name in names}
    return {name: finish() for name, finish in started.items()}


def _started(name: str) -> Callable[[], Program]:
    path = shutil.which(name)
    if not path:
        return lambda: Program(name, problem=f"{name} is not installed")
    try:
        process = subprocess.Popen(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    except OSError as error:
        problem = f"{name} cannot be run: {error.strerror}"
        return lambda: Program(name, Path(path), problem=problem)
    return lambda: _finished(name, Path(path), process)


def _finished(name: str, path: Path, process: subprocess.Popen[str]) -> Program:
    with process:
        try:
            output, _ = process.communicate(timeout=_VERSION_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return Program(name, path, problem=f"{path} --version does not end")
    if process.returncode:
        words = output.strip().splitlines() or [f"exit code {process.returncode}"]
        return Program(name, path, problem=f"{path} does not work: {words[-1]}")
    first = (output.splitlines() or [""])[0]  # "runc version 1.1.5+ds1", "crun version 1.8.1"
    return Program(name, path, version=first.rpartition(" ")[2])


def _judged(program: Program, mode: CgroupMode, capabilities: frozenset[str]) -> Program:
    # Both it says itself when it creates a container; asking it to would cost a whole container.
    if program.problem or not program.name.endswith("crun"):
        return program
    if mode == "hybrid":
        problem = f"{program.name} does not support cgroups in hybrid mode, which this host has"
        return replace(program, problem=problem)
    endless = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY
    if mode == "v2" and not endless and "CAP_SYS_RESOURCE" not in capabilities:
        problem = f"{program.name} needs CAP_SYS_RESOURCE to guard devices with cgroups version 2"
        return replace(program, problem=problem)
    return program


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _kernel(release: str) -> tuple[int, int]:
    major, minor = release.partition("-")[0].split(".")[:2]
    return int(major), int(minor)


def _cgroup_mode(mounted: Sequence[Hierarchy]) -> CgroupMode:
    versions = {hierarchy.version for hierarchy in mounted}
    if versions == {1, 2}:
        return "hybrid"
    return "none" if not versions else "v2" if versions == {2} else "v1"


def _controllers(mounted: Sequence[Hierarchy]) -> frozenset[str]:
    found: set[str] = set()
    for hierarchy in mounted:
        found |= hierarchy.controllers
        if hierarchy.version == 2:
            found |= _words(hierarchy.path / "cgroup.controllers")
    return frozenset(found)


def _swap_limit(mounted: Sequence[Hierarchy]) -> bool:
    """Return whether memory and swap are counted together (v1: swapaccount=1, or a new kernel)."""
    for hierarchy in mounted:
        if "memory" in hierarchy.controllers:
            return (hierarchy.path / "memory.memsw.limit_in_bytes").exists()
    return Path("/proc/swaps").exists()


def _cgroup_problem(mode: CgroupMode, mounted: Sequence[Hierarchy]) -> str:
    if mode == "none":
        return "no cgroup hierarchy is mounted, containers cannot be started"
    if mode != "v2":
        return ""
    root = mounted[0].path
    offered, handed_on = (
        _words(root / f"cgroup.{name}") for name in ("controllers", "subtree_control")
    )
    # Only the machine's root cgroup may hold processes and hand controllers on (cgroups(7)); it is
    # the one without cgroup.type. A container that plays the host has to move its processes first.
    nested = (root / "cgroup.type").exists()
    if nested and offered - handed_on and _words(root / "cgroup.procs"):
        return f"{root} holds processes, so that it cannot hand on {' '.join(sorted(offered))}"
    return "" if os.access(root, os.W_OK) else f"{root} is read-only"


def _words(path: Path) -> set[str]:
    try:
        return set(path.read_text(encoding="ascii").split())
    except OSError:
        return set()
