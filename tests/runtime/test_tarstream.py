"""Tar archives as a stream, whole and damaged."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import ArchiveError
from runtime.tarsparse import Sparse
from runtime.tarstream import Member, TarStream


def tar_of(form: int = tarfile.PAX_FORMAT, **files: str) -> bytearray:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return bytearray(out.getvalue())


def header(name: str = "x", kind: bytes = b"0", size: int = 0, **fields: object) -> bytearray:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    for key, value in fields.items():
        setattr(member, key, value)
    return bytearray(member.tobuf(tarfile.GNU_FORMAT))


def pax(records: bytes) -> bytes:
    return bytes(header("pax", b"x", len(records))) + records.ljust(
        -(-len(records) // 512) * 512, b"\0"
    )


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(rest) + len(str(length)) != length:
        length += 1
    return str(length).encode() + rest


def summed(raw: bytearray) -> bytes:
    """The header with its checksum set right."""
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


def members(content: bytes) -> list[Member]:
    return list(TarStream(io.BytesIO(content), "the archive"))


def said(content: bytes) -> str:
    with pytest.raises(ArchiveError) as raised:
        members(content)
    return str(raised.value)


def test_data_is_read_in_pieces_or_passed_over() -> None:
    tar = TarStream(io.BytesIO(tar_of(a="a" * 1000, b="b" * 700, c="c")), "the archive")

    read = {member.name: tar.data(600) + tar.data(600) for member in tar if member.name != "b"}

    assert read == {"a": b"a" * 1000, "c": b"c"}


def test_data_can_be_skipped() -> None:
    file = io.BytesIO(tar_of(a="a" * 100_000, b="b"))
    skipped = []

    def skip(size: int) -> int:
        skipped.append(size)
        file.seek(size, io.SEEK_CUR)
        return size

    assert [member.name for member in TarStream(file, "the archive", skip)] == ["a", "b"]
    assert skipped == [100_000, 1]


def test_an_archive_needs_no_end_mark_and_no_last_padding() -> None:
    content = tar_of(tarfile.USTAR_FORMAT, a="a", b="bcd")

    assert len(members(content[: 3 * 512 + 3])) == 2
    assert members(b"") == []


@pytest.mark.parametrize("length", [1, 511, 512, 513, 1500])
def test_an_archive_cut_short_is_an_error(length: int) -> None:
    content = tar_of(tarfile.USTAR_FORMAT, a="a" * 1000)

    assert said(content[:length]).startswith("the archive cannot be read: it ends within a ")


def test_what_follows_the_end_is_not_read() -> None:
    assert len(members(tar_of(a="a") + b"anything")) == 1


def test_a_damaged_header_is_an_error_wherever_it_is() -> None:
    content = tar_of(tarfile.USTAR_FORMAT, a="a", b="b")
    content[1024 + 110] ^= 1

    assert said(content) == "the archive cannot be read: no tar header at octet 1024"


def test_numbers_may_be_in_base_256() -> None:
    raw = header()
    raw[108:116] = b"\x80" + (3_000_000_000).to_bytes(7, "big")
    raw[136:148] = (-5).to_bytes(12, "big", signed=True)

    (member,) = members(summed(raw))

    assert (member.uid, member.mtime_ns) == (3_000_000_000, -5_000_000_000)


@pytest.mark.parametrize("octets", [b"0000009\0", b"-000001\0", b"0_1\0\0\0\0\0", b"abc\0\0\0\0\0"])
def test_numbers_that_are_none_are_errors(octets: bytes) -> None:
    raw = header()
    raw[108:116] = octets

    assert "as uid" in said(summed(raw))


def test_a_checksum_of_signed_octets_is_taken() -> None:
    raw = header("ä")
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(octet - 256 if octet > 127 else octet for octet in raw)

    assert [member.name for member in members(raw)] == ["ä"]


def test_sizes_beyond_all_measure_are_errors() -> None:
    for octets in (b"\x80" + b"\x7f" * 11, b"\xff" * 12):
        raw = header()
        raw[124:136] = octets
        assert "member 'x' claims" in said(summed(raw))
    huge = header(size=8 << 30)
    assert "it ends within a member" in said(summed(huge))
    for kind in (b"x", b"L", b"g"):
        assert "an extended header claims" in said(bytes(header("x", kind, 2 << 20)))


def test_links_have_no_data_whatever_they_claim() -> None:
    raw = header("l", tarfile.LNKTYPE, linkname="x")
    raw[124:136] = b"00000001000\0"

    assert [member.stored for member in members(summed(raw) + header())] == [0, 0]


@pytest.mark.parametrize(
    "records",
    [b"99 path=x\n", b"path=x\n", b"0 path=x\n", b"-5 a=b\n", b"9 path=x ", b"5 ab\n", b"3 \n",
     b"99999999999 a=b\n", b"4 = \n7 a=b\n"],
)  # fmt: skip
def test_extended_headers_of_a_wrong_shape_are_errors(records: bytes) -> None:
    assert "an extended header has a record" in said(pax(records) + bytes(header()))


def test_extended_headers_override_and_empty_values_do_not() -> None:
    records = record("path", "new") + record("uid", "") + record("mtime", "-1.25")

    (member,) = members(pax(records) + bytes(header("old", uid=7)))

    assert (member.name, member.uid, member.mtime_ns) == ("new", 7, -1_250_000_000)


def test_names_with_a_nul_are_errors() -> None:
    assert "has a NUL" in said(pax(record("path", "a\0b")) + bytes(header()))
    assert "has a NUL" in said(pax(record("linkpath", "a\0b")) + bytes(header(kind=b"2")))


def test_headers_for_nobody_are_errors() -> None:
    assert "ends after a member's extended header" in said(pax(record("path", "a")))
    assert "too many headers" in said(pax(record("path", "a")) * 20 + bytes(header()))


def test_global_headers_are_passed_over() -> None:
    comment = record("comment", "a commit") + record("path", "not/this")

    (member,) = members(
        bytes(header("g", b"g", len(comment))) + comment.ljust(512, b"\0") + header()
    )

    assert member.name == "x"


def test_a_name_with_a_slash_was_a_folder_before_ustar() -> None:
    raw = header("a/")
    raw[156:157] = b"\0"

    assert [member.kind for member in members(summed(raw))] == ["folder"]


@pytest.mark.parametrize(
    ("sparse_map", "words"),
    [
        ("0,5,3,5", "overlaps"),
        ("5,1,0,1", "overlaps"),
        ("0,20", "reach 20"),
        ("0,x", "for a figure"),
        ("0,-1", "for a figure"),
        ("0", "argument"),
        ("0,3", "other pieces"),
    ],
)
def test_impossible_maps_of_sparse_files_are_errors(sparse_map: str, words: str) -> None:
    records = record("GNU.sparse.size", "10") + record("GNU.sparse.map", sparse_map)

    assert words in said(pax(records) + bytes(header(size=5)) + bytes(512))


def test_a_map_in_the_data_must_end() -> None:
    records = record("GNU.sparse.major", "1") + record("GNU.sparse.realsize", "10")

    assert "has no end" in said(pax(records) + bytes(header(size=5)) + b"9\n1\n2".ljust(512, b"\0"))


def test_a_sparse_file_has_its_own_name_and_size() -> None:
    records = (
        record("GNU.sparse.name", "real") + record("GNU.sparse.size", "10")
        + record("GNU.sparse.map", "1,2,7,3")
    )  # fmt: skip

    (member,) = members(pax(records) + bytes(header("GNUSparseFile.0/x", size=5)) + bytes(512))

    assert (member.name, member.sparse) == ("real", Sparse(10, ((1, 2), (7, 3))))


VALID = tar_of(**{"a" * 120: "a" * 600, "b": "b"}) + header("s", b"2", linkname="x" * 120)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=20)), max_size=4))
def test_damage_gives_members_or_an_error_and_nothing_else(changes: list) -> None:
    content = bytearray(VALID)
    for at, octets in changes:
        content[at : at + len(octets)] = octets
        block = at - at % 512
        content[block : block + 512] = summed(content[block : block + 512])

    try:
        found = members(bytes(content))
    except ArchiveError:
        return

    assert len(found) <= len(content) // 512
