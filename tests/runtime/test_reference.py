"""Names of images, short and full."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ReferenceFormatError
from runtime.reference import Reference, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("demo", "docker.io/library/demo:latest", "demo:latest"),
        ("demo:1", "docker.io/library/demo:1", "demo:1"),
        ("me/demo", "docker.io/me/demo:latest", "me/demo:latest"),
        ("library/demo", "docker.io/library/demo:latest", "demo:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("docker.io/demo:a-B_c.9", "docker.io/library/demo:a-B_c.9", "demo:a-B_c.9"),
        ("index.docker.io/demo", "docker.io/library/demo:latest", "demo:latest"),
        ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
        ("localhost:5000/a:1", "localhost:5000/a:1", "localhost:5000/a:1"),
        ("host:5000/a/b", "host:5000/a/b:latest", "host:5000/a/b:latest"),
        ("HOST/a", "HOST/a:latest", "HOST/a:latest"),
        ("[fd00::1]:5000/a:1", "[fd00::1]:5000/a:1", "[fd00::1]:5000/a:1"),
        ("a.b-c.example/x__y/z-_".removesuffix("-_"), "a.b-c.example/x__y/z:latest", None),
        ("a---b", "docker.io/library/a---b:latest", "a---b:latest"),
        (f"demo@{DIGEST}", f"docker.io/library/demo@{DIGEST}", f"demo@{DIGEST}"),
        (f"demo:1@{DIGEST}", f"docker.io/library/demo:1@{DIGEST}", f"demo:1@{DIGEST}"),
        ("a@sha512:" + "0f" * 64, "docker.io/library/a@sha512:" + "0f" * 64, None),
        ("host:5000", "docker.io/library/host:5000", "host:5000"),
    ],
)
def test_a_name_is_completed_and_shortened(text: str, full: str, familiar: str | None) -> None:
    reference = parse(text)

    assert str(reference) == full
    assert reference.familiar == (familiar or full.removeprefix("docker.io/library/"))
    assert parse(full) == parse(reference.familiar) == reference


@pytest.mark.parametrize(
    "text",
    ["", ":", "demo:", ":1", "demo:-x", "demo: 1", "-demo", "demo-", "a//b", "/a", "a/", "a..b",
     "a___b", "demo@", "demo@sha256:12", f"demo@{DIGEST[:-1]}", f"demo@{DIGEST.upper()}", "a b",
     "dé", "demo\n", "demo:1\n", "-host.example/a", "host:x/a", "demo:" + "x" * 129,
     f"demo@{DIGEST}@{DIGEST}", "[::1/a", "a@b/c"],
)  # fmt: skip
def test_nonsense_is_an_invalid_reference_format(text: str) -> None:
    with pytest.raises(ReferenceFormatError, match=r"^invalid reference format"):
        parse(text)


def test_capitals_are_refused_in_dockers_words() -> None:
    with pytest.raises(ReferenceFormatError) as raised:
        parse("Demo:1")

    assert str(raised.value) == (
        "invalid reference format: repository name (Demo) must be lowercase"
    )


def test_an_image_id_is_no_name() -> None:
    with pytest.raises(ReferenceFormatError, match="cannot specify 64-byte hexadecimal strings"):
        parse(DIGEST.removeprefix("sha256:"))


def test_a_name_has_at_most_255_characters() -> None:
    assert parse("host.example/" + "a" * 242).path == "a" * 242
    with pytest.raises(ReferenceFormatError, match="must not be more than 255 characters"):
        parse("host.example/" + "a" * 243)


def test_a_tag_can_be_changed() -> None:
    assert parse(f"a:1@{DIGEST}").tagged("2") == Reference("docker.io", "library/a", "2")
    with pytest.raises(ReferenceFormatError, match="invalid tag format: 'a/b'"):
        parse("a").tagged("a/b")


@given(st.text("aB1.-_/:@[] é", max_size=30))
def test_any_text_is_a_name_that_can_be_read_again_or_refused(text: str) -> None:
    try:
        reference = parse(text)
    except ReferenceFormatError:
        return

    assert parse(str(reference)) == parse(reference.familiar) == reference
