"""Layers unpacked as overlayfs wants them, whatever their archives hold."""

import io
import os
import stat
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import ArchiveError
from runtime.layers import unpack
from runtime.tarstream import TarStream
from runtime.trees import remove_tree

pytestmark = pytest.mark.kernel


def entry(name: str, content: str | bytes | None = None, **fields: object) -> tuple:
    """A member: a folder, or a file if there is content, unless `type` says otherwise."""
    member = tarfile.TarInfo(name)
    member.mode = 0o755
    member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    content = content.encode() if isinstance(content, str) else content or b""
    member.size = len(content)
    for key, value in fields.items():
        setattr(member, key, value)
    return member, content


def symlink(name: str, target: str) -> tuple:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> tuple:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar_of(*entries: tuple, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "layer"
    folder.mkdir(parents=True)
    return folder


def unpacked(layer: Path, *entries: tuple, **keywords: int) -> Path:
    unpack(TarStream(io.BytesIO(tar_of(*entries, **keywords)), "layer x"), layer)
    return layer


def refused(layer: Path, *entries: tuple, **keywords: int) -> str:
    with pytest.raises(ArchiveError) as raised:
        unpacked(layer, *entries, **keywords)
    return str(raised.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def outside(layer: Path) -> list[str]:
    """What is beside the layer, where nothing may be."""
    return [name for name in names(layer.parent) if name != layer.name]


def whiteouts(layer: Path) -> set[str]:
    found = set()
    for path in layer.rglob("*"):
        status = path.lstat()
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            found.add(str(path.relative_to(layer)))
    return found


def is_opaque(path: Path) -> bool:
    return "trusted.overlay.opaque" in os.listxattr(path)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_files_keep_their_attributes(layer: Path, form: int) -> None:
    unpacked(
        layer,
        entry("etc", mtime=1234, mode=0o1777, uid=3, gid=4),
        entry("etc/x", "hello", mode=0o4711, uid=1000, gid=1001, mtime=99),
        form=form,
    )

    status = (layer / "etc/x").stat()
    assert (layer / "etc/x").read_text() == "hello"
    assert stat.S_IMODE(status.st_mode) == 0o4711
    assert (status.st_uid, status.st_gid, status.st_mtime) == (1000, 1001, 99)
    folder = (layer / "etc").stat()
    assert stat.S_IMODE(folder.st_mode) == 0o1777
    assert (folder.st_uid, folder.st_gid, folder.st_mtime) == (3, 4, 1234)


def test_fractions_of_seconds_and_large_ids_are_kept(layer: Path) -> None:
    unpacked(layer, entry("x", "", mtime=1.5, uid=3_000_000_000, gid=5_000_000))

    status = (layer / "x").stat()
    assert status.st_mtime_ns == 1_500_000_000
    assert (status.st_uid, status.st_gid) == (3_000_000_000, 5_000_000)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_targets_are_kept(layer: Path, form: int) -> None:
    name = "/".join(["folder" * 10] * 5)

    unpacked(layer, entry(f"{name}/ä", "x"), symlink("link", f"{name}/ä"), form=form)

    assert (layer / "link").read_text() == "x"


def test_links_devices_and_fifos_are_made(layer: Path) -> None:
    unpacked(
        layer,
        entry("a", "1"),
        hardlink("b", "a"),
        symlink("c", "/a"),
        entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        entry("disk", type=tarfile.BLKTYPE, devmajor=7, devminor=300),
        entry("pipe", type=tarfile.FIFOTYPE, mode=0o622),
    )

    assert (layer / "a").stat().st_ino == (layer / "b").stat().st_ino
    assert (layer / "c").readlink() == Path("/a")
    assert (layer / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_IMODE((layer / "null").stat().st_mode) == 0o666
    assert (layer / "disk").is_block_device()
    assert (layer / "disk").stat().st_rdev == os.makedev(7, 300)
    assert stat.S_IMODE((layer / "pipe").stat().st_mode) == 0o622


def test_extended_attributes_are_kept_but_those_for_overlayfs(layer: Path) -> None:
    capability = b"\x01\x00\x00\x02\x00\x20\x00\x00" + bytes(12)
    records = {
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.note": "hi\n=there",
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
    }

    unpacked(layer, entry("ping", "x", pax_headers=records, uid=1))

    assert os.getxattr(layer / "ping", "security.capability") == capability
    assert os.getxattr(layer / "ping", "user.note") == b"hi\n=there"
    assert "trusted.overlay.redirect" not in os.listxattr(layer / "ping")


@pytest.mark.parametrize(
    "form", ["gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix"]
)
def test_sparse_files_stay_sparse(layer: Path, tmp_path: Path, form: str) -> None:
    pieces = [(0, b"start"), *((i << 20, b"%d" % i) for i in range(1, 40)), (64 << 20, b"end")]
    with (tmp_path / "holes").open("wb") as file:
        for offset, content in pieces:
            file.seek(offset)
            file.write(content)
        file.truncate(80 << 20)
    command = f"tar -C {tmp_path} --sparse --format={form} -c holes outer"
    packed = subprocess.run(command.split(), check=True, capture_output=True).stdout

    unpack(TarStream(io.BytesIO(packed), "layer x"), layer)

    assert (layer / "holes").read_bytes() == (tmp_path / "holes").read_bytes()
    assert (layer / "holes").stat().st_blocks * 512 < 4 << 20
    assert (layer / "outer/layer").is_dir()


def test_gnu_tars_own_archive_of_a_system_is_read_alike(layer: Path, tmp_path: Path) -> None:
    source = "/usr/share/zoneinfo"
    packed = subprocess.run(["tar", "-C", source, "-c", "."], check=True, capture_output=True)

    unpack(TarStream(io.BytesIO(packed.stdout), "layer x"), layer)

    compared = subprocess.run(
        ["tar", "-C", layer, "--compare"], input=packed.stdout, capture_output=True, check=False
    )
    assert (compared.returncode, compared.stdout) == (0, b"")


def test_a_later_entry_takes_the_place_of_an_earlier_one(layer: Path) -> None:
    unpacked(
        layer,
        entry("a", "old"),
        entry("a", "new"),
        entry("b/c", "x"),
        entry("b", "now a file"),
        symlink("c", "a"),
        entry("c"),
        entry("c/inner", "x"),
    )

    assert (layer / "a").read_text() == "new"
    assert (layer / "b").read_text() == "now a file"
    assert (layer / "c").is_dir() and not (layer / "c").is_symlink()


def test_a_file_through_a_link_never_truncates_what_the_link_names(layer: Path) -> None:
    unpacked(layer, entry("kept", "kept"), symlink("a", "kept"), entry("a", "new"))

    assert (layer / "kept").read_text() == "kept"
    assert (layer / "a").read_text() == "new"


def test_a_hard_link_replaced_by_a_file_leaves_the_other_name(layer: Path) -> None:
    unpacked(layer, entry("kept", "kept"), hardlink("a", "kept"), entry("a", "new"))

    assert (layer / "kept").read_text() == "kept"


def test_the_root_entry_sets_the_roots_attributes(layer: Path) -> None:
    unpacked(layer, entry("./", mode=0o711, mtime=5), entry("./x", "1"))

    assert stat.S_IMODE(layer.stat().st_mode) == 0o711
    assert layer.stat().st_mtime == 5


def test_whiteouts_become_what_overlayfs_knows(layer: Path) -> None:
    unpacked(
        layer,
        entry("etc"),
        entry("etc/.wh.passwd", ""),
        entry(".wh..hidden", ""),
        entry("var/.wh..wh..opq", ""),
        entry("var/x", "1"),
        entry(".wh..wh.plnk"),
        entry(".wh..wh.plnk/12.34", ""),
        entry("name.wh.inside", "1"),
    )

    assert whiteouts(layer) == {"etc/passwd", ".hidden"}
    assert is_opaque(layer / "var") and not is_opaque(layer / "etc")
    assert names(layer) == [".hidden", "etc", "name.wh.inside", "var"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_whiteout_hides_what_is_below_and_not_its_own_layers_entry(
    layer: Path, order: int
) -> None:
    entries = [
        entry(".wh.folder", ""),
        entry("folder/x", "1"),
        entry("folder/.wh.y", ""),
        entry(".wh.file", ""),
        entry("file", "1"),
    ]

    unpacked(layer, *entries[::order])

    assert whiteouts(layer) == {"folder/y"}
    assert is_opaque(layer / "folder")
    assert (layer / "folder/x").exists() and (layer / "file").read_text() == "1"


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh...", "../.wh.x"])
def test_whiteouts_of_nothing_are_refused(layer: Path, name: str) -> None:
    assert name in refused(layer, entry(name, ""))


def test_what_lies_below_a_whiteout_is_refused(layer: Path) -> None:
    assert "'.wh.a/b' lies below a whiteout" in refused(layer, entry(".wh.a/b", ""))


def test_absolute_names_are_below_the_root(layer: Path) -> None:
    unpacked(layer, entry("/etc/x", "1"), hardlink("/y", "/etc/x"))

    assert (layer / "etc/x").exists() and (layer / "y").exists()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", ".."])
def test_names_that_lead_out_are_refused(layer: Path, name: str) -> None:
    said = refused(layer, entry(name, "1"))

    assert said == f"layer x cannot be read: member {name!r} leads out of the layer"
    assert outside(layer) == []


@pytest.mark.parametrize("target", ["../..", "../../..", "/", "/../..", "."])
def test_links_that_seem_to_lead_out_stay_inside(layer: Path, target: str) -> None:
    unpacked(layer, symlink("a", target), entry("a/x", "1"), entry("a/b"), hardlink("a/z", "a/x"))

    assert (layer / "x").read_text() == "1"
    assert outside(layer) == []


def test_links_to_a_folder_of_this_machine_write_nothing_there(layer: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()

    unpacked(
        layer,
        symlink("a", str(victim)),
        entry("a/x", "1"),
        entry("a/.wh.y", ""),
        entry("a/.wh..wh..opq", ""),
        entry("a/s", mtime=3),
    )

    assert names(victim) == [] and os.listxattr(victim) == []
    assert (layer / str(victim)[1:] / "x").read_text() == "1"


def test_a_hard_link_to_a_file_of_this_machine_is_refused(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    for target in (str(tmp_path / "secret"), "../../secret", "a/secret"):
        said = refused(layer, symlink("a", "../../.."), hardlink("b", target))

        assert f"'b' is a hard link to {target!r}, which is not in the layer" in said
    assert not (layer / "b").exists()


def test_a_hard_link_to_a_link_does_not_follow_it(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    unpacked(layer, symlink("a", str(tmp_path / "secret")), hardlink("b", "a"), entry("b", "x"))

    assert (tmp_path / "secret").read_text() == "secret"
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_loops_of_links_and_files_as_folders_are_refused(layer: Path) -> None:
    assert "member 'a/x' cannot be made" in refused(layer, symlink("a", "a"), entry("a/x", "1"))
    assert "member 'f/x' cannot be made" in refused(layer, entry("f", "1"), entry("f/x", "1"))


def test_impossible_entries_are_refused_by_name(layer: Path) -> None:
    assert "member 'l' cannot be made" in refused(layer, symlink("l", ""))
    assert "'.'" in refused(layer, entry(".", "x"))
    device = entry("d", type=tarfile.CHRTYPE, devmajor=2**31, devminor=2**31)
    assert "member 'd' cannot be made" in refused(layer, device, form=tarfile.GNU_FORMAT)
    assert "unknown type b'V'" in refused(layer, entry("v", type=b"V"))
    assert "member 'n'" in refused(layer, entry("n", "", pax_headers={"uid": "-2"}))
    assert "as mtime" in refused(layer, entry("n", "", pax_headers={"mtime": "1e99999999"}))
    assert "cannot be made: File name too long" in refused(layer, entry("x" * 300, "1"))


def test_times_beyond_what_is_stored_are_bounded(layer: Path) -> None:
    unpacked(layer, entry("n", "", pax_headers={"mtime": "9" * 20}), entry("m", "", mtime=-5))

    assert (layer / "m").stat().st_mtime == -5


PARTS = st.sampled_from(["a", "b", "..", ".", "", "/", ".wh.a", ".wh..wh..opq", ".wh...", "etc"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ENTRIES = st.one_of(
    st.builds(lambda name: entry(name, "data"), PATHS),
    st.builds(entry, PATHS),
    st.builds(symlink, PATHS, PATHS),
    st.builds(hardlink, PATHS, PATHS),
    st.builds(lambda name: entry(name, type=tarfile.FIFOTYPE), PATHS),
)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ENTRIES, max_size=8))
def test_no_archive_reaches_what_is_outside(tmp_path: Path, entries: list[tuple]) -> None:
    layer = tmp_path / "outer" / "layer"
    layer.mkdir(parents=True)
    before = layer.parent.stat().st_mtime_ns, tmp_path.stat().st_mtime_ns

    with suppress(ArchiveError):
        unpack(TarStream(io.BytesIO(tar_of(*entries)), "layer x"), layer)

    assert outside(layer) == []
    assert (layer.parent.stat().st_mtime_ns, tmp_path.stat().st_mtime_ns) == before
    remove_tree(layer.parent)
