"""What a host offers, from its files and programs."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.features import HostFeatures, Program, host_devices, probe

NOTHING = HostFeatures(
    architecture="x86_64", kernel=(6, 1), cgroup_mode="v2", controllers=frozenset(),
    capabilities=frozenset(),
)  # fmt: skip
CRUN = Program("crun", Path("/usr/bin/crun"), "1.8")
RUNC = Program("runc", Path("/usr/bin/runc"), "1.1")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for programs, which is all there is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def script(folder: Path, name: str, text: str, mode: int = 0o755) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)


def test_the_first_runtime_that_works_is_used() -> None:
    broken = replace(CRUN, problem="crun is broken")

    assert replace(NOTHING, runtimes=(CRUN, RUNC)).runtime() == CRUN
    assert replace(NOTHING, runtimes=(broken, RUNC)).runtime() == RUNC


def test_a_named_runtime_is_used_or_its_problem_told() -> None:
    host = replace(NOTHING, runtimes=(replace(CRUN, problem="crun is broken"), RUNC))

    assert host.runtime("runc") == RUNC
    assert host.runtime("crun").problem == "crun is broken"
    assert host.runtime("kata").problem == "no such OCI runtime: kata"


def test_without_any_all_problems_are_told() -> None:
    host = replace(NOTHING, runtimes=(replace(CRUN, problem="a"), replace(RUNC, problem="b")))

    assert host.runtime().problem == "no OCI runtime works: a; b"


def test_programs_that_are_missing_or_broken_are_told(programs: Path) -> None:
    script(programs, "runc", "echo bad library >&2; exit 1")
    script(programs, "conmon", "echo conmon version 2.1.6; echo commit: x")

    host = probe()

    assert (host.conmon.version, host.conmon.problem) == ("2.1.6", "")
    problems = {one.name: one.problem for one in host.runtimes}
    assert problems["runc"] == f"{programs}/runc does not work: bad library"
    assert problems["crun"] == "crun is not installed"


def test_the_wanted_runtime_comes_first(programs: Path) -> None:
    for name in ("runc", "other"):
        script(programs, name, f"echo {name} version 1.2")

    host = probe("other")

    assert [one.name for one in host.runtimes] == ["other", "crun", "runc"]
    assert host.runtime().version == "1.2"


def test_crun_is_refused_where_cgroups_are_hybrid(programs: Path) -> None:
    script(programs, "crun", "echo crun version 1.8.1")

    host = probe()

    crun = next(one for one in host.runtimes if one.name == "crun")
    assert ("hybrid" in crun.problem) == (host.cgroup_mode == "hybrid")


def test_probing_leaves_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    probe()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_this_host_has_a_machine_and_a_kernel() -> None:
    host = probe()

    assert host.architecture == os.uname().machine
    assert host.kernel >= (4, 0)


def test_devices_are_found_but_not_the_containers_own() -> None:
    devices = {device.path: device for device in host_devices()}

    assert (devices["/dev/null"].major, devices["/dev/null"].minor) == (1, 3)
    assert devices["/dev/null"].mode == 0o666
    assert not [path for path in devices if path.startswith(("/dev/pts/", "/dev/shm/"))]
