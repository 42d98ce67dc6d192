"""Go templates, as --format takes them."""

import pytest

from netd.cli.template import Template, TemplateError

VALUE = {
    "Name": "web",
    "Config": {"Labels": {"a-b": "1"}, "Env": ["X=1", "Y=2"], "Tty": True},
    "Count": 3,
    "Empty": {},
    "Nil": None,
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{.Name}} runs", "web runs"),
        ("{{ .Config.Tty }}", "true"),
        ("{{json .Config.Labels}}", '{"a-b":"1"}'),
        ('{{index .Config.Labels "a-b"}}', "1"),
        ('[{{index .Config.Labels "none"}}]', "[]"),
        ("{{index .Config.Env 1}}", "Y=2"),
        ("{{range .Config.Env}}{{.}};{{end}}", "X=1;Y=2;"),
        ("{{range $i, $e := .Config.Env}}{{$i}}{{$e}} {{end}}", "0X=1 1Y=2 "),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}", "a-b=1"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .Empty}}a{{else if eq .Name `web`}}b{{else}}c{{end}}", "b"),
        ("{{if .Nowhere.Deeper}}a{{else}}b{{end}}", "b"),
        ("{{with .Config}}{{.Tty}} {{$.Name}}{{end}}", "true web"),
        ("{{$x := .Config}}{{$x.Tty}}", "true"),
        ("a {{- .Name -}} b", "awebb"),
        ("{{/* nothing */}}x", "x"),
        ('{{"}}"}}', "}}"),
        ('{{.Name | upper | printf "%s-%s" "a"}}', "a-WEB"),
        ("{{(index .Config.Env 0)}} {{len .Config.Env}}", "X=1 2"),
        ('{{join .Config.Env ","}}', "X=1,Y=2"),
        ("{{if and .Config.Tty (not .Nil) (gt .Count 2)}}yes{{end}}", "yes"),
        ("{{.Config.Env}} {{.Config.Labels}} {{.Nil}}", "[X=1 Y=2] map[a-b:1] <no value>"),
        ("{{pad .Name 1 2}}|{{truncate .Name 2}}|{{title .Name}}", " web  |we|Web"),
        ("{{println .Name}}", "web\n"),
        ("{{slice .Name 1}}", "eb"),
    ],
)
def test_a_template_gives_what_gos_would(source: str, text: str) -> None:
    assert Template(source).render(VALUE) == text


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{{.Nme}}", "no field .Nme in this object"),
        ("{{.Config.Nme}}", "no field .Nme in .Config"),
        ("{{.Name.Length}}", ".Name is no map and has no field Length"),
        ("{{json .Nme}}", "no field .Nme in this object"),
        ("{{shout .Name}}", "function 'shout' is not defined"),
        ("{{.Name", "{{ is not closed"),
        ("{{if .Name}}", "{{if}} without {{end}}"),
        ("{{end}}", "{{end}} without a block"),
        ("{{range .Count}}{{end}}", "range over '3'"),
        ("{{}}", "empty {{}}"),
        ("{{index .Config.Env 9}}", "index: list index out of range"),
        ("{{upper}}", "upper: wrong number or kind of values"),
        ("{{.Name | .Name}}", "cannot pipe into '.Name'"),
        ("{{(.Name}}", "( without )"),
        ("{{$y}}", "variable $y is not defined"),
        ("{{.Name .Name}}", "unexpected '.Name'"),
        ("{{#}}", "cannot read '#'"),
    ],
)
def test_a_wrong_template_is_told_in_a_sentence(source: str, sentence: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source).render(VALUE)

    assert sentence in caught.value.message


def test_a_field_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("{{.Nme}}").render({"ID": 1, "Name": 2})

    assert caught.value.hint == "fields: .ID, .Name"
