"""-v, --mount and --tmpfs, turned into the API's objects (pure, but for relative paths)."""

import os
from collections.abc import Sequence

from netd.cli.errors import CliError

_KEYS = {
    "type": "Type", "source": "Source", "src": "Source", "target": "Target",
    "destination": "Target", "dst": "Target", "readonly": "ReadOnly", "ro": "ReadOnly",
    "bind-propagation": "Propagation", "tmpfs-size": "SizeBytes", "tmpfs-mode": "Mode",
}  # fmt: skip


def binds(words: Sequence[str]) -> list[str]:
    """Read `/host:/inside[:options]`; relative host paths are made absolute here."""
    out = []
    for word in words:
        source, separator, rest = word.partition(":")
        if not separator or not source.startswith(("/", ".", "~")):
            raise CliError(
                f"-v {word!r} names no path of the host",
                "write it as /host/path:/inside; netd has no named volumes",
            )
        out.append(f"{_absolute(source)}:{rest}")
    return out


def tmpfs(words: Sequence[str]) -> dict[str, str]:
    """Read `/inside[:options]`."""
    return {target: options for target, _, options in (word.partition(":") for word in words)}


def mounts(words: Sequence[str]) -> list[dict[str, object]]:
    """Read `type=bind,source=/host,target=/inside,readonly`."""
    return [_mount(word) for word in words]


def _mount(word: str) -> dict[str, object]:
    given: dict[str, str] = {}
    for part in word.split(","):
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise CliError(f"--mount {word!r}: cannot read {part!r}", f"keys: {', '.join(_KEYS)}")
        given[_KEYS[key]] = value
    kind = given.get("Type", "bind")
    if kind not in {"bind", "tmpfs"}:
        raise CliError(f"--mount {word!r}: type {kind!r} is not known", "types: bind, tmpfs")
    if not given.get("Target") or (kind == "bind" and not given.get("Source")):
        raise CliError(f"--mount {word!r} needs a target, and a source for a bind")
    mount: dict[str, object] = {"Type": kind, "Target": given["Target"]}
    if kind == "bind":
        mount["Source"] = _absolute(given["Source"])
    if "ReadOnly" in given:
        mount["ReadOnly"] = given["ReadOnly"].lower() in {"", "1", "true"}
    if given.get("Propagation"):
        mount["BindOptions"] = {"Propagation": given["Propagation"]}
    options = _tmpfs_options(given)
    if options:
        mount["TmpfsOptions"] = options
    return mount


def _tmpfs_options(given: dict[str, str]) -> dict[str, int]:
    from netd.cli.units import octets

    options = {}
    if given.get("SizeBytes"):
        options["SizeBytes"] = octets(given["SizeBytes"], "--mount tmpfs-size")
    if given.get("Mode"):
        try:
            options["Mode"] = int(given["Mode"], 8)
        except ValueError as error:
            raise CliError(f"--mount: tmpfs-mode {given['Mode']!r} is not octal") from error
    return options


def _absolute(source: str) -> str:
    return os.path.abspath(os.path.expanduser(source))  # noqa: PTH100, PTH111
