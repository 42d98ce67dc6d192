"""What conmon and the daemon's side cost over the bare OCI runtime.

    .venv/bin/python tests/bench/bench_runtime.py

Runs `true` in a container again and again, one round `runc run`, one round through the monitor
(create, start, exit, delete), in turns, so that a busy machine disturbs both alike. Needs root.
"""

import asyncio
import itertools
import secrets
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from runtime import cgroups
from runtime.bundle import config
from runtime.features import HostFeatures, probe
from runtime.monitor import Monitor, write_config
from runtime.oci import OciRuntime
from runtime.spec import BundleSpec

ROUNDS = 20
PARALLEL = 4


async def main() -> None:
    host = probe()
    program = host.runtime()
    assert program.path and host.conmon.path, program.problem or host.conmon.problem
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="netd-bench-")))
        bench = Bench(folder, host, program.path, host.conmon.path)
        bare, steps = [], list[tuple[float, ...]]()
        for _ in range(ROUNDS):
            bare.append(await bench.bare())
            steps.append(await bench.watched())
        begin = time.perf_counter()
        for _ in range(ROUNDS // PARALLEL):
            await asyncio.gather(*(bench.watched() for _ in range(PARALLEL)))
        parallel = (time.perf_counter() - begin) / ROUNDS
        await cgroups.clear(cgroups.folders("", folder.name, cgroups.mounted()))
    report(program.name, bare, steps, parallel)


def report(name: str, bare: list[float], steps: list[tuple[float, ...]], parallel: float) -> None:
    whole = statistics.median(sum(step) for step in steps)
    base = statistics.median(bare)
    figures = {
        f"{name} run true": base,
        "create": statistics.median(step[0] for step in steps),
        "start": statistics.median(step[1] for step in steps),
        "exit seen": statistics.median(step[2] for step in steps),
        "delete": statistics.median(step[3] for step in steps),
        "create to delete": whole,
        f"the same, {PARALLEL} at a time, each": parallel,
    }
    for what, seconds in figures.items():
        print(f"{what:28} {seconds * 1000:7.1f} ms")
    print(f"ratio to {name} run: {whole / base:.2f}")


class Bench:
    def __init__(self, folder: Path, host: HostFeatures, program: Path, conmon: Path) -> None:
        self.folder = folder
        self.host = host
        self.program = program
        self.oci = OciRuntime(program, folder / "runtime")
        self.monitor = Monitor(conmon, self.oci, folder / "exits")
        root = folder / "rootfs"
        for name in ("bin", "dev", "proc", "sys"):
            (root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "true")

    def bundle(self) -> tuple[str, Path]:
        id_ = secrets.token_hex(32)
        bundle = self.folder / "c" / id_
        spec = BundleSpec(id=id_, rootfs=self.folder / "rootfs", args=("true",),
                          cgroup_parent=f"/{self.folder.name}")  # fmt: skip
        write_config(bundle, config(spec, self.host))
        return id_, bundle

    async def bare(self) -> float:
        id_, bundle = self.bundle()
        begin = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            str(self.program), *self.oci.arguments, "run", "--bundle", str(bundle), id_,
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await process.wait() == 0
        return time.perf_counter() - begin

    async def watched(self) -> tuple[float, ...]:
        id_, bundle = self.bundle()
        times = [time.perf_counter()]
        await self.monitor.create(id_, "bench", bundle, bundle / "ctr.log")
        ended = asyncio.ensure_future(self.monitor.exited(id_, bundle))
        times.append(time.perf_counter())
        await self.oci.start(id_)
        times.append(time.perf_counter())
        assert (await ended).code == 0
        times.append(time.perf_counter())
        await self.oci.delete(id_)
        self.monitor.forget(id_, bundle)
        times.append(time.perf_counter())
        return tuple(after - before for before, after in itertools.pairwise(times))


if __name__ == "__main__":
    asyncio.run(main())
