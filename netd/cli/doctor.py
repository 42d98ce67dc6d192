"""doctor: what this machine has and lacks, a line each, with what to do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netd.cli.client import Client
from netd.cli.errors import CliError
from netd.cli.tables import Listing
from netd.cli.words import Form

if TYPE_CHECKING:
    from netd.cli.shapes import ImageSummary
    from netd.doctor.findings import Finding

LISTING = Listing(
    headings={"Verdict": "", "Topic": "TOPIC", "Text": "FOUND", "Advice": "TO DO"},
    table="table {{.Verdict}}\t{{.Topic}}\t{{.Text}}",
    quiet="{{.Topic}}",
)


_DataRoot = Annotated[
    str,
    typer.Option(
        "--data-root",
        metavar="path",
        help="Folder of what survives a reboot",
        envvar="NETD_DATA_ROOT",
        show_envvar=False,
    ),
]
_ExecRoot = Annotated[
    str,
    typer.Option(
        "--exec-root",
        metavar="path",
        help="Folder of what runs",
        envvar="NETD_EXEC_ROOT",
        show_envvar=False,
    ),
]


def doctor(
    ctx: typer.Context,
    data_root: _DataRoot = "/var/lib/netd",
    exec_root: _ExecRoot = "/run/netd",
    form: Form = "",
) -> None:
    """Say what this machine has and lacks for containers, and what to do.

    Nothing is changed. The exit status is 0 when containers can run.

    Example: sudo netd doctor
    """
    from netd.doctor.examination import examined
    from netd.doctor.findings import Verdict

    daemon = _daemon(Client(str(ctx.obj)))
    runs = daemon[0].verdict is Verdict.OK
    found = examined(Path(data_root), Path(exec_root), daemon_runs=runs) + daemon
    LISTING.show([_row(finding, table=not form) for finding in found], form)
    missing = [finding.topic for finding in found if finding.verdict is Verdict.MISSING]
    unknown = any(finding.verdict is Verdict.UNKNOWN for finding in found)
    if not form:
        print(f"\n{_summary(missing, sure=runs or not unknown)}")
    if missing or (unknown and not runs):
        raise typer.Exit(1)


def _summary(missing: list[str], *, sure: bool) -> str:
    if missing:
        return f"containers cannot run here yet: {', '.join(missing)}"
    if sure:
        return "containers can run here"
    return "whether containers can run here could not be told: sudo netd doctor can"


def _row(finding: "Finding", *, table: bool) -> dict[str, str]:
    text = finding.text
    if table and finding.advice:
        text += f" -> {finding.advice}"
    return {
        "Verdict": finding.verdict.value,
        "Topic": finding.topic,
        "Text": text,
        "Advice": finding.advice,
    }


def _daemon(client: Client) -> "list[Finding]":
    """Give what there is to say about the daemon, first, and about the images it has."""
    from netd.doctor.findings import Finding, Verdict

    try:
        version = client.json("GET", "/version")["Version"]
        images: list[ImageSummary] = client.json("GET", "/images/json")
    except CliError as error:
        return [Finding("daemon", Verdict.NOTE, error.message, error.hint)]
    running = Finding("daemon", Verdict.OK, f"{version} answers at {client.host}")
    if images:
        return [running, Finding("images", Verdict.OK, f"{len(images)} here")]
    advice = "netd load -i .cache/demo.tar, or any archive of docker save"
    return [running, Finding("images", Verdict.NOTE, "none here", advice)]
