"""Capabilities of a container: Docker's fourteen, what the user adds and drops, by name."""

from collections.abc import Collection, Iterable, Sequence

from runtime.errors import BundleError

# In the kernel's order: the index is the number (linux/capability.h).
ALL = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
    "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip

DEFAULT = frozenset({
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID",
    "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
})  # fmt: skip


def from_mask(mask: int) -> frozenset[str]:
    """Return the names of the bits set; bits without a name are left out."""
    return frozenset(name for number, name in enumerate(ALL) if mask >> number & 1)


def granted(
    add: Sequence[str], drop: Sequence[str], *, available: Collection[str], privileged: bool
) -> tuple[str, ...]:
    """Return what a container may do, in the kernel's order.

    `add` and `drop` are names with or without CAP_, in any case, or ALL; what is in both is added,
    as in Docker. Raises BundleError for a name that does not exist, or to be added and not
    `available` on the host; a default that the host lacks is left out.
    """
    added = _names("CapAdd", add)
    dropped = _names("CapDrop", drop)
    if privileged:
        return _ordered(available)
    if missing := sorted(added - {"ALL"} - set(available)):
        raise BundleError(
            "invalid CapAdd: capability not supported by your kernel or not available "
            f'in the current environment: "{missing[0]}"'
        )
    if "ALL" in added:
        return _ordered(set(available) - dropped)
    if "ALL" in dropped:
        return _ordered(added)
    return _ordered((DEFAULT & set(available) - dropped) | added)


def _names(field: str, words: Iterable[str]) -> set[str]:
    names = {_name(word) for word in words}
    if unknown := sorted(names - {"ALL", *ALL}):
        raise BundleError(f'invalid {field}: unknown capability: "{unknown[0]}"')
    return names


def _name(word: str) -> str:
    upper = word.upper()
    return upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"


def _ordered(names: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in ALL if name in names)
