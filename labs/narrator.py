"""How a lab speaks: steps, sentences, commands and what they print."""

import sys
import textwrap

WIDTH = 92


class Narrator:
    """Prints a lab; in colour where it is read by a person."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty()
        self._step = 0

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._step += 1
        print(f"\n{self._paint('1', f'{self._step}. {title}')}", flush=True)

    def say(self, *sentences: str) -> None:
        """Explain; sentences are wrapped to the page."""
        text = " ".join(" ".join(sentences).split())
        print(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   "), flush=True)

    def draw(self, picture: str) -> None:
        """Show a picture as it is."""
        print(textwrap.indent(picture, "   "), flush=True)

    def show(self, command: str, output: str, at: str = "") -> None:
        """Show a command and what it printed, where there are several machines `at` which."""
        print(f"   {self._paint('36', f'{at}$ {command}')}", flush=True)
        for line in output.rstrip("\n").splitlines() or ["(nothing)"]:
            print(f"     {line}".rstrip(), flush=True)

    def verdict(self, text: str) -> None:
        """Say how it ended."""
        print(f"\n{self._paint('1;32', text)}", flush=True)

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text
