"""Go's template language, as far as `--format` needs it.

    {{.A.B}} {{json .}} {{index .A "b" 0}} {{range $k, $v := .A}}..{{else}}..{{end}}
    {{if eq .A "x"}}..{{else if .B}}..{{end}} {{with .A}}..{{end}} {{$x := .A}} {{.A | json}}

`{{-` and `-}}` trim white space. A field that is not there is an error when printed, false in a
condition; `index` gives nothing for a key that is not there. Values are those of JSON.
Source: the documentation of Go's text/template, and of Docker's --format.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from netd.cli.template_functions import FUNCTIONS, Missing, TemplateError, go_text, truth

__all__ = ["Template", "TemplateError"]

_ACTION = re.compile(
    r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|.)*?)\s*(\s-)?\}\}", re.DOTALL
)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<field>(?:\.[A-Za-z_]\w*)+|\.)
      | (?P<variable>\$\w*)
      | (?P<assign>:=|=)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>[()|,])
    )""",
    re.VERBOSE,
)
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "nil": None}


@dataclass(slots=True)
class _Node:
    """One block or piece of text: `{{word pipeline}}body{{else}}other{{end}}`."""

    word: str  # text, print, if, range, with
    text: str = ""
    tokens: Sequence[tuple[str, str]] = ()
    body: list["_Node"] = field(default_factory=list)
    other: list["_Node"] = field(default_factory=list)


class Template:
    """A parsed template; `render` may be called any number of times."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._pieces = list(_pieces(source))
        self._nodes, ended = self._block()
        if ended:
            raise TemplateError(f"template {source!r}: {{{{{ended}}}}} without a block")

    def render(self, value: object) -> str:
        """Give the text for a value of JSON."""
        return "".join(_rendered(self._nodes, value, {"$": value}))

    @property
    def fields(self) -> list[str]:
        """The fields printed at the top level, in order: a table's columns."""
        chosen = []
        for node in self._nodes:
            names = [text for kind, text in node.tokens if kind == "field" and len(text) > 1]
            if node.word != "text" and names:
                chosen.append(names[0].split(".")[1])
        return chosen

    def _block(self) -> tuple[list[_Node], str]:
        nodes: list[_Node] = []
        while self._pieces:
            text, action = self._pieces.pop(0)
            if text:
                nodes.append(_Node("text", text))
            if not action:
                continue
            tokens = _tokens(action, self._source)
            word = tokens[0][1] if tokens[0][0] == "word" else ""
            if word in {"else", "end"}:
                return nodes, action
            if word in {"if", "range", "with"}:
                nodes.append(self._opened(word, tokens[1:]))
            else:
                nodes.append(_Node("print", tokens=tokens))
        return nodes, ""

    def _opened(self, word: str, tokens: Sequence[tuple[str, str]]) -> _Node:
        if not tokens:
            raise TemplateError(f"template {self._source!r}: {{{{{word}}}}} has no value")
        node = _Node(word, tokens=tokens)
        node.body, ended = self._block()
        if ended.startswith("else"):
            rest = ended.removeprefix("else").strip()
            if rest:
                nested, _, condition = rest.partition(" ")
                node.other = [self._opened(nested, _tokens(condition, self._source))]
                return node  # the inner one took the end
            node.other, ended = self._block()
        if ended != "end":
            raise TemplateError(f"template {self._source!r}: {{{{{word}}}}} without {{{{end}}}}")
        return node


def _pieces(source: str) -> list[tuple[str, str]]:
    """Cut a source into (text before, action); the last action is empty."""
    pieces, start, trim = [], 0, False
    for match in _ACTION.finditer(source):
        text = source[start : match.start()]
        text = text.lstrip() if trim else text
        text = text.rstrip() if match[1] else text
        action = "" if match[2].startswith("/*") else match[2].strip()
        if not action and not match[2].startswith("/*"):
            raise TemplateError(f"template {source!r}: empty {{{{}}}}")
        pieces.append((text, action))
        start, trim = match.end(), bool(match[3])
    text = source[start:].lstrip() if trim else source[start:]
    if "{{" in text:
        raise TemplateError(f"template {source!r}: {{{{ is not closed")
    return [*pieces, (text, "")]


def _tokens(action: str, source: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(action.rstrip()):
        match = _TOKEN.match(action, at)
        if not match or not match.lastgroup:
            raise TemplateError(f"template {source!r}: cannot read {action[at:].strip()!r}")
        adjoins = bool(tokens) and not action[at : match.end()][:1].isspace()
        # `$x.Name` and `(f).Name` read a field of what stands before them, `f .Name` does not.
        kind = "chain" if match.lastgroup == "field" and adjoins else match.lastgroup
        if kind == "chain" and tokens[-1][0] != "variable" and tokens[-1][1] != ")":
            kind = "field"
        tokens.append((kind, match[match.lastgroup]))
        at = match.end()
    return tokens


def _rendered(nodes: Sequence[_Node], dot: object, variables: dict[str, object]) -> list[str]:
    out: list[str] = []
    for node in nodes:
        if node.word == "text":
            out.append(node.text)
            continue
        pipeline = _Pipeline(node.tokens, dot, variables)
        if node.word == "range":
            out += _ranged(node, pipeline, dot, variables)
            continue
        value = pipeline.value()
        if node.word == "print":
            out.append("" if pipeline.assigned else go_text(value))
        elif truth(value):
            inner = value if node.word == "with" else dot
            out += _rendered(node.body, inner, dict(variables))
        else:
            out += _rendered(node.other, dot, dict(variables))
    return out


def _ranged(
    node: _Node, pipeline: "_Pipeline", dot: object, variables: dict[str, object]
) -> list[str]:
    value = pipeline.value()
    items: list[tuple[object, object]]
    if isinstance(value, Mapping):
        items = sorted(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    elif value is None or isinstance(value, Missing):
        items = []
    else:
        raise TemplateError(f"range over {go_text(value)!r}, which is neither a list nor a map")
    if not items:
        return _rendered(node.other, dot, dict(variables))
    out = []
    for key, item in items:
        inner = dict(variables)
        inner |= zip(pipeline.assigned[::-1], (item, key), strict=False)
        out += _rendered(node.body, item, inner)
    return out


class _Pipeline:
    """`$x := command | command | ...`, evaluated once against dot and the variables."""

    def __init__(
        self, tokens: Sequence[tuple[str, str]], dot: object, variables: dict[str, object]
    ) -> None:
        marks = [index for index, (kind, _) in enumerate(tokens) if kind == "assign"]
        head = tokens[: marks[0]] if marks else []
        self.assigned = [text for kind, text in head if kind == "variable"]
        self._tokens = list(tokens[marks[0] + 1 :] if marks else tokens)
        self._dot = dot
        self._variables = variables

    def value(self) -> object:
        """Give what the last command gives, and set the variables before it."""
        value = self._piped()
        if self._tokens:
            raise TemplateError(f"unexpected {self._tokens[0][1]!r}")
        for name in self.assigned:
            self._variables[name] = value
        return value

    def _piped(self) -> object:
        value = self._command([])
        while self._tokens and self._tokens[0][1] == "|":
            self._tokens.pop(0)
            value = self._command([value])
        return value

    def _command(self, last: list[object]) -> object:
        if not self._tokens:
            raise TemplateError("a value is missing")
        kind, text = self._tokens[0]
        if kind != "word" or text in _CONSTANTS:
            if last:
                raise TemplateError(f"cannot pipe into {text!r}, which is no function")
            value = self._operand()
            return value(*self._arguments()) if callable(value) else value  # {{.Label "a"}}
        if text not in FUNCTIONS:
            known = ", ".join(sorted(FUNCTIONS))
            raise TemplateError(f"function {text!r} is not defined", f"functions: {known}")
        self._tokens.pop(0)
        arguments = self._arguments()
        try:
            return FUNCTIONS[text](*arguments, *last)
        except TypeError as error:
            raise TemplateError(f"{text}: wrong number or kind of values") from error
        except (ValueError, IndexError) as error:
            raise TemplateError(f"{text}: {error}") from error

    def _arguments(self) -> list[object]:
        arguments = []
        while self._tokens and self._tokens[0][1] not in {"|", ")"}:
            arguments.append(self._operand())
        return arguments

    def _operand(self) -> object:
        value = self._plain(*self._tokens.pop(0))
        while self._tokens and self._tokens[0][0] == "chain":
            value = _field(value, self._tokens.pop(0)[1])
        return value

    def _plain(self, kind: str, text: str) -> object:
        value: object
        if kind == "string":
            value = text[1:-1] if text[0] == "`" else _unquoted(text)
        elif kind == "number":
            value = float(text) if "." in text else int(text)
        elif kind == "field":
            value = _field(self._dot, text)
        elif kind == "variable":
            if text not in self._variables:
                raise TemplateError(f"variable {text} is not defined")
            value = self._variables[text]
        elif kind == "word" and text in _CONSTANTS:
            value = _CONSTANTS[text]
        elif text == "(":
            value = self._piped()
            if not self._tokens or self._tokens.pop(0)[1] != ")":
                raise TemplateError("( without )")
        else:
            raise TemplateError(f"unexpected {text!r}")
        return value


def _field(value: object, path: str) -> object:
    walked = ""
    for name in filter(None, path.split(".")):
        if isinstance(value, Missing):
            return value
        if value is None:
            return Missing(f"{walked or '.'} is nil and has no field {name}")
        if not isinstance(value, Mapping):
            return Missing(f"{walked or '.'} is no map and has no field {name}")
        if name not in value:
            there = ", ".join(f".{key}" for key in sorted(value)) or "none"
            return Missing(f"no field .{name} in {walked or 'this object'}", f"fields: {there}")
        value = value[name]
        walked += f".{name}"
    return value


def _unquoted(text: str) -> str:
    import json

    try:
        return str(json.loads(text))
    except ValueError as error:
        raise TemplateError(f"string {text} in the template cannot be read") from error
