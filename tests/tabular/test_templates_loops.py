"""Loops over lists in a column: rendered by their elements where that is surely the same, and always as plain Jinja has it."""

import json
import random

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.spec import Map, Problems, Spec
from impl.tabular.templates import Expression, RowTemplate, environment, loops

MACROS = "{% macro mark(x) %}<{{ x }}{{ seen }}>{% endmacro %}{% macro place(x) %}{{ x }}@{{ day }}{% endmacro %}"
SCORES = [
    [],
    [1, True, 1.0, "1", None],
    [{"b": 1, "a": "é&"}, {"a": "é&", "b": 1}],
    [[], [0], ""],
    ["x", {"a": None}],
    [1e400, -0.0, 0.0],
]


def rows(count=400):
    chance = random.Random(3)
    return pl.DataFrame(
        {
            "codes": [";".join(chance.choices(["a", "b", " c ", "", "é"], k=chance.randrange(5))) for _ in range(count)],
            "scores": [json.dumps(chance.choice(SCORES), ensure_ascii=chance.random() < 0.5) for _ in range(count)],
            "day": [str(chance.randrange(3)) for _ in range(count)],
            "id": [str(number) for number in range(count)],
        }
    )


def rendered(text, frame, sandboxed=False):
    """Our texts, how many parts go by their elements, and the texts of plain Jinja."""
    made = environment(MACROS, ".", sandboxed=sandboxed)
    template = RowTemplate(text, environment=made, workers=1)
    texts = template.render(frame).to_list()
    (plan,) = template._text.plans.values()
    by_elements = [one for one in plan.parts if isinstance(one, loops.Loop) and one.ways]
    plain = made.from_string(MACROS + text)
    return texts, len(by_elements), [plain.render(row) for row in frame.iter_rows(named=True)]


BY_ELEMENTS = [
    "{% for one in codes.split(';') %}[{{ one }}]{% endfor %}",
    "{% for one in codes.split(';') if one %}{{ loop.index }}{{ one | trim }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{{ id }}{% set all = codes.split(';') %}{% for one in all %}{{ loop.revindex0 }}{{ mark(one) }}{% endfor %}{{ all | length }}",
    "{% for one in fromjson(scores) %}{{ one | tojson }}{{ loop.first }}{{ loop.length }} {% endfor %}",
    "{% for one in fromjson(scores) %}{{ one }}{{ one is number }}{{ one is mapping }}{{ place('x') }}{{ day }}{% endfor %}",
    "{% for one in fromjson(scores) %}{% set a = one.a %}{% if a %}{% for letter in a %}{{ letter }}.{% endfor %}{% endif %}{% endfor %}",
]


@pytest.mark.parametrize("text", BY_ELEMENTS)
@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_loop_by_its_elements_is_the_loop_of_jinja(text, sandboxed):
    texts, by_elements, plain = rendered(text, rows(), sandboxed)
    assert texts == plain
    assert by_elements == 1


AS_THEY_STAND = [
    # the element is changed, or the list is
    "{% for one in fromjson(scores) %}{% if one is mapping %}{{ one.pop('a', '') }}{% endif %}{{ one }}{% endfor %}",
    "{% set all = codes.split(';') %}{{ all.append('z') or '' }}{% for one in all %}{{ one }}{% endfor %}",
    "{% set all = fromjson(scores) %}{% for one in all %}{{ one }}{% endfor %}{% for one in all %}{{ one['up' ~ 'date'] is defined }}{% endfor %}",
    # more than an element and its place
    "{% set n = namespace(sum=0) %}{% for one in codes.split(';') %}{% set n.sum = n.sum + 1 %}{{ n.sum }}{% endfor %}{{ n.sum }}",
    "{% for one in codes.split(';') %}{{ loop.cycle('x', 'y') }}{{ loop.previtem }}{{ one }}{% endfor %}",
    "{% set seen = id %}{% for one in codes.split(';') %}{{ one }}{{ seen }}{{ day }}{{ scores }}{{ codes }}{% endfor %}",
    # a macro must not see what the body calls `seen`; nor the element, where that is called like a column
    "{% for seen in codes.split(';') %}{{ mark(seen) }}{% endfor %}",
    "{% for one in codes.split(';') %}{% set seen = one %}{{ mark(one) }}{{ seen }}{% endfor %}",
    "{% for day in codes.split(';') %}{{ day }}{{ place(1) }}{% endfor %}",
    "{% for one in codes.split(';') %}{{ one }}{% else %}none{% endfor %}",
    "{% for one in codes.split(';') if one != 'a' %}{{ one }}{{ loop.index }}{% endfor %}",
    "{% for one in codes.split(';') %}{% for two in one %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}",
]


@pytest.mark.parametrize("text", AS_THEY_STAND)
def test_a_loop_that_does_more_is_left_as_it_stands(text):
    texts, by_elements, plain = rendered(text, rows())
    assert texts == plain
    assert by_elements == 0


def test_what_is_no_list_or_too_different_goes_row_by_row():
    frame = rows().with_columns(scores=pl.Series(['{"k": 1, "l": 2}', '"xy"'] * 200))
    texts, by_elements, plain = rendered("{% for one in fromjson(scores) %}{{ one }}.{% endfor %}", frame)
    assert (texts[:2], by_elements) == (["k.l.", "x.y."], 0)
    assert texts == plain
    many = pl.DataFrame({"codes": [f"{number};{-number}" for number in range(30_000)]})
    texts, by_elements, plain = rendered("{% for one in codes.split(';') %}{{ one | int + 1 }} {% endfor %}", many)
    assert (texts[7], by_elements) == ("8 -6 ", 0)
    assert texts == plain


def test_an_error_names_its_row_and_line():
    frame = rows(5).with_columns(scores=pl.Series(["[1]", "[2]", "[0]", "[3]", "[x]"]))
    made = environment("", ".", sandboxed=False)
    with pytest.raises(EtlError) as caught:
        RowTemplate("{% for one in fromjson(scores) %}\n{{ 6 // one }}{% endfor %}", environment=made).render(frame.head(4))
    assert "line 2, row 3" in str(caught.value.where)
    with pytest.raises(EtlError) as caught:
        RowTemplate("{% for one in fromjson(scores) %}{{ one }}{% endfor %}", environment=made).render(frame)
    assert "row 5" in str(caught.value.where)


def test_a_missing_value_of_an_expression_is_not_split():
    spec = Spec(Map(), Problems(), "$transformations.t")
    wanted = Expression(
        "{% for one in codes.split(';') %}<{{ one }}>{% endfor %}", spec, "x", environment=environment("", ".", sandboxed=False)
    )
    assert wanted.evaluate(pl.DataFrame({"codes": ["a;b", ""]})).to_list() == ["<a><b>", "<>"]
    with pytest.raises(EtlError, match="no attribute 'split'"):
        wanted.evaluate(pl.DataFrame({"codes": ["a", None]}))


@pytest.mark.slow
def test_elements_that_all_differ_are_a_table():
    frame = pl.DataFrame(
        {
            "codes": [f"c{number};d{number}" for number in range(30_000)],
            "scores": [json.dumps([{"of": f"é {number}", "points": number}] * (number % 2)) for number in range(30_000)],
        }
    )
    text = "{% for one in codes.split(';') %}{{ loop.index }}{{ mark(one|title) }}{% endfor %}"
    text += "{% for one in fromjson(scores) %}{{ one.of|tojson }}:{{ one.points + 1 if one.points|int > 3 }};{% endfor %}"
    texts, by_elements, plain = rendered(text, frame)
    assert texts[3:6] == ["1<C3>2<D3>" + r'"\u00e9 3":;', "1<C4>2<D4>", "1<C5>2<D5>" + r'"\u00e9 5":6;']
    assert (texts == plain, by_elements) == (True, 2)


def test_what_json_holds_under_one_key_is_written_as_python_has_it():
    values = [1, -0.0, 1e22, 1e-7, True, None, "é", [1, "x"], {"k": None}, 10**30, float("inf")]
    frame = pl.DataFrame({"scores": [json.dumps([{"a": one} for one in values] + [{}, {"a": 2}])] * 2, "id": ["x", "y"]})
    text = "{% for one in fromjson(scores) %}{{ loop.index }}{{ one.a }}{{ id }} {% endfor %}"
    texts, _, plain = rendered(text, frame)
    written = ["1", "-0.0", "1e+22", "1e-07", "True", "None", "é", "[1, 'x']", "{'k': None}", "1" + "0" * 30, "inf", "", "2"]
    assert texts[1] == "".join(f"{place}{one}y " for place, one in enumerate(written, 1))
    assert texts == plain


@pytest.mark.parametrize(
    "text",
    [
        '[{"k":"a","n":1}, {"k": "\\u00e9\\/\\n", "n": -0}]',
        ' [{"k": "a", "n": 1}] ',
        '[{"k": "\\ud83d\\ude00", "n": 1}]',
        '[{"k": "a", "n": 1.0}]',
        '[{"k": "a", "n": 12345678901234567890}]',
        '[{"n": 1, "k": "a"}]',
        '[{"k": "a", "n": 1, "k": "b"}]',
        '[{"k": "a"}]',
        '[{"k": "a", "n": 1}, null]',
        "[]",
    ],
)
def test_lists_of_objects_that_are_alike_are_those_of_json(text):
    frame = pl.DataFrame({"scores": ['[{"k": "x", "n": 1}]', text]})
    texts, _, plain = rendered("{% for one in fromjson(scores) %}{{ one.k }}{{ one.n }},{% endfor %}", frame)
    assert texts[0] == "x1,"
    assert texts == plain


def test_title_and_capitalize_are_those_of_jinja():
    names = ["o'neil", "a.b c-d", "3rd (x", "ÉA b", "", "x_y", "aB\tcD", "no. 7"]
    texts, _, plain = rendered("{{ names|title }},{{ names|capitalize }}", pl.DataFrame({"names": names}))
    assert texts[:3] == ["O'neil,O'neil", "A.b C-D,A.b c-d", "3rd (X,3rd (x"]
    assert texts == plain


def test_a_macro_is_what_it_is_given():
    macros = "{% macro m(x, y='-') %}{{ x|upper }}{{ y }}{{ day }}{{ z }}{% endmacro %}"
    frame = rows(4).with_columns(day=pl.Series(["1", "é", "3", "4"]))
    text = macros + "{{ m(day) }}{{ m(y=id, x='q') }}{{ m() }}{% set z = 1 %}{{ m(m('a'), m(id)) }}"
    texts, _, plain = rendered(text, frame)
    assert texts[0] == "1-1Q01-1" + "A-11" + "0-11" + "11"  # z is set by then
    assert texts == plain


def test_the_row_of_an_error_is_known_where_rows_are_not_counted():
    spec = Spec(Map(), Problems(), "$transformations.t")
    wanted = Expression("{{ a[0:2] }}", spec, "x", environment=environment("", ".", sandboxed=False))
    with pytest.raises(EtlError) as caught:
        wanted.evaluate(pl.DataFrame({"a": ["xyz", None]}), 10)
    assert "row 12" in str(caught.value.where)
