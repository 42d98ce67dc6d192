from pathlib import Path

import pytest
from makers import container, endpoint, image, network, running, subnet
from msgspec.structs import replace

from netd.errors import ConflictError, InternalError, InvalidError, NotFoundError
from netd.store import Store


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
