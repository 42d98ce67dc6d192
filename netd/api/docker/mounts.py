"""Docker's three ways to say a mount (Binds, Tmpfs, Mounts), and how inspect says it back."""

from collections.abc import Mapping, Sequence
from posixpath import normpath

from msgspec import Struct

from netd.api.docker.shapes import Int64, Json
from netd.errors import InvalidError
from netd.model import Mount

_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_BIND_WORDS = ("ro", "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated")


class BindOptions(Struct, rename="pascal"):
    """How a folder of the host is put in."""

    propagation: str | None = None
    non_recursive: bool | None = None
    create_mountpoint: bool | None = None
    read_only_non_recursive: bool | None = None
    read_only_force_recursive: bool | None = None


class TmpfsOptions(Struct, rename="pascal"):
    """How large a tmpfs may get, and who may enter."""

    size_bytes: Int64 | None = None
    mode: Int64 | None = None
    options: list[list[str]] | None = None


class MountPoint(Struct, rename="pascal"):
    """An entry of `Mounts`."""

    type: str | None = None
    source: str | None = None
    target: str | None = None
    read_only: bool | None = None
    bind_options: BindOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


def mounts(
    binds: Sequence[str], tmpfs: Mapping[str, str], points: Sequence[MountPoint]
) -> tuple[Mount, ...]:
    """Return all mounts of a request; raises InvalidError for what cannot be."""
    wanted = (
        *map(_bind, binds),
        *(_tmpfs(target, options) for target, options in tmpfs.items()),
        *map(_mount, points),
    )
    seen: set[str] = set()
    for mount in wanted:
        if mount.target in seen:
            raise InvalidError(f"Duplicate mount point: {mount.target}")
        seen.add(mount.target)
    return wanted


def unmounted(
    volumes: Mapping[str, object],
    binds: Sequence[str],
    tmpfs: Mapping[str, str],
    points: Sequence[MountPoint],
) -> dict[str, object]:
    """Return `Volumes` without the paths where the request itself says what is mounted.

    docker-py names the target of each bind in both places.
    """
    bound = (text.split(":") for text in binds)
    mounted = {
        _clean(target)
        for target in (
            *(words[1] for words in bound if len(words) > 1),
            *tmpfs,
            *(point.target or "" for point in points),
        )
        if target
    }
    return {path: each for path, each in volumes.items() if _clean(path) not in mounted}


def needed_sources(points: Sequence[MountPoint]) -> list[str]:
    """Return the host's paths that must be there; those of Binds are made where they are not."""
    return [
        point.source
        for point in points
        if point.type == "bind"
        and point.source
        and not (point.bind_options and point.bind_options.create_mountpoint)
    ]


def binds_answer(mounts: Sequence[Mount]) -> list[str] | None:
    """Return bind mounts as `Binds`."""
    return [_bind_text(mount) for mount in mounts if mount.kind == "bind"] or None


def tmpfs_answer(mounts: Sequence[Mount]) -> dict[str, str]:
    """Return tmpfs mounts as `Tmpfs`."""
    return {
        mount.target: ",".join((*mount.options, *(("ro",) if mount.read_only else ())))
        for mount in mounts
        if mount.kind == "tmpfs"
    }


def mount_answers(mounts: Sequence[Mount]) -> list[Json]:
    """Return mounts as inspect and lists give them: those of the host's folders."""
    return [
        {
            "Type": "bind",
            "Source": mount.source,
            "Destination": mount.target,
            "Mode": _mode(mount),
            "RW": not mount.read_only,
            "Propagation": mount.propagation or "rprivate",
        }
        for mount in mounts
        if mount.kind == "bind"
    ]


def _bind(text: str) -> Mount:
    source, separator, rest = text.partition(":")
    target, _, words = rest.partition(":")
    if not separator:
        raise InvalidError(f"volume for {source!r}: netd has no volumes; bind a folder of the host")
    if not source.startswith("/"):
        raise InvalidError(
            f"volume {source!r} for {target!r}: netd has no volumes; bind a folder of the host"
        )
    options = [word for word in words.split(",") if word]
    unknown = [word for word in options if word not in (*_PROPAGATIONS, *_BIND_WORDS)]
    if unknown:
        raise InvalidError(f"invalid mode {unknown[0]!r} of bind {text!r}")
    if "ro" in options and "rw" in options:
        raise InvalidError(f"invalid mode {words!r} of bind {text!r}: both ro and rw")
    return Mount(
        kind="bind",
        target=_target(target, text),
        source=_clean(source),
        read_only="ro" in options,
        options=tuple(w for w in options if w not in (*_PROPAGATIONS, "ro", "rw")),
        propagation=next((word for word in options if word in _PROPAGATIONS), ""),
    )


def _tmpfs(target: str, options: str) -> Mount:
    words = [word for word in options.split(",") if word]
    return Mount(
        kind="tmpfs",
        target=_target(target, target),
        read_only="ro" in words,
        options=tuple(word for word in words if word not in {"ro", "rw"}),
    )


def _mount(point: MountPoint) -> Mount:
    if point.type == "bind":
        return _mount_bind(point)
    if point.type != "tmpfs":
        raise InvalidError(
            f"invalid mount type {point.type or ''!r} for {point.target!r}: netd has bind and tmpfs"
        )
    if point.source:
        raise InvalidError(
            'invalid mount config for type "tmpfs": field Source must not be specified: '
            f"{point.source}"
        )
    asked = point.tmpfs_options or TmpfsOptions()
    options = ["=".join(words[:2]) for words in asked.options or () if words]
    if asked.size_bytes:
        if asked.size_bytes < 0:
            raise InvalidError(f"invalid tmpfs size for {point.target}: {asked.size_bytes}")
        options.append(f"size={asked.size_bytes}")
    if asked.mode:
        options.append(f"mode={asked.mode & 0o7777:o}")
    return Mount(
        kind="tmpfs",
        target=_target(point.target or "", "tmpfs"),
        read_only=bool(point.read_only),
        options=tuple(options),
    )


def _mount_bind(point: MountPoint) -> Mount:
    asked = point.bind_options or BindOptions()
    if asked.propagation and asked.propagation not in _PROPAGATIONS:
        raise InvalidError(f"invalid propagation mode: {asked.propagation}")
    if asked.read_only_force_recursive:
        raise InvalidError(f"ReadOnlyForceRecursive of {point.target!r}: netd cannot make it so")
    source = point.source or ""
    if not source.startswith("/"):
        raise InvalidError(
            f'invalid mount config for type "bind": invalid mount path: {source!r} mount path must '
            "be absolute"
        )
    return Mount(
        kind="bind",
        target=_target(point.target or "", source),
        source=_clean(source),
        read_only=bool(point.read_only),
        options=("bind-nonrecursive",) if asked.non_recursive else (),
        propagation=asked.propagation or "",
    )


def _target(target: str, whole: str) -> str:
    if not target.startswith("/"):
        raise InvalidError(
            f"invalid mount {whole!r}: invalid mount path: {target!r} mount path must be absolute"
        )
    clean = _clean(target)
    if clean == "/":
        raise InvalidError(f"invalid mount {whole!r}: destination can't be '/'")
    return clean


def _clean(path: str) -> str:
    return "/" + normpath(path).lstrip("/")  # POSIX lets two slashes at the beginning stand


def _mode(mount: Mount) -> str:
    words = [*mount.options, *([mount.propagation] if mount.propagation else [])]
    return ",".join([*(["ro"] if mount.read_only else []), *words])


def _bind_text(mount: Mount) -> str:
    mode = _mode(mount)
    return f"{mount.source}:{mount.target}" + (f":{mode}" if mode else "")
