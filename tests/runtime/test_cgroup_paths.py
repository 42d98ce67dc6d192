"""Where cgroups are, from the text of mountinfo."""

from pathlib import Path

from runtime.cgroups import Hierarchy, folders, hierarchies

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = """\
31 23 0:27 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
32 31 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 31 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:31 / /sys/fs/cgroup/memory rw shared:14 master:2 - cgroup cgroup rw,memory
36 31 0:31 / /elsewhere/with\\040space rw - cgroup cgroup rw,memory
"""


def test_a_pure_version_2_host_has_one_tree() -> None:
    assert hierarchies(V2) == (Hierarchy(Path("/sys/fs/cgroup"), 2),)


def test_a_hybrid_host_has_one_for_each_controller() -> None:
    root = Path("/sys/fs/cgroup")

    assert hierarchies(HYBRID) == (
        Hierarchy(root / "cpu,cpuacct", 1, frozenset({"cpu", "cpuacct"})),
        Hierarchy(root / "memory", 1, frozenset({"memory"})),
        Hierarchy(root / "systemd", 1),
        Hierarchy(root / "unified", 2),
    )


def test_a_container_has_a_folder_in_each(tmp_path: Path) -> None:
    trees = [Hierarchy(tmp_path / name, 1) for name in ("cpu", "memory")]

    assert folders("/netd", "4f", trees) == (
        tmp_path / "cpu" / "netd" / "4f",
        tmp_path / "memory" / "netd" / "4f",
    )
    assert folders("", "4f", trees[:1]) == (tmp_path / "cpu" / "4f",)


def test_a_tree_at_two_places_counts_once(tmp_path: Path) -> None:
    (tmp_path / "cpu,cpuacct" / "netd" / "4f").mkdir(parents=True)
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    trees = [Hierarchy(tmp_path / name, 1) for name in ("cpu", "cpu,cpuacct")]

    assert len(folders("/netd", "4f", trees)) == 1
