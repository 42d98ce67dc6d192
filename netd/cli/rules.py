"""network rules: the firewall's rules in force, in plain words."""

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Annotated

import typer

from netd.cli.errors import CliError
from netd.cli.shapes import FirewallRule, FirewallRules
from netd.cli.tables import Listing, write
from netd.cli.units import human_size
from netd.cli.words import Form, argument, client_of

LISTING = Listing(
    headings={
        "Packets": "PACKETS", "Bytes": "BYTES", "Verdict": "VERDICT", "Owner": "OWNER",
        "Network": "NETWORK", "Container": "CONTAINER", "Reason": "WHAT HAPPENS", "Stage": "STAGE",
        "Place": "PLACE", "Raw": "RAW",
    },
    table="table {{.Packets}}\t{{.Bytes}}\t{{.Verdict}}\t{{.Owner}}\t{{.Reason}}",
)  # fmt: skip

STAGES = {
    "in": "what comes in",
    "ports": "ports that lead to containers (counted once a connection)",
    "forward": "what is forwarded",
    "out": "what goes out (counted once a connection)",
    "send": "what containers may send",
}
_HEADINGS = ("PACKETS", "BYTES", "VERDICT", "OWNER", "WHAT HAPPENS")
_SHORT = {"led elsewhere": "led", "address changed": "changed"}  # there is a sentence beside it
_NARROWEST = 30  # the last column is not wrapped to less


def rules(
    ctx: typer.Context,
    of: Annotated[str | None, argument("[NETWORK|CONTAINER]")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print them as iptables-save -c or nft list them")
    ] = False,
    form: Form = "",
) -> None:
    """Show the firewall rules in force, in plain words, and what they have counted.

    With a network or a container, only those that concern it. They stand in the order in which
    packets meet them. Packets are counted since a rule was made.

    Example: netd network rules front
    """
    if of == "":
        raise CliError("a name or id is needed, not ''")
    if raw and form:
        raise CliError("--raw and --format cannot be combined", "leave out one of them")
    answer: FirewallRules = client_of(ctx).json("GET", "/netd/rules", {"of": of})
    found = answer["Rules"]
    if form:
        LISTING.show([_row(rule) for rule in found], form)
    elif found:
        write(raw_text(found) if raw else table(found, _columns()))
    else:
        print(f"no rule of netd concerns {of or 'anything'}", file=sys.stderr)


def raw_text(found: Iterable[FirewallRule]) -> str:
    """Give the tools' own text, each place under its name."""
    places: dict[str, list[str]] = {}
    for rule in found:
        places.setdefault(rule["Place"], []).append(rule["Raw"])
    return "\n".join("\n".join((f"# {place}", *texts, "")) for place, texts in places.items())


def table(found: Iterable[FirewallRule], columns: int = 0) -> str:
    """Give rules in words, stage by stage; those that say the same of both families are one.

    Sentences are wrapped to the columns of a terminal; zero: they are not.
    """
    rows = _folded(found)
    cells = [_HEADINGS, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [*_lines(_HEADINGS, widths, columns)]
    for stage, of_stage in groupby(rows, key=lambda rule: rule["Stage"]):
        lines += ["", STAGES.get(stage, stage)]
        lines += [line for rule in of_stage for line in _lines(_cells(rule), widths, columns)]
    return "".join(f"{line}\n" for line in lines)


def _folded(found: Iterable[FirewallRule]) -> list[FirewallRule]:
    folded: dict[tuple[str, ...], FirewallRule] = {}
    for rule in found:
        key = (rule["Stage"], rule["Verdict"], _owner(rule), rule["Reason"])
        folded[key] = _sum(folded[key], rule) if key in folded else rule
    return [*folded.values()]


def _sum(one: FirewallRule, other: FirewallRule) -> FirewallRule:
    if one["Packets"] is None or one["Bytes"] is None:
        return one
    packets = one["Packets"] + (other["Packets"] or 0)
    return {**one, "Packets": packets, "Bytes": one["Bytes"] + (other["Bytes"] or 0)}


def _cells(rule: FirewallRule) -> tuple[str, ...]:
    packets, octets = rule["Packets"], rule["Bytes"]
    return (
        "-" if packets is None else str(packets),
        "-" if octets is None else human_size(octets),
        _SHORT.get(rule["Verdict"], rule["Verdict"]),
        _owner(rule),
        rule["Reason"],
    )


def _owner(rule: FirewallRule) -> str:
    owner = rule["Owner"]
    return "/".join(filter(None, (owner["Network"], owner["Container"]))) or "all"


def _row(rule: FirewallRule) -> dict[str, object]:
    return {**rule, **rule["Owner"], "Owner": _owner(rule)}


def _lines(cells: Sequence[str], widths: Sequence[int], columns: int) -> list[str]:
    """Give a row's lines: numbers to the right, the rest to the left, the last cell wrapped."""
    sides = (str.rjust, str.rjust, str.ljust, str.ljust)
    padded = [side(cell, width) for side, cell, width in zip(sides, cells, widths, strict=False)]
    head = "  ".join((*padded, ""))
    width = max(columns - len(head), _NARROWEST) if columns else len(cells[-1]) + 1
    wrapped = textwrap.wrap(cells[-1], width, break_on_hyphens=False) or [""]
    return [head + wrapped[0], *(" " * len(head) + line for line in wrapped[1:])]


def _columns() -> int:
    """Give the columns of the terminal on standard output; zero: it is none."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return 0
