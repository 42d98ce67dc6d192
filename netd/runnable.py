"""Whether a container can be run here: the host's tools, and settings no start could honour."""

import os
import re
from collections.abc import Iterator

from netd.errors import InvalidError
from netd.model import Container, Resources
from runtime import signals
from runtime.errors import OciError
from runtime.features import HostFeatures, Program

_NANO = 1_000_000_000
_LEAST_NANO_CPUS = 10_000_000
_NUMBERS = re.compile(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*")


def obstacle(features: HostFeatures, runtime: Program) -> str:
    """Return why no container can be run here, in a sentence; empty: they can."""
    told = (runtime.problem, features.conmon.problem, features.cgroup_problem)
    problems = "; ".join(filter(None, told))
    return f"containers cannot be run here: {problems}" if problems else ""


def check_settings(container: Container, features: HostFeatures, cpus: int | None = None) -> None:
    """Raise InvalidError with all that is wrong; `cpus` is how many there are, else this host's."""
    count = cpus or os.cpu_count() or 1
    limits = container.host.resources
    problems = [
        *_config_problems(container),
        *_cpu_problems(limits, count),
        *_ulimit_problems(limits, features),
    ]
    if problems:
        raise InvalidError("; ".join(problems))


def signal_number(text: str) -> int:
    """Return a signal's number from "KILL", "SIGKILL", "9" or "RTMIN+3"; InvalidError if none."""
    try:
        return signals.signal_number(text)
    except OciError as error:
        raise InvalidError(str(error)) from error


def _config_problems(container: Container) -> Iterator[str]:
    config = container.config
    if config.working_dir and not config.working_dir.startswith("/"):
        yield (
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute "
            "path"
        )
    if config.stop_signal:
        try:
            signal_number(config.stop_signal)
        except InvalidError as error:
            yield str(error)


def _cpu_problems(limits: Resources, count: int) -> Iterator[str]:
    if limits.nano_cpus and not _LEAST_NANO_CPUS <= limits.nano_cpus <= count * _NANO:
        yield (
            f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available: "
            f"{limits.nano_cpus / _NANO:g}"
        )
    for noun, text in (("cpus", limits.cpuset_cpus), ("mems", limits.cpuset_mems)):
        if text and not _NUMBERS.fullmatch(text):
            yield f"Invalid value {text} for cpuset {noun}"
        elif noun == "cpus" and any(int(each) >= count for each in re.findall("[0-9]+", text)):
            yield (f"Requested CPUs are not available - requested {text}, available: 0-{count - 1}")


def _ulimit_problems(limits: Resources, features: HostFeatures) -> Iterator[str]:
    for limit in limits.ulimits:
        if limit.name not in features.rlimits:
            yield f"invalid ulimit type: {limit.name}"
        elif limit.hard != -1 and (limit.soft == -1 or limit.soft > limit.hard):
            yield (
                f"ulimit {limit.name}: soft limit must be less than or equal to hard limit: "
                f"{limit.soft} > {limit.hard}"
            )
