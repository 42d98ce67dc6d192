"""Where libiptc and its relatives are, so that python-iptables can be imported fast.

Left alone, its import asks gcc, ld and ldconfig for four libraries (26 child processes, 0.2 s), and
loads setuptools for one function. While `libraries_known` is entered the questions are answered
here; afterwards everything is as before.
"""

import ctypes.util
import os
import platform
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

LIBRARIES = ("xtables", "ip4tc", "ip6tc")


def extensions() -> Path | None:
    """Return the folder of xtables' match and target extensions; None if it is not installed."""
    return next((path for f in _folders() if (path := f / "xtables").is_dir()), None)


def library(name: str) -> str | None:
    """Return the file name of a library of iptables, with the version behind; None if missing."""
    # Within a folder the newest: the shortest name of each version is the one the linker knows.
    found = (sorted(f.glob(f"lib{name}.so.*"), key=lambda p: len(p.name)) for f in _folders())
    return next((paths[0].name for paths in found if paths), None)


@contextmanager
def libraries_known() -> Iterator[None]:
    """Answer python-iptables' questions about libraries while it is being imported."""
    known = {name: path for name in LIBRARIES if (path := library(name))} | {"c": "libc.so.6"}
    original = ctypes.util.find_library

    def find_library(name: str) -> str | None:
        # Its own compiled part is no system library; it finds that one beside itself.
        return None if "xtwrapper" in name else known.get(name) or original(name)

    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # its string escapes are of Python 2's days
        stack.callback(setattr, ctypes.util, "find_library", original)
        setattr(ctypes.util, "find_library", find_library)  # noqa: B010  # mypy: a function
        if "XTABLES_LIBDIR" not in os.environ and (folder := extensions()):
            stack.callback(os.environ.pop, "XTABLES_LIBDIR", None)
            os.environ["XTABLES_LIBDIR"] = str(folder)
        _without_distutils(stack)
        yield


def _folders() -> Iterator[Path]:
    # Debian and Ubuntu, then Fedora and SUSE, then the rest.
    roots = (Path("/usr/lib"), Path("/lib"), Path("/usr/local/lib"))
    for root in roots:
        yield from sorted(root.glob(f"{platform.machine()}-linux-gnu*"))
    yield from (Path("/usr/lib64"), *roots)


def _without_distutils(stack: ExitStack) -> None:
    # Python 3.11's distutils warns, and setuptools puts a slow one of its own in its place.
    stand_in = ModuleType("distutils.sysconfig")
    setattr(stand_in, "get_python_lib", lambda: sysconfig.get_path("purelib"))  # noqa: B010
    modules = {"distutils": ModuleType("distutils"), "distutils.sysconfig": stand_in}
    for name, module in modules.items():
        if name in sys.modules:
            stack.callback(sys.modules.__setitem__, name, sys.modules[name])
        else:
            stack.callback(sys.modules.pop, name, None)
        sys.modules[name] = module
