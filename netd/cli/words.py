"""How commands declare their words: arguments, shared options, a dataclass of options."""

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from netd.cli.client import Client
from netd.cli.errors import CliError, ReportedError, UnreachableError

Shape = TypeVar("Shape")


def argument(metavar: str) -> Any:
    """Declare an argument; its name in the usage line says all there is to say."""
    return typer.Argument(metavar=metavar, hidden=True, show_default=False)


NONE: list[str] = []  # the default of words that may be repeated; nobody changes it
ContainerWord = Annotated[str, argument("CONTAINER")]
ContainerWords = Annotated[list[str], argument("CONTAINER [CONTAINER...]")]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="string",
        help="Print with a Go template, 'table TEMPLATE' or 'json'",
        show_default=False,
    ),
]
InspectForm = Annotated[
    str,
    typer.Option(
        "-f",
        "--format",
        metavar="string",
        help="Print with a Go template, or 'json'",
        show_default=False,
    ),
]
Filters = Annotated[
    list[str],
    typer.Option("-f", "--filter", metavar="filter", help="Show only those that match key=value"),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print ids only")]
NoTrunc = Annotated[bool, typer.Option("--no-trunc", help="Do not shorten ids and commands")]
Since = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="time",
        help="Only what came later: 10m, 2026-01-31T12:00:00, seconds since 1970",
        show_default=False,
    ),
]
Until = Annotated[
    str,
    typer.Option("--until", metavar="time", help="Only what came before", show_default=False),
]
DetachKeys = Annotated[
    str,
    typer.Option(
        "--detach-keys",
        metavar="string",
        help="Keys that detach from a terminal (ctrl-p,ctrl-q unless given)",
        show_default=False,
    ),
]


def client_of(ctx: typer.Context) -> Client:
    """Give the client of the daemon that the command line names."""
    return Client(str(ctx.obj))


def report(error: CliError) -> None:
    """Say on standard error what went wrong, and the hint."""
    if error.message:
        print(f"netd: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def each(names: Iterable[str], action: Callable[[str], None]) -> None:
    """Do something for every name, going on past those that cannot; these are reported."""
    refused = False
    for name in names:
        try:
            action(name)
        except UnreachableError:
            raise
        except CliError as error:
            report(error)
            refused = True
    if refused:
        raise ReportedError


def with_options(
    shape: type[Shape],
) -> Callable[[Callable[[typer.Context, Shape], None]], Callable[..., None]]:
    """Make a command whose words are the fields of a dataclass: `Annotated[type, Option]`."""
    hints = get_type_hints(shape, include_extras=True)
    parameters = [inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(
            field.name,
            _KEYWORD,
            annotation=hints[field.name],
            # Typer knows no factories for lists; none given is the empty one of the dataclass.
            default=_default(field.default, field.default_factory),
        )
        for field in fields(shape)  # type: ignore[arg-type]
    ]

    def decorated(function: Callable[[typer.Context, Shape], None]) -> Callable[..., None]:
        def command(ctx: typer.Context, **given: object) -> None:
            function(ctx, shape(**{n: value for n, value in given.items() if value is not None}))

        command.__name__ = function.__name__
        command.__doc__ = function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return decorated


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _default(value: object, factory: object) -> object:
    if value is not MISSING:
        return value
    return None if factory is not MISSING else inspect.Parameter.empty
