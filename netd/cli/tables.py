"""Lists on standard output: aligned tables, JSON a line, Go templates a line."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Row = Mapping[str, object]

_PADDING = 3
_NARROWEST = 10


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list can show: each field's heading, and the table shown unless asked otherwise."""

    headings: Mapping[str, str]
    table: str  # "table {{.ID}}\t{{.Names}}"
    quiet: str = "{{.ID}}"

    def show(self, rows: Sequence[Row], form: str = "", *, quiet: bool = False) -> None:
        """Print rows as `--format` and `--quiet` want them."""
        write(self.text(rows, form, quiet=quiet))

    def text(self, rows: Sequence[Row], form: str = "", *, quiet: bool = False) -> str:
        """Give the rows as `--format` and `--quiet` want them; each line is ended."""
        from netd.cli.template import Template

        chosen = form.strip() or (self.quiet if quiet else self.table)
        if chosen == "json":
            chosen = "{{json .}}"
        if chosen == "raw":
            chosen = "".join(f"{name.lower()}: {{{{.{name}}}}}\\n" for name in self.headings)
        source = chosen.replace("\\t", "\t").replace("\\n", "\n")
        if not source.startswith("table"):
            template = Template(source)
            return "".join(template.render(dict(sorted(row.items()))) + "\n" for row in rows)
        # "table" alone is the default one, also where --quiet was given.
        source = source.removeprefix("table").strip(" ") or self.table.removeprefix("table ")
        template = Template(source)
        lines = [template.render(row) for row in rows]
        return aligned([template.render(self.headings), *lines])


def aligned(lines: Sequence[str]) -> str:
    """Give lines whose cells end in tabs as columns; the last cell of a line is not padded."""
    cells = [line.split("\t") for line in lines]
    widths: dict[int, int] = {}
    for row in cells:
        for column, cell in enumerate(row[:-1]):
            widths[column] = max(widths.get(column, _NARROWEST), len(cell) + _PADDING)
    return "".join(
        "".join(cell.ljust(widths[column]) for column, cell in enumerate(row[:-1])) + row[-1] + "\n"
        for row in cells
    )


def write(text: str) -> None:
    """Write to standard output what may hold characters its encoding lacks."""
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()


def shortened(text: str, width: int) -> str:
    """Give at most so many characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"


def label_of(labels: Mapping[str, str] | None) -> Callable[[str], str]:
    """Give what `{{.Label "name"}}` calls."""
    return lambda name: (labels or {}).get(name, "")


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Give labels in one cell: `a=b,c=d`."""
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))
