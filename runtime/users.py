"""Find the user a container's process runs as, in the image's own passwd and group files."""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import UserError
from runtime.inroot import open_in_root

_FILE_AT_MOST = 16 << 20
_ID_AT_MOST = (1 << 31) - 1  # the largest Docker takes as a figure
_LISTED_ID_AT_MOST = (1 << 32) - 2  # a file may hold larger ones: nfsnobody


@dataclass(frozen=True, slots=True)
class ResolvedUser:
    """Who a process is."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...]  # without gid; ascending order is not promised
    home: str


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: frozenset[str]


def resolve(rootfs: Path, user: str, group_add: Sequence[str] = ()) -> ResolvedUser:
    """Resolve Docker's `user`, `uid`, `user:group`, `uid:gid`, ... below a mounted rootfs.

    Empty means root. Names must be in the image, figures need not. A user named without a group
    also gets the groups that list it, as login does. `group_add` names further groups.
    """
    user_word, _, group_word = user.partition(":")
    account = _account(rootfs, user_word)
    groups = _groups(rootfs)
    gid, additional = account.gid, list[int]()
    if group_word:
        gid = _gid(groups, group_word)
    elif account.name:
        additional = [group.gid for group in groups if account.name in group.members]
    additional += [_gid(groups, word) for word in group_add]
    unique = tuple(other for other in dict.fromkeys(additional) if other != gid)
    return ResolvedUser(account.uid, gid, unique, account.home or "/")


def _account(rootfs: Path, word: str) -> _Account:
    """Find an account by figure or name; a figure need not have one."""
    uid = _figure(word or "0")
    for account in _accounts(rootfs):
        if account.uid == uid if uid is not None else account.name == word:
            return account
    if uid is None:
        raise UserError(f"unable to find user {word}: no matching entries in passwd file")
    return _Account("", _in_range(uid), 0, "/")


def _gid(groups: Iterable[_Group], word: str) -> int:
    gid = _figure(word)
    if gid is not None:
        return _in_range(gid)
    for group in groups:
        if group.name == word:
            return group.gid
    raise UserError(f"unable to find group {word}: no matching entries in group file")


def _figure(word: str) -> int | None:
    """Return a decimal figure, signed as Docker takes it, else None."""
    if word.removeprefix("-").isdecimal() and word.isascii():
        return int(word) if len(word) < 20 else _LISTED_ID_AT_MOST + 1
    return None


def _in_range(number: int) -> int:
    if not 0 <= number <= _ID_AT_MOST:
        raise UserError(f"uids and gids must be in range 0-{_ID_AT_MOST}, not {number}")
    return number


def _accounts(rootfs: Path) -> list[_Account]:
    found = []
    for fields in _lines(rootfs, "etc/passwd"):
        name, _, uid, gid, _, home = (*fields, "", "", "", "", "", "")[:6]
        if name and (numbers := _ids(uid, gid)):
            found.append(_Account(name, *numbers, home))
    return found


def _groups(rootfs: Path) -> list[_Group]:
    found = []
    for fields in _lines(rootfs, "etc/group"):
        name, _, gid, members = (*fields, "", "", "", "")[:4]
        if name and (numbers := _ids(gid, gid)):
            found.append(_Group(name, numbers[0], frozenset(members.split(","))))
    return found


def _ids(first: str, second: str) -> tuple[int, int] | None:
    """Return both as ids; None if a line has nonsense there, which is passed over as libc does."""
    numbers = _figure(first), _figure(second)
    if numbers[0] is None or numbers[1] is None:
        return None
    if max(numbers[0], numbers[1]) > _LISTED_ID_AT_MOST or min(numbers[0], numbers[1]) < 0:
        return None
    return numbers[0], numbers[1]


def _lines(rootfs: Path, path: str) -> list[list[str]]:
    """Return the fields of a file's lines; none if the file is missing."""
    try:
        # O_NONBLOCK: a fifo in its place must not hang the daemon.
        descriptor = open_in_root(rootfs, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENXIO):
            return []
        raise UserError(f"/{path} of the image cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError(f"/{path} of the image is no regular file")
        content = file.read(_FILE_AT_MOST)
    text = content.decode("utf-8", "replace")
    return [line.strip().split(":") for line in text.split("\n") if line.strip()]
