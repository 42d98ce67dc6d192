"""images, load, import, tag, rmi, history."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from netd.cli.client import Query, filters, quoted
from netd.cli.errors import CliError
from netd.cli.shapes import HistoryEntry, ImageSummary, RemovedImage
from netd.cli.tables import Listing, shortened
from netd.cli.units import ago, created_at, human_size, rfc3339
from netd.cli.words import NONE, Filters, Form, NoTrunc, Quiet, argument, client_of, each

LISTING = Listing(
    headings={
        "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
        "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
        "Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
    },
    table="table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
)  # fmt: skip
HISTORY = Listing(
    headings={
        "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
        "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
    },
    table="table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
)  # fmt: skip
_DIGESTS = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
_NONE = "<none>"
_PIECE_BYTES = 1 << 20
_COMMAND_WIDTH = 45
_ImageWord = Annotated[str, argument("IMAGE")]


def images(
    ctx: typer.Context,
    repository: Annotated[str, argument("[REPOSITORY[:TAG]]")] = "",
    all_: Annotated[
        bool, typer.Option("-a", "--all", help="Show images without a name too")
    ] = False,
    digests: Annotated[bool, typer.Option("--digests", help="Show digests")] = False,
    filter_: Filters = NONE,
    form: Form = "",
    no_trunc: NoTrunc = False,
    quiet: Quiet = False,
) -> None:
    """List images.

    Example: netd images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
    """
    wanted = [*filter_, f"reference={repository}"] if repository else filter_
    found: list[ImageSummary] = client_of(ctx).json(
        "GET", "/images/json", {"all": all_, "filters": filters(wanted)}
    )
    rows = [row for image in found for row in _rows(image, whole=no_trunc)]
    if quiet:
        rows = list({row["ID"]: row for row in rows}.values())
    LISTING.show(rows, form or (_DIGESTS if digests and not quiet else ""), quiet=quiet)


def load(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            "-i",
            "--input",
            metavar="file",
            help="Archive to read, not standard input",
            show_default=False,
        ),
    ] = "",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what was loaded")] = False,
) -> None:
    """Load images from an archive of docker save, or standard input.

    Example: netd load -i demo.tar
    """
    if not source and sys.stdin.isatty():
        raise CliError(
            "standard input is a terminal, no archive", "name one: netd load -i FILE.tar"
        )
    for said in _uploaded(ctx, "/images/load", {"quiet": quiet}, source or "-"):
        print(said.get("stream", ""), end="", flush=True)


def import_(
    ctx: typer.Context,
    source: Annotated[str, argument("FILE|-")],
    reference: Annotated[str, argument("[REPOSITORY[:TAG]]")] = "",
    change: Annotated[
        list[str],
        typer.Option(
            "-c", "--change", metavar="instruction", help="Dockerfile instruction to apply"
        ),
    ] = NONE,
    message: Annotated[
        str,
        typer.Option(
            "-m", "--message", metavar="string", help="Comment of the image", show_default=False
        ),
    ] = "",
) -> None:
    """Make an image of one layer from the archive of a root file system.

    Example: netd import -c 'CMD ["sh"]' rootfs.tar tiny:1
    """
    repo, tag = _split_tag(reference)
    query = {"fromSrc": "-", "repo": repo, "tag": tag, "message": message, "changes": change}
    for said in _uploaded(ctx, "/images/create", query, source):
        print(said.get("status", ""))


def tag(
    ctx: typer.Context,
    source: Annotated[str, argument("SOURCE_IMAGE[:TAG]")],
    target: Annotated[str, argument("TARGET_IMAGE[:TAG]")],
) -> None:
    """Give an image a further name.

    Example: netd tag demo:latest demo:1
    """
    repo, name = _split_tag(target)
    client_of(ctx).send("POST", f"/images/{quoted(source)}/tag", {"repo": repo, "tag": name})


def rmi(
    ctx: typer.Context,
    names: Annotated[list[str], argument("IMAGE [IMAGE...]")],
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Remove it although stopped containers use it")
    ] = False,
    no_prune: Annotated[
        bool, typer.Option("--no-prune", help="Leave parents without a name")
    ] = False,
) -> None:
    """Remove one or more images.

    Example: netd rmi demo:1
    """
    client = client_of(ctx)

    def act(name: str) -> None:
        query = {"force": force, "noprune": no_prune}
        gone: list[RemovedImage] = client.json("DELETE", f"/images/{quoted(name)}", query)
        for step in gone:
            for verb, what in step.items():
                print(f"{verb}: {what}")

    each(names, act)


def history(
    ctx: typer.Context,
    image: _ImageWord,
    form: Form = "",
    human: Annotated[
        bool, typer.Option("-H", "--human/--no-human", help="Say sizes and times in words")
    ] = True,
    no_trunc: NoTrunc = False,
    quiet: Quiet = False,
) -> None:
    """Show how an image was made.

    Example: netd history --no-trunc demo
    """
    found: list[HistoryEntry] = client_of(ctx).json("GET", f"/images/{quoted(image)}/history")
    HISTORY.show([_step(entry, human=human, whole=no_trunc) for entry in found], form, quiet=quiet)


def _rows(image: ImageSummary, *, whole: bool) -> list[dict[str, str]]:
    names = [name.rpartition(":")[::2] for name in image.get("RepoTags") or []]
    digests = dict(d.split("@", 1) for d in image.get("RepoDigests") or [] if "@" in d)
    shared = image.get("SharedSize", -1)
    common = {
        "ID": image["Id"] if whole else _short(image["Id"]),
        "CreatedSince": ago(image.get("Created", 0)),
        "CreatedAt": created_at(image.get("Created", 0)),
        "Size": human_size(image.get("Size", 0)),
        "Containers": "N/A" if image.get("Containers", -1) < 0 else str(image.get("Containers")),
        "SharedSize": "N/A" if shared < 0 else human_size(shared),
        "UniqueSize": "N/A" if shared < 0 else human_size(image.get("Size", 0) - shared),
    }
    return [
        {"Repository": repo, "Tag": name, "Digest": digests.get(repo, _NONE), **common}
        for repo, name in names or [(_NONE, _NONE)]
    ]


def _step(entry: HistoryEntry, *, human: bool, whole: bool) -> dict[str, str]:
    made = entry.get("CreatedBy", "").replace("\t", " ")
    moment = entry.get("Created", 0)
    return {
        "ID": entry.get("Id", _NONE) if whole else _short(entry.get("Id", _NONE)),
        "CreatedSince": ago(moment) if human else rfc3339(moment),
        "CreatedAt": rfc3339(moment),
        "CreatedBy": made if whole else shortened(made, _COMMAND_WIDTH),
        "Size": human_size(entry.get("Size", 0)) if human else str(entry.get("Size", 0)),
        "Comment": entry.get("Comment", ""),
    }


def _short(image_id: str) -> str:
    return image_id if image_id.startswith("<") else image_id.removeprefix("sha256:")[:12]


def _split_tag(reference: str) -> tuple[str, str]:
    """Cut `host:5000/a/b:1` into repository and tag; a digest or port is no tag."""
    repo, separator, name = reference.rpartition(":")
    return (repo, name) if separator and "/" not in name and "@" not in repo else (reference, "")


def _uploaded(ctx: typer.Context, path: str, query: Query, source: str) -> Iterator[dict[str, str]]:
    """Send an archive and give what the daemon says about it, line by line."""
    import json

    with (
        _opened(source) as archive,
        client_of(ctx).open("POST", path, query, stream=_read(archive)) as answer,
    ):
        for line in answer.lines():
            said: dict[str, str] = json.loads(line)
            if "error" in said:
                raise CliError(said["error"])
            yield said


def _opened(source: str) -> "nullcontext[BinaryIO] | BinaryIO":
    if source == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise CliError(f"cannot read {source!r}: {error.strerror}") from error


def _read(archive: BinaryIO) -> Iterator[bytes]:
    while piece := archive.read(_PIECE_BYTES):
        yield piece
