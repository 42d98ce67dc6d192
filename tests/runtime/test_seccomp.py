"""Which system calls a container may make."""

import json
from typing import Any

import pytest

from runtime.capabilities import ALL, DEFAULT
from runtime.errors import BundleError
from runtime.seccomp import custom_profile, default_profile


def profile(capabilities: frozenset[str] = DEFAULT, machine: str = "x86_64",
            kernel: tuple[int, int] = (6, 1)) -> dict[str, Any]:  # fmt: skip
    return default_profile(capabilities, machine, kernel)


def allowed(value: dict[str, Any]) -> set[str]:
    return {
        name
        for rule in value["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }


def rules(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [rule for rule in value["syscalls"] if name in rule["names"]]


def test_everything_else_is_not_permitted() -> None:
    assert (profile()["defaultAction"], profile()["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert len(allowed(profile())) == 361 + 2 + 3 + 1  # x86's, ptrace and its like, chroot


@pytest.mark.parametrize("name", ["mount", "unshare", "setns", "bpf", "keyctl", "reboot",
                                  "io_uring_setup", "open_by_handle_at", "kexec_load"])  # fmt: skip
def test_dangerous_calls_are_refused(name: str) -> None:
    assert rules(profile(), name) == []


@pytest.mark.parametrize(("capability", "name"), [("CAP_SYS_ADMIN", "mount"),
    ("CAP_SYS_TIME", "clock_settime"), ("CAP_BPF", "bpf"), ("CAP_SYSLOG", "syslog"),
    ("CAP_SYS_BOOT", "reboot"), ("CAP_DAC_READ_SEARCH", "open_by_handle_at")])  # fmt: skip
def test_calls_come_with_their_capability(capability: str, name: str) -> None:
    assert name not in allowed(profile())
    assert name in allowed(profile(DEFAULT | {capability}))


def test_chroot_goes_with_its_capability() -> None:
    assert "chroot" not in allowed(profile(DEFAULT - {"CAP_SYS_CHROOT"}))


def test_namespaces_cannot_be_made_without_the_right() -> None:
    assert rules(profile(), "clone") == [{
        "names": ["clone"], "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
    }]  # fmt: skip
    assert rules(profile(), "clone3") == [
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
    ]
    assert {"clone", "clone3"} <= allowed(profile(frozenset(ALL)))


def test_only_harmless_personalities_and_no_hypervisor_sockets() -> None:
    values = [rule["args"][0]["value"] for rule in rules(profile(), "personality")]
    (socket,) = rules(profile(), "socket")

    assert values == [0, 8, 0x20000, 0x20008, 0xFFFFFFFF]
    assert (socket["args"][0]["op"], socket["args"][0]["value"]) == ("SCMP_CMP_NE", 40)


def test_machines_differ() -> None:
    arm, s390 = profile(machine="aarch64"), profile(machine="s390x")

    assert arm["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert "cacheflush" in allowed(arm) and "arch_prctl" not in allowed(arm)
    assert rules(s390, "clone")[0]["args"][0]["index"] == 1
    assert "architectures" not in profile(machine="loongarch64")


def test_old_kernels_do_not_get_ptrace() -> None:
    assert "ptrace" not in allowed(profile(kernel=(4, 7)))
    assert "ptrace" in allowed(profile(kernel=(4, 8)))


def test_a_users_profile_is_taken_with_its_conditions_decided() -> None:
    text = json.dumps({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                    {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"name": "old", "action": "SCMP_ACT_ALLOW", "args": []},
            {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["b"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
             "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
            {"names": ["d"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.2"}},
            {"names": ["e"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
            {"names": ["f"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        ],
    })  # fmt: skip

    value = custom_profile(text, DEFAULT, "x86_64", (6, 1))

    assert value == {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["old"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["b"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {"names": ["f"], "action": "SCMP_ACT_ALLOW"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize("text", [
    "rubbish", "[]", "{}", '{"defaultAction": ""}', '{"defaultAction": "x", "syscalls": [1]}',
    '{"defaultAction": "x", "syscalls": [{"action": "y"}]}',
    '{"defaultAction": "x", "architectures": ["a"], "archMap": [{"architecture": "b"}]}',
])  # fmt: skip
def test_damaged_profiles_are_refused(text: str) -> None:
    with pytest.raises(BundleError, match="invalid seccomp profile"):
        custom_profile(text, DEFAULT, "x86_64", (6, 1))
