"""The words of the command line: help, flags, mistakes, and what a command imports."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer

from netd.cli.commands import SECTIONS
from netd.cli.group import GroupEntry, Section
from netd.cli.root import app

Netd = Callable[..., Any]


def commands(sections: tuple[Section, ...] = SECTIONS, *above: str) -> Iterator[tuple[str, ...]]:
    for section in sections:
        for name, entry in section.commands.items():
            if isinstance(entry, GroupEntry):
                yield from commands(tuple(entry.sections), *above, name)
            else:
                yield (*above, name)


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_the_help_of_every_command_ends_in_an_example_of_it(
    words: tuple[str, ...], netd: Netd
) -> None:
    result = netd(*words, "--help")

    assert result.status == 0
    assert result.out.startswith(f"Usage: netd {' '.join(words)} [OPTIONS]")
    last = result.out.splitlines()[-1]
    assert last.startswith(("Example: netd ", "Example: sudo netd "))


def test_the_help_names_every_command_with_a_summary(netd: Netd) -> None:
    said = netd("--help").out

    for words in commands():
        if len(words) == 1:
            line = next(line for line in said.splitlines() if line.startswith(f"  {words[0]} "))
            assert len(line.split()) > 2


def test_a_group_alone_shows_its_help(netd: Netd) -> None:
    result = netd("network")

    assert result.status == 0
    assert "  create      Create a network\n" in result.out


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (
            ["rm"],
            1,
            "netd: missing argument 'CONTAINER [CONTAINER...]'\nhint: see netd rm --help\n",
        ),
        (["run", "--foo"], 125, "netd: no such option: --foo\nhint: see netd run --help\n"),
        (["ps", "-n", "x"], 125, "netd: invalid value for '-n' / '--last'"),
        (["bogus"], 1, "netd: no such command 'bogus'"),
        (["networks"], 1, "netd: no such command 'networks'. Did you mean 'network'?"),
        (["version", "x"], 1, "netd: got unexpected extra argument(s) (x)"),
    ],
)
def test_wrong_words_are_told_with_where_to_read(
    netd: Netd, words: list[str], status: int, sentence: str
) -> None:
    result = netd(*words)

    assert (result.status, result.out) == (status, "")
    assert result.err.startswith(sentence)


def parsed(*words: str) -> dict[str, Any]:
    """Give the parameters that the words of one command come to."""
    group: Any = typer.main.get_command(app)
    with group.make_context("netd", []) as ctx:
        name, command, rest = group.resolve_command(ctx, list(words))
        with command.make_context(name, rest, parent=ctx) as inner:
            return dict(inner.params)


def test_what_follows_the_image_is_the_containers(netd: Netd) -> None:
    params = parsed("run", "--rm", "-it", "-e", "A=1", "demo", "ls", "--rm", "-l", "--x=true")

    assert params["image"] == "demo"
    assert params["command"] == ("ls", "--rm", "-l", "--x=true")
    assert (params["rm"], params["tty"], params["interactive"]) == (True, True, True)


def test_booleans_are_taken_as_go_writes_them() -> None:
    assert parsed("run", "--sig-proxy=false", "--rm=true", "--init=0", "x")["sig_proxy"] is False
    assert parsed("run", "--sig-proxy=false", "--rm=true", "--init=0", "x")["rm"] is True
    assert parsed("run", "--sig-proxy=false", "--rm=true", "--init=0", "x")["init"] is False


def test_a_value_that_looks_like_a_go_boolean_stays_a_value() -> None:
    params = parsed("run", "-e", "--rm=true", "--name", "--init=0", "x", "--rm=true")

    assert params["env"] == ("--rm=true",)
    assert params["name"] == "--init=0"
    assert params["command"] == ("--rm=true",)
    assert not params["rm"]


def test_options_may_follow_the_arguments_of_other_commands() -> None:
    assert parsed("rm", "web", "-f")["force"] is True
    assert parsed("logs", "web", "--tail=5")["tail"] == "5"


@pytest.mark.parametrize("words", [["version"], ["ps"], ["run", "x"], ["--help"]])
def test_a_command_imports_nothing_slow(words: list[str]) -> None:
    script = (
        "import sys; from netd.cli.main import main; sys.argv[1:] = sys.argv[1:]; main();"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "-H", "unix:///nowhere", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    slow = {"aiohttp", "asyncio", "msgspec", "pyroute2", "rich", "http.client", "ssl", "sqlite3"}
    assert slow & set(done.stderr.split()) == set()
