"""The import rule: who may know whom (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("netd", "ipam", "dns", "drivers", "runtime", "labs")
LEAVES = ("ipam", "dns", "drivers", "runtime")
# The one module that may import a package that is slow or hard to handle.
DOORS = {
    "pyroute2": ("drivers/link.py",),
    "iptc": ("drivers/iptables.py",),
    "aiohttp": ("netd/api",),
    "typer": ("netd/cli",),
    "scapy": ("labs",),
}


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (top package, whole module) of every import statement of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0], node.module


def files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", LEAVES)
def test_a_leaf_package_imports_no_other_of_ours(package: str) -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files(package)
        for top, module in imports(path)
        if top in PACKAGES and top != package
    ]

    assert files(package) and broken == []


def test_labs_and_the_cli_reach_the_daemon_only_over_its_socket() -> None:
    allowed = ("netd.cli", "netd.doctor")
    # `netd daemon` is the daemon itself; it is started from the command line.
    starts_the_daemon = {"netd/cli/daemon.py": "netd.daemon"}
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in [*files("labs"), *files("netd/cli")]
        for top, module in imports(path)
        if top in {"netd", *LEAVES}
        and module != "netd"
        and not module.startswith(allowed)
        and starts_the_daemon.get(str(path.relative_to(ROOT))) != module
    ]

    assert broken == []


@pytest.mark.parametrize("library", DOORS)
def test_a_library_is_imported_behind_its_one_door(library: str) -> None:
    broken = [
        str(path.relative_to(ROOT))
        for path in files(*PACKAGES)
        for top, _ in imports(path)
        if top == library and not str(path.relative_to(ROOT)).startswith(DOORS[library])
    ]

    assert broken == []
