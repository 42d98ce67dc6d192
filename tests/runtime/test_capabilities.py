"""Which capabilities a container gets."""

import pytest

from runtime.capabilities import ALL, DEFAULT, from_mask, granted
from runtime.errors import BundleError


def names(add: tuple[str, ...] = (), drop: tuple[str, ...] = (), *, privileged: bool = False,
          available: frozenset[str] = frozenset(ALL)) -> set[str]:  # fmt: skip
    return set(granted(add, drop, available=available, privileged=privileged))


def test_there_are_fourteen_by_default() -> None:
    assert names() == DEFAULT
    assert len(DEFAULT) == 14


@pytest.mark.parametrize("word", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"])
def test_one_is_added_by_any_spelling(word: str) -> None:
    assert names(add=(word,)) == DEFAULT | {"CAP_NET_ADMIN"}


def test_one_is_dropped() -> None:
    assert names(drop=("mknod",)) == DEFAULT - {"CAP_MKNOD"}


def test_all_are_added_but_the_dropped() -> None:
    assert names(add=("ALL",), drop=("CHOWN",)) == set(ALL) - {"CAP_CHOWN"}


def test_all_are_dropped_but_the_added() -> None:
    assert names(add=("CHOWN",), drop=("all",)) == {"CAP_CHOWN"}


def test_what_is_added_and_dropped_is_added() -> None:
    assert names(add=("CHOWN",), drop=("CHOWN",)) == DEFAULT


def test_privileged_gets_all_that_the_host_has() -> None:
    available = frozenset(ALL) - {"CAP_SYS_RESOURCE"}

    assert names(drop=("CHOWN",), privileged=True, available=available) == available


def test_defaults_that_the_host_lacks_are_left_out() -> None:
    assert names(available=frozenset({"CAP_CHOWN"})) == {"CAP_CHOWN"}


@pytest.mark.parametrize(("field", "add", "drop"), [("CapAdd", ("NOSUCH",), ()),
                                                     ("CapDrop", (), ("NOSUCH",))])  # fmt: skip
def test_unknown_names_are_refused_in_dockers_words(
    field: str, add: tuple[str, ...], drop: tuple[str, ...]
) -> None:
    with pytest.raises(BundleError) as caught:
        names(add, drop)

    assert str(caught.value) == f'invalid {field}: unknown capability: "CAP_NOSUCH"'


def test_adding_what_the_host_lacks_is_refused() -> None:
    with pytest.raises(BundleError, match=r"not supported by your kernel.*CAP_SYS_ADMIN"):
        names(add=("SYS_ADMIN",), available=DEFAULT)


def test_masks_have_names() -> None:
    assert from_mask(0xA80425FB) == DEFAULT
    assert from_mask((1 << 41) - 1) == set(ALL)
