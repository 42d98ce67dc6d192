"""`netd` itself: reads the command line and runs one command."""

from typing import Annotated

import typer

from netd.cli.client import default_host
from netd.cli.commands import SECTIONS
from netd.cli.errors import CliError
from netd.cli.group import LazyGroup
from netd.cli.words import report

_USAGE_STATUS = 125  # docker's for flags it does not know


class _Root(LazyGroup):
    """`netd` itself."""

    sections = SECTIONS


app = typer.Typer(
    cls=_Root, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False
)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    host: Annotated[
        str,
        typer.Option(
            "-H",
            "--host",
            metavar="string",
            help="The daemon's socket: unix://PATH",
            show_default=False,
        ),
    ] = "",
    version: Annotated[bool, typer.Option("-v", "--version", help="Print the version")] = False,
) -> None:
    """Launch containers on networks one can see into."""
    ctx.obj = host or default_host()
    ctx.meta["netd.host"] = host
    if version:
        from netd import __version__

        print(f"netd version {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        from netd.cli.welcome import welcome

        welcome(str(ctx.obj))


def status(words: list[str]) -> int:
    """Run the command that the words make, and give its exit status."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("netd", words) as ctx:
            command.invoke(ctx)
    except typer.Exit as end:
        return end.exit_code
    except CliError as error:
        report(error)
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    return 0


def _usage(error: typer.TyperException) -> int:
    """Report words that make no command, as docker does: 125 for flags, else 1."""
    text = error.format_message().rstrip(".")
    ctx = getattr(error, "ctx", None)
    path = ctx.command_path if ctx is not None else "netd"
    report(CliError(text[:1].lower() + text[1:], f"see {path} --help"))
    about_words = type(error).__name__ in {"UsageError", "MissingParameter"}
    return 1 if about_words else _USAGE_STATUS
