"""Sandboxes in the real kernel."""

from pathlib import Path

import pytest

from drivers.contract import DriverError
from drivers.sandbox import create_sandbox, entered, remove_sandbox, sandbox_exists

pytestmark = pytest.mark.kernel


def own_namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_sandbox_is_there_from_its_creation_to_its_removal(tmp_path: Path) -> None:
    path = tmp_path / "run" / "netns" / "box"

    assert not sandbox_exists(path)
    create_sandbox(path)
    assert sandbox_exists(path)
    remove_sandbox(path)
    assert not sandbox_exists(path) and not path.exists()


def test_creating_a_sandbox_again_keeps_the_namespace(tmp_path: Path) -> None:
    path = tmp_path / "box"
    create_sandbox(path)
    before = path.stat().st_ino

    create_sandbox(path)

    assert path.stat().st_ino == before
    remove_sandbox(path)


def test_a_file_left_over_from_before_a_reboot_becomes_a_sandbox(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.touch()

    create_sandbox(path)

    assert sandbox_exists(path)
    remove_sandbox(path)


def test_removing_a_sandbox_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "box"

    remove_sandbox(path)
    create_sandbox(path)
    remove_sandbox(path)
    remove_sandbox(path)

    assert not path.exists()


def test_a_sandbox_that_cannot_be_bound_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "box"
    monkeypatch.setattr("drivers.sandbox.MS_BIND", 0x20)  # a remount of what is no mount

    with pytest.raises(DriverError, match=r"cannot make a network namespace at .*box: .*mount"):
        create_sandbox(path)

    assert not path.exists()


def test_one_is_back_in_the_own_namespace_after_an_error_inside(tmp_path: Path) -> None:
    path = tmp_path / "box"
    create_sandbox(path)
    before, seen = own_namespace(), list[int]()

    def go_wrong() -> None:
        with entered(path):
            seen.append(own_namespace())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        go_wrong()

    assert (seen, own_namespace()) == ([path.stat().st_ino], before)
    remove_sandbox(path)


@pytest.mark.parametrize("present", [False, True])
def test_entering_what_is_no_sandbox_names_the_path(tmp_path: Path, present: bool) -> None:
    path = tmp_path / "box"
    if present:
        path.touch()
    before = own_namespace()

    with pytest.raises(DriverError, match=r"no network namespace at .*box"), entered(path):
        pass

    assert own_namespace() == before


def test_everyone_in_a_sandbox_may_ping_and_bind_low_ports(tmp_path: Path) -> None:
    path = tmp_path / "box"
    create_sandbox(path)

    with entered(path):
        ping = Path("/proc/sys/net/ipv4/ping_group_range").read_text().split()
        low = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip()

    assert (ping, low) == (["0", "2147483647"], "0")
    remove_sandbox(path)


def test_creating_sandboxes_keeps_no_descriptors(tmp_path: Path) -> None:
    before = descriptors()

    for number in range(5):
        create_sandbox(tmp_path / str(number))
        with entered(tmp_path / str(number)):
            pass
        remove_sandbox(tmp_path / str(number))

    assert descriptors() == before
