"""config.json, whole: what a container gets is text that can be read and compared.

After an intended change: NETD_GOLDEN=write .venv/bin/pytest tests/runtime/test_bundle.py
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import config, exec_process
from runtime.capabilities import ALL
from runtime.errors import BundleError
from runtime.features import HostFeatures
from runtime.resources import discarded
from runtime.spec import BundleSpec, Device, ExecSpec, Limits, Mount, Ulimit

GOLDEN = Path(__file__).parents[1] / "golden" / "bundle"
HOST = HostFeatures(
    architecture="x86_64",
    kernel=(6, 1),
    cgroup_mode="v2",
    controllers=frozenset({"cpu", "cpuset", "memory", "pids"}),
    capabilities=frozenset(ALL),
    devices=(Device("/dev/kmsg", "c", 1, 11, 0o644),),
    init=Path("/usr/bin/catatonit"),
    rlimits={"nofile": 1024},
)
WEAK = replace(
    HOST,
    cgroup_mode="hybrid",
    controllers=frozenset({"cpu"}),
    capabilities=frozenset(ALL) - {"CAP_SYS_RESOURCE"},
    swap_limit=False,
)
SPEC = BundleSpec(
    id="4f" * 32,
    rootfs=Path("/run/netd/c/box/rootfs"),
    args=("sh", "-c", "true"),
    hostname="box",
    network=Path("/run/netd/netns/4f4f4f4f4f4f"),
)


def settled(name: str, value: dict[str, Any]) -> None:
    """Compare with a golden file."""
    text = json.dumps(value, indent=2) + "\n"
    path = GOLDEN / f"{name}.json"
    if os.environ.get("NETD_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_a_plain_container() -> None:
    settled("plain", config(SPEC, HOST))


def test_a_container_with_everything() -> None:
    spec = replace(
        SPEC,
        env=("PATH=/bin", "LANG=C"),
        cwd="/srv",
        uid=1000,
        gid=100,
        additional_gids=(5, 100),
        terminal=True,
        console_size=(24, 80),
        domainname="example.org",
        mounts=(
            Mount("bind", "/srv/data/deep", "/data", read_only=True, propagation="rslave"),
            Mount("bind", "/etc/hosts", "/var/lib/netd/containers/box/hosts"),
            Mount("tmpfs", "/tmp", options=("exec", "size=64m")),
            Mount("tmpfs", "/dev/shm", options=("size=1m",)),
        ),
        devices=(Device("/dev/fuse", "c", 10, 229),),
        read_only_rootfs=True,
        init=True,
        cap_add=("net_admin", "CAP_SYS_TIME"),
        cap_drop=("MKNOD",),
        security_opt=("no-new-privileges", "label=disable"),
        sysctls={"net.ipv4.ip_forward": "1"},
        limits=Limits(
            memory=64 << 20, nano_cpus=1_500_000_000, cpu_shares=512, cpuset_cpus="0",
            pids_limit=100,
        ),
        ulimits=(Ulimit("nofile", 2048, 4096), Ulimit("core", -1, -1)),
        oom_score_adj=-500,
        cgroup_parent="/netd/",
    )  # fmt: skip

    value = config(spec, HOST)

    del value["linux"]["seccomp"]["syscalls"][0]  # in the plain one's file, but for two names
    settled("everything", value)


def test_a_privileged_container() -> None:
    settled("privileged", config(replace(SPEC, privileged=True), HOST))


def test_a_host_with_little_gets_what_it_can() -> None:
    spec = replace(
        SPEC,
        network=None,
        security_opt=("seccomp=unconfined",),
        limits=Limits(memory=64 << 20, pids_limit=5, cpu_shares=2),
        ulimits=(Ulimit("nofile", 2048, 4096), Ulimit("nofile", 10, 1024)),
        oom_score_adj=-500,
    )

    settled("weak-host", config(spec, WEAK))


def test_what_a_host_cannot_limit_is_told() -> None:
    limits = Limits(memory=1, cpuset_cpus="0", pids_limit=1, nano_cpus=1)

    assert discarded(limits, HOST) == []
    assert [text.split(" or ")[0] for text in discarded(limits, WEAK)] == [
        "Your kernel does not support memory limit capabilities",
        "Your kernel does not support cpuset",
        "Your kernel does not support PIDs limit",
    ]


@pytest.mark.parametrize(
    ("limits", "memory"),
    [
        (Limits(memory=100), {"limit": 100, "swap": 200}),
        (Limits(memory=100, memory_swap=150), {"limit": 100, "swap": 150}),
        (Limits(memory=100, memory_swap=-1), {"limit": 100, "swap": -1}),
        (Limits(memory_reservation=50), {"reservation": 50}),
        (Limits(memory_swap=150), None),
    ],
)
def test_swap_is_limited_as_in_docker(limits: Limits, memory: dict[str, int] | None) -> None:
    resources = config(replace(SPEC, limits=limits), HOST)["linux"]["resources"]

    assert resources.get("memory") == memory


def test_the_users_environment_wins_and_removes() -> None:
    spec = replace(SPEC, env=("HOSTNAME=mine", "PATH", "A=1", "A=2"))

    assert config(spec, HOST)["process"]["env"] == ["HOSTNAME=mine", "A=2"]


def test_mounting_over_dev_hides_what_netd_mounts_there() -> None:
    spec = replace(SPEC, mounts=(Mount("bind", "/dev", "/dev"),))

    targets = [mount["destination"] for mount in config(spec, HOST)["mounts"]]

    assert targets == ["/proc", "/sys", "/sys/fs/cgroup", "/dev"]


def test_an_init_that_the_host_lacks_is_an_error() -> None:
    with pytest.raises(BundleError, match="no init found"):
        config(replace(SPEC, init=True), replace(HOST, init=None))


@pytest.mark.parametrize("option", ["nosuch", "seccomp=", "no-new-privileges=perhaps"])
def test_odd_security_options_are_refused(option: str) -> None:
    with pytest.raises(BundleError, match=f'invalid --security-opt: "{option}"'):
        config(replace(SPEC, security_opt=(option,)), HOST)


def test_system_paths_can_be_opened() -> None:
    linux = config(replace(SPEC, security_opt=("systempaths=unconfined",)), HOST)["linux"]

    assert not {"maskedPaths", "readonlyPaths"} & set(linux)


def test_a_further_process_inherits_and_overrides() -> None:
    spec = replace(SPEC, env=("A=1",), cwd="/srv", security_opt=("no-new-privileges",),
                   ulimits=(Ulimit("core", 0, 0),))  # fmt: skip
    container = config(spec, HOST)

    process = exec_process(
        container,
        ExecSpec(("id",), env=("A=2", "B=3"), uid=7, gid=8, terminal=True, console_size=(2, 3)),
        HOST,
    )

    settled("exec", process)
    assert container == config(spec, HOST)


def test_a_privileged_further_process_has_every_right() -> None:
    process = exec_process(config(SPEC, HOST), ExecSpec(("id",), privileged=True), HOST)

    assert process["capabilities"]["effective"] == list(ALL)
    assert process["cwd"] == "/"
