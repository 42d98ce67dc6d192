"""The seccomp profile of a container: Docker's default one, or one that the user hands over.

`seccomp.json` beside this file holds the default as facts: calls that everybody may make, calls
that come with a capability, a machine or a kernel, and calls whose arguments decide. The OCI
runtime leaves out names that its libseccomp does not know.
"""

import functools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.errors import BundleError

_ALLOW = "SCMP_ACT_ALLOW"
_ENOSYS = 38
# Profiles that users write name machines as Go does.
_GO_NAMES = {
    "x86_64": "amd64", "i686": "x86", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm",
    "mips64el": "mips64le",
}  # fmt: skip


def default_profile(
    capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return the default profile for a bounding set, as OCI's `linux.seccomp`.

    `machine` is uname's, `kernel` its first two figures.
    """
    facts = _facts()
    calls = set(" ".join(facts["always"]).split())
    calls.update(facts["machine"].get(machine, "").split())
    for version, names in facts["kernel"].items():
        if kernel >= _version(version):
            calls.update(names.split())
    for capability, names in facts["capability"].items():
        if capability in capabilities:
            calls.update(names.split())
    rules = [{"names": sorted(calls), "action": _ALLOW}, *_argument_rules(facts)]
    if facts["unprivileged"]["lacks"] not in capabilities:
        rules += _unprivileged_rules(facts["unprivileged"], machine)
    profile = {
        "defaultAction": facts["refused"]["action"],
        "defaultErrnoRet": facts["refused"]["errno"],
        "syscalls": rules,
    }
    if machine in facts["architectures"]:
        profile["architectures"] = facts["architectures"][machine].split()
    return profile


def custom_profile(
    text: str, capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return a profile in moby's format as OCI's `linux.seccomp`, its conditions decided.

    Raises BundleError with what is wrong with it.
    """
    try:
        source = json.loads(text)
        if not source["defaultAction"]:
            raise BundleError("invalid seccomp profile: no defaultAction")
        profile = {
            name: source[name]
            for name in ("defaultAction", "defaultErrnoRet", "flags", "listenerPath")
            if name in source
        }
        if architectures := _architectures(source, machine):
            profile["architectures"] = architectures
        rules = source.get("syscalls") or []
        facts = (capabilities, _GO_NAMES.get(machine, machine), kernel)
        profile["syscalls"] = [_rule(rule) for rule in rules if _applies(rule, *facts)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"invalid seccomp profile: {error!r}") from error
    return profile


@functools.cache
def _facts() -> Any:
    return json.loads(Path(__file__).with_name("seccomp.json").read_text(encoding="utf-8"))


def _argument_rules(facts: Any) -> list[dict[str, Any]]:
    return [
        _argument_rule(entry["name"], entry["index"], entry["op"], value)
        for entry in facts["arguments"]
        for value in entry["values"]
    ]


def _unprivileged_rules(facts: Any, machine: str) -> list[dict[str, Any]]:
    index = facts["clone_argument"].get(machine, facts["clone_argument"]["default"])
    # ENOSYS makes the C library fall back from clone3 to clone, whose flags can be looked at.
    return [
        _argument_rule("clone", index, "SCMP_CMP_MASKED_EQ", facts["namespace_flags"]),
        {"names": [facts["no_such_call"]], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
    ]


def _argument_rule(name: str, index: int, op: str, value: int) -> dict[str, Any]:
    return {
        "names": [name],
        "action": _ALLOW,
        "args": [{"index": index, "value": value, "valueTwo": 0, "op": op}],
    }


def _architectures(source: Mapping[str, Any], machine: str) -> list[str]:
    plain, mapped = source.get("architectures") or [], source.get("archMap") or []
    if plain and mapped:
        raise BundleError("invalid seccomp profile: both architectures and archMap are given")
    native = _facts()["architectures"].get(machine, "").split()[:1]
    for entry in mapped:
        if [entry["architecture"]] == native:
            return [*native, *(entry.get("subArchitectures") or [])]
    return list(plain)


def _applies(
    rule: Mapping[str, Any], capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> bool:
    wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
    return not (
        _any(unwanted.get("arches"), [machine])
        or _any(unwanted.get("caps"), capabilities)
        or ("minKernel" in unwanted and kernel >= _version(unwanted["minKernel"]))
        or (wanted.get("arches") and machine not in wanted["arches"])
        or not set(wanted.get("caps") or ()) <= set(capabilities)
        or ("minKernel" in wanted and kernel < _version(wanted["minKernel"]))
    )


def _any(names: Sequence[str] | None, present: Iterable[str]) -> bool:
    return not set(names or ()).isdisjoint(present)


def _rule(source: Mapping[str, Any]) -> dict[str, Any]:
    names = source.get("names") or ([source["name"]] if source.get("name") else [])
    if not names:
        raise BundleError("invalid seccomp profile: a rule without names")
    rule: dict[str, Any] = {"names": list(names), "action": source["action"]}
    for field in ("errnoRet", "args"):
        if source.get(field):
            rule[field] = source[field]
    return rule


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
