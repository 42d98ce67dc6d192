"""Typer with commands that are imported when they are used.

Building every command costs more than running one, so a group holds the place of each function
("netd.cli.images:load") and makes the one command that the user typed. The function's docstring is
its help; its last paragraph, `Example: ...`, is printed after the options.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Their own options end at the first argument: what follows belongs to the container's command.
_PASSING_ON = {"run", "create", "exec"}
_GO_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading of the help text and its commands: name -> place of the function or group."""

    title: str
    commands: Mapping[str, "str | GroupEntry"]


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group of commands, such as `netd network`."""

    summary: str
    sections: Sequence[Section]


class Command(TyperCommand):
    """A command that takes `--flag=false` and shows its usage as Docker does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words after the command's name."""
        return super().parse_args(ctx, self._without_go_booleans(ctx, args))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Give the words of the usage line, arguments as they were named."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the example as it is, not wrapped."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")

    def _without_go_booleans(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `--name` or `--no-name` for Go's `--name=true` and `--name=false`."""
        options = {name: param for param in self.get_params(ctx) for name in param.opts}
        out: list[str] = []
        waiting = iter(args)
        for word in waiting:
            name, separator, value = word.partition("=")
            param = options.get(name)
            flag = getattr(param, "is_bool_flag", False)
            if word == "--" or (not word.startswith("-") and not ctx.allow_interspersed_args):
                return [*out, word, *waiting]
            if param and flag and separator and value.lower() in _GO_BOOLEANS:
                wanted = _GO_BOOLEANS[value.lower()]
                out += [name] if wanted else getattr(param, "secondary_opts", [])[:1]
                continue
            out.append(word)
            if self._takes_next(word, options):
                out += [following for following in [next(waiting, None)] if following is not None]
        return out

    @staticmethod
    def _takes_next(word: str, options: Mapping[str, Any]) -> bool:
        """Say whether the word is an option whose value is the next word."""
        if word.startswith("--"):
            param = options.get(word)
            return param is not None and not param.is_flag
        if not word.startswith("-"):
            return False
        for index, letter in enumerate(word[1:], 2):
            param = options.get(f"-{letter}")
            if param is not None and not param.is_flag:
                return index == len(word)
        return False


class LazyCommands(MutableMapping[str, Any]):
    """The commands of a group by name, each built when it is asked for."""

    def __init__(self, sections: Sequence[Section]) -> None:
        self._entries = {name: entry for part in sections for name, entry in part.commands.items()}

    def __getitem__(self, name: str) -> Any:
        """Build the command; KeyError for one that is not there."""
        entry = self._entries[name]
        if isinstance(entry, GroupEntry):
            return LazyGroup(sections=entry.sections, name=name, help=entry.summary)
        return _built(name, entry)

    def __iter__(self) -> Iterator[str]:
        """Give the names."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Give how many there are."""
        return len(self._entries)

    def __setitem__(self, name: str, entry: Any) -> None:
        """Put a command, as Typer may."""
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        """Take a command away."""
        del self._entries[name]


class LazyGroup(TyperGroup):
    """A group whose commands stand in sections."""

    sections: Sequence[Section] = ()

    def __init__(self, *, sections: Sequence[Section] = (), **settings: Any) -> None:
        super().__init__(**(settings | {"rich_markup_mode": None}))
        self.sections = sections or self.sections
        self.commands = LazyCommands(self.sections)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named; without one, print the help."""
        if not self.invoke_without_command and not ctx.args and not ctx._protected_args:
            typer.echo(ctx.get_help())
            return None
        return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the sections; commands are not built for it."""
        for section in self.sections:
            with formatter.section(section.title):
                formatter.write_dl([(name, _summary(e)) for name, e in section.commands.items()])


def _built(name: str, place: str) -> Any:
    function = _function(place)
    text, _, example = inspect.cleandoc(function.__doc__ or "").partition("Example: ")
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command(
        name,
        cls=Command,
        help=text.strip(),
        epilog=f"Example: {example}" if example else None,
        context_settings={"allow_interspersed_args": name not in _PASSING_ON},
    )(function)
    return typer.main.get_command(app)


def _function(place: str) -> Callable[..., None]:
    module, _, name = place.partition(":")
    function: Callable[..., None] = getattr(import_module(module), name)
    return function


def _summary(entry: str | GroupEntry) -> str:
    if isinstance(entry, GroupEntry):
        return entry.summary
    return (_function(entry).__doc__ or "").partition("\n")[0].rstrip(".")
