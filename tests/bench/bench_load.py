"""Time of `ImageStore.load` beside plain `tar x`: python tests/bench/bench_load.py [folder].

The folder (default: the temporary one) decides which disk is measured. `tar x` neither checks a
digest nor waits for the disk; the column "tar x; sync" does the latter, as a load does.
"""

import hashlib
import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from labs.image import build
from runtime.images import ImageStore

FILES, OCTETS = 5_000, 100 << 20
ROUNDS = 3


def main() -> None:
    """Print a table of the best times."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        place = Path(folder)
        print(f"{'image':24} {'load':>9} {'tar x':>9} {'tar x; sync':>12}")
        for name, layers in (
            ("demo", [build._tar(build._system()), build._tar({"www/x": (0o644, build.PAGE)})]),
            ("100 MB, 5,000 files", [made_layer()]),
        ):
            measure(place, name, layers)


def measure(place: Path, name: str, layers: list[bytes]) -> None:
    """Print one line."""
    (place / "image.tar").write_bytes(build.archive(layers, "bench"))
    for number, layer in enumerate(layers):
        (place / f"layer{number}.tar").write_bytes(layer)
    os.sync()

    def load() -> None:
        ImageStore(place / "out").load(place / "image.tar")

    def extract(*, sync: bool) -> None:
        for number in range(len(layers)):
            out = place / "out" / str(number)
            out.mkdir(parents=True)
            subprocess.run(["tar", "-C", out, "-xf", place / f"layer{number}.tar"], check=True)
        if sync:
            subprocess.run(["sync", "-f", place / "out"], check=True)

    times = best(place, [load, lambda: extract(sync=False), lambda: extract(sync=True)])
    print(f"{name:24} {times[0]:7.3f} s {times[1]:7.3f} s {times[2]:10.3f} s")


def best(place: Path, actions: list[Callable[[], None]]) -> list[float]:
    """Return the shortest of some runs of each, each beginning with no output.

    They take turns, as disks of virtual machines get slower once they have written a lot.
    """
    found = [float("inf")] * len(actions)
    for _ in range(ROUNDS):
        for number, action in enumerate(actions):
            shutil.rmtree(place / "out", ignore_errors=True)
            os.sync()
            begun = time.perf_counter()
            action()
            found[number] = min(found[number], time.perf_counter() - begun)
    return found


def made_layer() -> bytes:
    """Make a layer as images are: folders of small files, and some large ones."""
    chance = random.Random(1)
    out = io.BytesIO()
    left = OCTETS
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(FILES):
            if number % 25 == 0:
                folder = tarfile.TarInfo(f"usr/lib/d{number}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
            size = left if number == FILES - 1 else min(left, int(chance.paretovariate(1.1) * 2000))
            left -= size
            entry = tarfile.TarInfo(f"usr/lib/d{number - number % 25}/file{number}")
            entry.size, entry.mode = size, 0o644
            seed = hashlib.sha256(entry.name.encode()).digest()
            tar.addfile(entry, io.BytesIO((seed * (size // 32 + 1))[:size]))
    return out.getvalue()


if __name__ == "__main__":
    main()
