"""Users and groups of images."""

import os
from pathlib import Path

import pytest

from runtime.errors import UserError
from runtime.users import ResolvedUser, resolve

PASSWD = """\
root:x:0:0:root:/root:/bin/sh

# a comment
nonsense
bad:x:not:a:number
demo:x:1000:1001:demo:/home/demo:/bin/sh
twin:x:1000:1002:twin:/home/twin:/bin/sh
4000:x:1500:1500:a name of digits:/n:/bin/sh
nfs:x:4294967294:4294967294::/:/bin/false
short:x:7:8
"""
GROUP = """\
root:x:0:root
daemon:x:1:root,demo
demo:x:1001:
wheel:x:10:other,demo
twins:x:1002:demo
"""


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    etc = tmp_path / "rootfs/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text(PASSWD)
    (etc / "group").write_text(GROUP)
    return tmp_path / "rootfs"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", ResolvedUser(0, 0, (1,), "/root")),
        ("root", ResolvedUser(0, 0, (1,), "/root")),
        ("0", ResolvedUser(0, 0, (1,), "/root")),
        ("demo", ResolvedUser(1000, 1001, (1, 10, 1002), "/home/demo")),
        ("1000", ResolvedUser(1000, 1001, (1, 10, 1002), "/home/demo")),
        ("twin", ResolvedUser(1000, 1002, (), "/home/twin")),
        ("demo:wheel", ResolvedUser(1000, 10, (), "/home/demo")),
        ("demo:77", ResolvedUser(1000, 77, (), "/home/demo")),
        ("2000", ResolvedUser(2000, 0, (), "/")),
        ("2000:3000", ResolvedUser(2000, 3000, (), "/")),
        ("2000:wheel", ResolvedUser(2000, 10, (), "/")),
        ("4000", ResolvedUser(4000, 0, (), "/")),
        (":wheel", ResolvedUser(0, 10, (), "/root")),
        ("demo:", ResolvedUser(1000, 1001, (1, 10, 1002), "/home/demo")),
        ("nfs", ResolvedUser(4294967294, 4294967294, (), "/")),
        ("short", ResolvedUser(7, 8, (), "/")),
    ],
)
def test_users_are_resolved_as_docker_does(rootfs: Path, text: str, user: ResolvedUser) -> None:
    assert resolve(rootfs, text) == user


def test_further_groups_are_names_or_figures(rootfs: Path) -> None:
    user = resolve(rootfs, "demo:demo", ["wheel", "5", "demo", "5"])

    assert user == ResolvedUser(1000, 1001, (10, 5), "/home/demo")


@pytest.mark.parametrize(
    ("text", "groups", "words"),
    [
        ("nosuch", [], "unable to find user nosuch: no matching entries in passwd file"),
        ("bad", [], "unable to find user bad: no matching entries in passwd file"),
        ("demo:nosuch", [], "unable to find group nosuch: no matching entries in group file"),
        ("", ["nosuch"], "unable to find group nosuch: no matching entries in group file"),
        ("-1", [], "uids and gids must be in range 0-2147483647, not -1"),
        ("2147483648", [], "uids and gids must be in range 0-2147483647, not 2147483648"),
        ("0:2147483648", [], "uids and gids must be in range 0-2147483647, not 2147483648"),
        ("a:b:c", [], "unable to find user a: no matching entries in passwd file"),
    ],
)
def test_unknown_users_are_refused_in_dockers_words(
    rootfs: Path, text: str, groups: list[str], words: str
) -> None:
    with pytest.raises(UserError) as raised:
        resolve(rootfs, text, groups)

    assert str(raised.value) == words


def test_an_image_without_files_has_only_figures(tmp_path: Path) -> None:
    assert resolve(tmp_path, "") == ResolvedUser(0, 0, (), "/")
    assert resolve(tmp_path, "5:6") == ResolvedUser(5, 6, (), "/")
    with pytest.raises(UserError, match="unable to find user demo"):
        resolve(tmp_path, "demo")


def test_links_are_followed_inside_the_image_only(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("evil:x:666:666::/:\n")
    for target in (str(tmp_path / "secret"), "../../secret", "/../secret"):
        (rootfs / "etc/passwd").unlink()
        (rootfs / "etc/passwd").symlink_to(target)

        with pytest.raises(UserError, match="unable to find user evil"):
            resolve(rootfs, "evil")

    (rootfs / "secret").write_text("inner:x:5:5::/:\n")
    assert resolve(rootfs, "inner").uid == 5


def test_what_is_no_file_is_refused_and_never_waited_for(rootfs: Path) -> None:
    (rootfs / "etc/passwd").unlink()
    os.mkfifo(rootfs / "etc/passwd")
    with pytest.raises(UserError, match="/etc/passwd of the image is no regular file"):
        resolve(rootfs, "demo")

    (rootfs / "etc/passwd").unlink()
    (rootfs / "etc/passwd").symlink_to("passwd")
    with pytest.raises(UserError, match="/etc/passwd of the image cannot be read"):
        resolve(rootfs, "demo")


def test_octets_that_are_no_text_do_no_harm(rootfs: Path) -> None:
    (rootfs / "etc/passwd").write_bytes(b"\xff\xfe:x:9:9::/:\r\ndemo:x:5:5::/d:/bin/sh\r\n")

    assert resolve(rootfs, "demo").home == "/d"
