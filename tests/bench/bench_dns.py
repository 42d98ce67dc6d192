"""Measure the DNS server with dnsperf, in a network namespace of its own.

Run as root: `python tests/bench/bench_dns.py [seconds]`. Prints the answers a second at full speed
and the latency at a fixed rate. Forwarded questions cost the server twice: it is its own upstream.
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from dns.client import DnsClient
from dns.control import EndpointRecords, NetworkRecords, Snapshot, View

NAMES = 200
INSIDE = "--inside"


def main() -> None:
    if INSIDE in sys.argv:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        asyncio.run(measure(int(sys.argv[-1])))
        return
    if shutil.which("dnsperf") is None:
        sys.exit("dnsperf is not installed")
    seconds = sys.argv[1] if len(sys.argv) > 1 else "5"
    os.execvp("unshare", ["unshare", "-n", sys.executable, __file__, INSIDE, seconds])


async def measure(seconds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        client = await DnsClient.open(Path(folder, "dns.sock"), Path(folder, "dns.log"))
        try:
            await client.synchronise(snapshot())
            port = await open_view(client, View("asker", ("front",)))
            upstream = (ip_address("127.0.0.1"), port)
            forwarding = await open_view(client, View("outsider", (), (upstream,)))
            questions = Path(folder, "questions")
            questions.write_text("".join(f"{name}\n" for name in question_lines()))
            print(f"resident memory: {resident_kib(client.pid)} KiB")
            for options in (
                (f"-p{port}",),
                (f"-p{port}", "-e"),
                (f"-p{port}", "-mtcp"),
                (f"-p{port}", "-Q20000", "-v"),
                (f"-p{port}", "-Q2000", "-v"),
                (f"-p{forwarding}",),
                (f"-p{forwarding}", "-Q500", "-v"),
            ):
                words = ("dnsperf", "-c4", "-q50", "-d", str(questions))
                before = cpu_s(client.pid)
                output = await asyncio.to_thread(
                    subprocess.check_output, (*words, "-l", str(seconds), *options), text=True
                )
                title = " ".join(options[1:]) or "full speed"
                title += " forwarded" if options[0] == f"-p{forwarding}" else ""
                report(title, output, cpu_s(client.pid) - before)
            print(f"resident memory: {resident_kib(client.pid)} KiB")
        finally:
            await client.shutdown()


async def open_view(client: DnsClient, view: View) -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(udp.getsockname())
        tcp.listen()
        await client.open_view(view, udp, tcp)
        return int(udp.getsockname()[1])


def snapshot() -> Snapshot:
    endpoints = tuple(
        EndpointRecords(
            id=f"endpoint{number}",
            network="front",
            names=(f"web{number}", f"alias{number}"),
            addresses=(ip_address(f"10.0.0.{number}"), ip_address(f"fd00::{number:x}")),
            ptr=f"web{number}.front",
        )
        for number in range(1, NAMES + 1)
    )
    return Snapshot((NetworkRecords("front", "front"),), endpoints)


def question_lines() -> Iterable[str]:
    for number in range(1, NAMES + 1):
        yield f"web{number} A"
        yield f"web{number}.front AAAA"
        yield f"Alias{number} A"
        yield f"{number}.0.0.10.in-addr.arpa PTR"


def report(title: str, output: str, server_cpu_s: float) -> None:
    completed = int(re.search(r"Queries completed:\s+(\d+)", output)[1])
    lost = int(re.search(r"Queries lost:\s+(\d+)", output)[1])
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", output)[1])
    codes = re.search(r"Response codes:\s+(.*)", output)[1]
    line = f"{title:>20}: {rate:8.0f} answers/s, {lost} lost, {codes}, "
    line += f"{server_cpu_s / completed * 1e6:.1f} us CPU each"
    if taken := sorted(
        float(each) for each in re.findall(r"^> .* ([\d.]+)$", output, re.MULTILINE)
    ):
        p50, p99 = (taken[int(len(taken) * share)] * 1e6 for share in (0.5, 0.99))
        line += f", p50 {p50:.0f} us, p99 {p99:.0f} us"
    print(line)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


if __name__ == "__main__":
    main()
