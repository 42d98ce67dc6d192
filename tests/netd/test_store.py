import sqlite3
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path

import pytest
from makers import container, endpoint, image, network, running, subnet
from msgspec.structs import replace

from netd.errors import ConflictError, InternalError, InvalidError, NotFoundError
from netd.store import Released, Store


def test_what_was_put_is_there_after_a_restart(store: Store, tmp_path: Path) -> None:
    front = network("front", subnet(), subnet("fd00::/64", "fd00::1"))
    web = running(container("web", endpoint(front, "10.0.0.2/24", "fd00::2/64", aliases=("www",))))
    demo = image("demo:latest", "demo:1")
    store.networks.put(front)
    store.containers.put(web)
    store.images.put(demo)
    store.close()

    again = Store(tmp_path / "netd.db")

    assert ([*again.networks], [*again.containers], [*again.images]) == ([front], [web], [demo])
    again.close()


def test_a_thing_is_found_by_id_name_and_unique_prefix(store: Store) -> None:
    web = container("web")
    store.containers.put(web)

    assert store.containers.find(web.id) == web
    assert store.containers.find("web") == web
    assert store.containers.find(web.id[:5]) == web


def test_an_ambiguous_prefix_is_refused(store: Store) -> None:
    for name in ("web1", "web2"):
        store.containers.put(container(name))

    with pytest.raises(InvalidError, match="776562"):
        store.containers.find("776562")


@pytest.mark.parametrize("reference", ["", "nobody", "fff", "*"])
def test_an_unknown_reference_is_told(store: Store, reference: str) -> None:
    store.containers.put(container("web"))

    with pytest.raises(NotFoundError, match="No such container"):
        store.containers.find(reference)


def test_a_name_belongs_to_one(store: Store) -> None:
    store.containers.put(container("web"))
    other = replace(container("other"), name="web")

    with pytest.raises(ConflictError, match="web"):
        store.containers.put(other)

    assert other.id not in store.containers


def test_an_old_name_is_free_after_a_rename(store: Store) -> None:
    web = container("web")
    store.containers.put(web)
    store.containers.put(replace(web, name="www"))

    assert store.containers.named("web") is None
    assert store.containers.named("www") is not None


def test_removing_may_be_repeated(store: Store) -> None:
    web = container("web")
    store.containers.put(web)

    store.containers.remove(web.id)
    store.containers.remove(web.id)

    assert [*store.containers] == []


def test_a_state_of_a_newer_netd_is_refused(store: Store, tmp_path: Path) -> None:
    store._connection.execute("PRAGMA user_version = 99")

    with pytest.raises(InternalError, match="newer"):
        Store(tmp_path / "netd.db")


def test_what_is_there_can_be_changed_and_removed_on_a_full_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "netd.db")
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")  # as if the disk ended there
    names = [f"c{number}" for number in range(50)]

    for name in names:
        store.containers.put(container(name))
    for name in names:
        store.containers.put(running(container(name)))
    store.containers.remove(container("c0").id)
    store.close()

    again = Store(tmp_path / "netd.db")
    assert [each.name for each in again.containers] == names[1:]
    again.close()


def test_what_cannot_be_stored_is_told_and_can_be_noted(store: Store) -> None:
    store._connection.execute("PRAGMA query_only = 1")
    web = container("web")

    with pytest.raises(InternalError, match="cannot store the state"):
        store.containers.put(web)
    assert [*store.containers] == []
    store.containers.note(web)

    assert store.containers.find("web") == web


def test_a_file_that_is_no_state_is_told(tmp_path: Path) -> None:
    path = tmp_path / "netd.db"
    path.write_bytes(b"no database, but long enough to be taken for one" * 100)

    with pytest.raises(InternalError, match=r"cannot open the state .*netd\.db"):
        Store(path)


def test_of_released_addresses_only_the_last_ones_are_known() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        released = Released(connection, kept=3)
        for number in range(1, 6):
            released.add("front", ip_address(f"fd00::{number}"), f"web{number}")
        released.add("back", ip_address("fd01::1"), "web6")
        released.add("front", ip_address("fd00::4"), "web7")

        assert released.of("front") == [
            (ip_address("fd00::5"), "web5"), (ip_address("fd00::4"), "web7"),
        ]  # fmt: skip
        assert released.of("back") == [(ip_address("fd01::1"), "web6")]
