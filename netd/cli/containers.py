"""ps: the list of containers."""

import json
from typing import Annotated

import typer

from netd.cli.client import filters
from netd.cli.port_texts import ports_text
from netd.cli.shapes import ContainerSummary
from netd.cli.tables import Listing, label_of, labels_text, shortened
from netd.cli.units import ago, created_at, human_size
from netd.cli.words import NONE, Filters, Form, NoTrunc, Quiet, client_of

_COLUMNS = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
LISTING = Listing(
    headings={
        "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS",
        "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS",
        "Networks": "NETWORKS", "LocalVolumes": "LOCAL VOLUMES",
    },
    table=f"table {_COLUMNS}",
)  # fmt: skip
_WITH_SIZE = f"table {_COLUMNS}\t{{{{.Size}}}}"
_ID_WIDTH = 12
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def ps(
    ctx: typer.Context,
    *,
    all_: Annotated[
        bool, typer.Option("-a", "--all", help="Show stopped ones too, not just running")
    ] = False,
    quiet: Quiet = False,
    last: Annotated[
        int,
        typer.Option(
            "-n", "--last", metavar="int", help="Show the n created last", show_default=False
        ),
    ] = -1,
    latest: Annotated[
        bool, typer.Option("-l", "--latest", help="Show the one created last")
    ] = False,
    no_trunc: NoTrunc = False,
    filter_: Filters = NONE,
    form: Form = "",
    size: Annotated[bool, typer.Option("-s", "--size", help="Show how much each wrote")] = False,
) -> None:
    """List containers.

    Example: netd ps -a --filter network=front --format '{{.Names}} {{.Status}}'
    """
    limit = 1 if latest else last
    query = {
        "all": all_ or limit > 0,
        "limit": limit if limit > 0 else None,
        "size": size or ".Size" in form,
        "filters": filters(filter_),
    }
    found: list[ContainerSummary] = client_of(ctx).json("GET", "/containers/json", query)
    rows = [row(summary, whole=no_trunc) for summary in found]
    if size and form in {"", "table"} and not quiet:
        form = _WITH_SIZE
    LISTING.show(rows, form, quiet=quiet)


def row(summary: ContainerSummary, *, whole: bool = False) -> dict[str, object]:
    """Give the fields of one container, as docker's `--format` names them."""
    command = summary.get("Command", "")
    names = [name.removeprefix("/") for name in summary.get("Names", [])]
    created = summary.get("Created", 0)
    mounts = [m.get("Name") or m.get("Source", "") for m in summary.get("Mounts", [])]
    image = summary.get("Image") or "<no image>"
    return {
        "ID": summary["Id"] if whole else summary["Id"][:_ID_WIDTH],
        "Image": image if whole else _short_image(image),
        "Command": json.dumps(command if whole else shortened(command, _COMMAND_WIDTH),
                              ensure_ascii=False),
        "CreatedAt": created_at(created),
        "RunningFor": ago(created),
        "Ports": ports_text(summary.get("Ports", [])),
        "State": summary.get("State", ""),
        "Status": summary.get("Status", ""),
        "Size": _size_text(summary),
        "Names": ",".join(names),
        "Labels": labels_text(summary.get("Labels")),
        "Label": label_of(summary.get("Labels")),
        "Mounts": ",".join(m if whole else shortened(m, _MOUNT_WIDTH) for m in mounts),
        "Networks": ",".join(sorted(summary.get("NetworkSettings", {}).get("Networks", {}))),
        "LocalVolumes": str(sum(1 for m in summary.get("Mounts", []) if m.get("Name"))),
    }  # fmt: skip


def _short_image(image: str) -> str:
    plain = image.removeprefix("sha256:")
    is_id = len(plain) == 64 and all(digit in "0123456789abcdef" for digit in plain)
    return plain[:_ID_WIDTH] if is_id else image


def _size_text(summary: ContainerSummary) -> str:
    size = human_size(summary.get("SizeRw", 0))
    root = summary.get("SizeRootFs", 0)
    return f"{size} (virtual {human_size(root)})" if root else size
