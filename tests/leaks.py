"""What a daemon left behind: the kernel's own lists, taken before and after, compared.

    scope = Scope(folders=(data_root, exec_root), pid=daemon.pid, netns=host)
    before = inventory(scope)
    ...
    assert settled(before, scope) == []

All is read from /proc, /sys and netlink, nothing is asked of netd. A scope keeps others on the
same machine out: mounts and bound namespaces under the daemon's folders, processes that mention
them or descend from the daemon, links and rules inside the one network namespace.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

_SOCKETS = ("unix", "netlink", "packet", "tcp", "tcp6", "udp", "udp6", "raw", "raw6")
_INODE = {"unix": 6, "packet": 8}  # the column in /proc/net's table; elsewhere it is the tenth


@dataclass(frozen=True, slots=True)
class Scope:
    """What belongs to the daemon under test; what is not given is not listed."""

    folders: tuple[Path, ...] = ()  # its data root and exec root
    pid: int | None = None  # its process: its open files and descendants
    netns: Path | int | None = None  # the namespace it runs in, by path or process
    names: tuple[str, ...] = ()  # in names of cgroups and of `ip netns`: container ids, a parent


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is, each thing by a description that stays the same while it lives."""

    links: tuple[str, ...] = field(default=(), metadata={"noun": "link"})
    addresses: tuple[str, ...] = field(default=(), metadata={"noun": "address"})
    routes: tuple[str, ...] = field(default=(), metadata={"noun": "route"})
    rules: tuple[str, ...] = field(default=(), metadata={"noun": "rule"})
    namespaces: tuple[str, ...] = field(default=(), metadata={"noun": "namespace"})
    mounts: tuple[str, ...] = field(default=(), metadata={"noun": "mount"})
    cgroups: tuple[str, ...] = field(default=(), metadata={"noun": "cgroup"})
    processes: tuple[str, ...] = field(default=(), metadata={"noun": "process"})
    open_files: tuple[str, ...] = field(default=(), metadata={"noun": "open file"})


def inventory(scope: Scope) -> Inventory:
    """List what is there now."""
    mounts = list(_mounts(Path("/proc/self/mountinfo")))
    mentioned = [each for each in mounts if _mentions(scope, f"{each.point} {each.options}")]
    links, addresses = _links(scope)
    found: dict[str, Iterable[str]] = {
        "links": links,
        "addresses": addresses,
        "routes": _routes(scope),
        "rules": [*_legacy_rules(scope), *_nft_rules(scope)],
        "namespaces": [*_bound_namespaces(mentioned), *_named_namespaces(scope)],
        "mounts": [f"{each.kind} on {each.point}" for each in mentioned if each.kind != "nsfs"],
        "cgroups": _cgroups(scope, mounts),
        "processes": _processes(scope),
        "open_files": _open_files(scope.pid) if scope.pid else (),
    }
    return Inventory(**{kind: tuple(sorted(things)) for kind, things in found.items()})


def difference(before: Inventory, after: Inventory) -> list[str]:
    """Return a sentence for each thing that appeared or is gone."""
    sentences = []
    for each in fields(Inventory):
        noun = each.metadata["noun"]
        old, new = Counter(getattr(before, each.name)), Counter(getattr(after, each.name))
        for change, verb in ((new - old, "appeared"), (old - new, "is gone")):
            sentences += [
                f"{noun} {thing} {verb}" + (f" {count} times" if count > 1 else "")
                for thing, count in sorted(change.items())
            ]
    return sentences


def settled(before: Inventory, scope: Scope, timeout_s: float = 5.0) -> list[str]:
    """Wait until all is as before; return what still differs at the deadline.

    The kernel removes some things a moment later: links of a namespace that ended, a process's
    cgroup.
    """
    deadline = time.monotonic() + timeout_s
    while changes := difference(before, inventory(scope)):
        if time.monotonic() > deadline:
            return changes
        time.sleep(0.05)
    return []


def _run(scope: Scope, *command: str) -> str:
    """Run a command inside the scope's network namespace; empty where that or the tool is not."""
    path = f"/proc/{scope.netns}/ns/net" if isinstance(scope.netns, int) else scope.netns
    if path is None or not Path(path).exists() or shutil.which(command[0]) is None:
        return ""
    words = ["nsenter", f"--net={path}", *command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _listed(scope: Scope, *words: str) -> list[dict[str, Any]]:
    return json.loads(_run(scope, "ip", "-j", "-d", *words) or "[]")  # type: ignore[no-any-return]


def _links(scope: Scope) -> tuple[list[str], list[str]]:
    links, addresses = [], []
    for link in _listed(scope, "address", "show"):
        name = link["ifname"]
        kind = link.get("linkinfo", {}).get("info_kind", link.get("link_type", "?"))
        port = f", port of {link['master']}" if "master" in link else ""
        links.append(f"{name} ({kind}{port})")
        addresses += [
            f"{address['local']}/{address['prefixlen']} on {name}"
            for address in link["addr_info"]
            if address["scope"] != "link"  # these come and go with the link, after a delay
        ]
    return links, addresses


def _routes(scope: Scope) -> Iterator[str]:
    for family in ("-4", "-6"):
        for route in _listed(scope, family, "route", "show"):
            if not route["dst"].startswith(("fe80:", "ff00:")):
                words = (route["dst"], "via " + route["gateway"] if "gateway" in route else "")
                yield " ".join(filter(None, (*words, f"dev {route.get('dev', 'none')}")))


def _legacy_rules(scope: Scope) -> Iterator[str]:
    for program in ("iptables-legacy-save", "ip6tables-legacy-save"):
        family, table = program.removesuffix("-legacy-save"), ""
        for line in _run(scope, program).splitlines():
            words = line.split()
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith("-A") or (line.startswith(":") and words[1] == "-"):
                yield f"{family} -t {table} {line.partition(' [')[0]}"
            elif line.startswith(":") and words[1] != "ACCEPT":
                yield f"{family} -t {table} -P {words[0][1:]} {words[1]}"


def _nft_rules(scope: Scope) -> Iterator[str]:
    place: list[str] = []
    for line in map(str.strip, _run(scope, "nft", "--stateless", "list", "ruleset").splitlines()):
        if line.endswith("{"):
            place.append(line.removesuffix("{").strip())
            yield "nft " + " ".join(place)
        elif line == "}":
            place.pop()
        elif line and not line.startswith("#"):
            yield "nft " + " ".join([*place, line])


@dataclass(frozen=True, slots=True)
class _Mount:
    point: str
    kind: str  # overlay, nsfs
    root: str  # of nsfs: net:[4026532008]
    options: str  # of the file system: lowerdir=...


def _mounts(path: Path) -> Iterator[_Mount]:
    """Read a mountinfo file: proc_pid_mountinfo(5)."""
    for line in path.read_text(errors="replace").splitlines():
        mount, _, system = line.partition(" - ")
        words = [re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), word) for word in mount.split()]
        kind, _, rest = system.partition(" ")
        yield _Mount(point=words[4], kind=kind, root=words[3], options=rest)


def _bound_namespaces(mounts: Sequence[_Mount]) -> Iterator[str]:
    for mount in mounts:
        if mount.kind == "nsfs":
            yield f"{mount.root.partition(':')[0]} bound at {mount.point}"


def _named_namespaces(scope: Scope) -> Iterator[str]:
    folder = Path("/run/netns")
    for path in folder.iterdir() if folder.is_dir() else ():
        if any(name in path.name for name in scope.names):
            yield f"net named {path.name}"


def _cgroups(scope: Scope, mounts: Sequence[_Mount]) -> Iterator[str]:
    for point in {each.point for each in mounts if each.kind in {"cgroup", "cgroup2"}}:
        for folder, below, _ in os.walk(point):
            for path in (f"{folder}/{name}" for name in below):
                if any(name in path.removeprefix(point) for name in scope.names):
                    yield path


def _processes(scope: Scope) -> Iterator[str]:
    parents = dict(_parents())
    seen: dict[str, bool] = {}  # mount namespace -> whether its root lies in the folders
    for pid in parents:
        try:
            if pid != os.getpid() and _belongs(scope, pid, parents, seen):
                yield f"{pid}: {_command(pid)[:160]}"
        except OSError:
            continue  # it ended meanwhile: ENOENT, ESRCH or, reading its mounts, EINVAL


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(path.name), int(stat.rpartition(")")[2].split()[1])


def _belongs(scope: Scope, pid: int, parents: dict[int, int], seen: dict[str, bool]) -> bool:
    ancestor: int | None = pid
    while ancestor:
        if ancestor == scope.pid:
            return True
        ancestor = parents.get(ancestor)
    folder = Path(f"/proc/{pid}")
    if _mentions(scope, _command(pid)):
        return True
    if any(name in (folder / "cgroup").read_text() for name in scope.names):
        return True
    return bool(_command(pid)) and _rooted(scope, folder, seen)


def _rooted(scope: Scope, folder: Path, seen: dict[str, bool]) -> bool:
    """Tell whether a process's root is a mount from the folders, as a container's is.

    Nothing else in such a process shows the folders.
    """
    try:
        namespace = str((folder / "ns/mnt").readlink())
        if namespace not in seen:
            roots = [each.options for each in _mounts(folder / "mountinfo") if each.point == "/"]
            seen[namespace] = any(_mentions(scope, options) for options in roots)
    except PermissionError:
        return False  # it may do more than this process, as an init can: not a container's
    return seen[namespace]


def _command(pid: int) -> str:
    """Return the command line; of a kernel thread nothing, of a zombie its short name."""
    folder = Path(f"/proc/{pid}")
    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if not words and "\nState:\tZ" in (folder / "status").read_text():
        return f"{(folder / 'comm').read_text().strip()} (zombie)"
    return words.strip()


def _open_files(pid: int) -> Iterator[str]:
    sockets = _sockets(pid)
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return
    for link in links:
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        kind, _, number = target.partition(":[")
        if kind == "socket":
            yield sockets.get(number.rstrip("]"), "other socket")
        elif number:
            yield kind if kind == "pipe" else f"{kind} namespace"
        else:
            yield target


def _sockets(pid: int) -> dict[str, str]:
    """Map the inodes of the sockets of the process's network namespace to what they are."""
    kinds = {}
    for kind in _SOCKETS:
        path = Path(f"/proc/{pid}/net/{kind}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            words = line.split()
            named = words[7:] if kind == "unix" else ()
            kinds[words[_INODE.get(kind, 9)]] = " ".join((f"{kind} socket", *named))
    return kinds


def _mentions(scope: Scope, text: str) -> bool:
    """Tell whether a text has one of the folders in it, or something below."""
    return any(
        re.search(rf"(?<![\w.-]){re.escape(str(folder))}(?![\w.-])", text)
        for folder in scope.folders
    )
