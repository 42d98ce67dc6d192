"""What can be run here."""

import signal
from dataclasses import replace

import pytest
from makers import container
from msgspec.structs import replace as with_

from netd.errors import InvalidError
from netd.model import Config, Container, HostConfig, Resources, Ulimit
from netd.runnable import check_settings, obstacle, signal_number
from runtime.features import HostFeatures, Program

RUNC = Program("runc")
HERE = HostFeatures(
    architecture="x86_64", kernel=(6, 1), cgroup_mode="v2", controllers=frozenset(),
    capabilities=frozenset(), rlimits={"nofile": 1024}, conmon=Program("conmon"), runtimes=(RUNC,),
)  # fmt: skip


def limited(**limits: object) -> Container:
    return container("web", host=HostConfig(resources=Resources(**limits)))


def test_all_that_keeps_a_host_from_running_containers_is_told_at_once() -> None:
    runtime = replace(RUNC, problem="runc is not installed")
    host = replace(HERE, conmon=Program("conmon", problem="conmon is not installed"))

    assert obstacle(HERE, RUNC) == ""
    assert obstacle(host, runtime) == (
        "containers cannot be run here: runc is not installed; conmon is not installed"
    )


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"nano_cpus": 5_000_000_000}, "range of CPUs is from 0.01 to 4.00"),
        ({"nano_cpus": 1}, "range of CPUs is from 0.01 to 4.00"),
        ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus"),
        ({"cpuset_cpus": "0-9"}, "requested 0-9, available: 0-3"),
        ({"cpuset_mems": "0;1"}, "Invalid value 0;1 for cpuset mems"),
        ({"ulimits": (Ulimit("bogus", 1, 1),)}, "invalid ulimit type: bogus"),
        ({"ulimits": (Ulimit("nofile", 5, 1),)}, "ulimit nofile: soft limit .*: 5 > 1"),
        ({"ulimits": (Ulimit("nofile", -1, 1),)}, "ulimit nofile: soft limit"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(limits: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidError, match=sentence):
        check_settings(limited(**limits), HERE, cpus=4)


def test_limits_that_can_be_pass() -> None:
    made = limited(
        nano_cpus=4_000_000_000, cpuset_cpus="0-2,3", cpuset_mems="0",
        ulimits=(Ulimit("nofile", 1, 1), Ulimit("nofile", 9, -1), Ulimit("nofile", -1, -1)),
    )  # fmt: skip

    check_settings(made, HERE, cpus=4)


def test_all_that_is_wrong_with_a_container_is_told_at_once() -> None:
    made = with_(
        limited(cpuset_cpus="x"),
        config=Config(image="demo", working_dir="rel", stop_signal="FOO"),
    )

    with pytest.raises(InvalidError, match=r"'rel' is invalid.*; invalid signal: FOO; .*x"):
        check_settings(made, HERE)


@pytest.mark.parametrize("text", ["TERM", "SIGTERM", "term", "15"])
def test_a_signal_is_known_by_name_and_number(text: str) -> None:
    assert signal_number(text) == signal.SIGTERM


@pytest.mark.parametrize("text", ["FOO", "0", "99", "-1", "", "\0"])
def test_a_signal_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="invalid signal"):
        signal_number(text)
