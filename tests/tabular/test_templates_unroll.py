"""Loops whose turns are known become columns; what else is written out, and what has to stay as it is."""

import jinja2
import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.templates import RowTemplate, environment
from impl.tabular.templates.plan import Columns, Fixed, Rows
from impl.tabular.templates.syntax import parse
from impl.tabular.templates.unroll import PARTS, TURNS, unrolled

FRAME = pl.DataFrame({"id": ["1", "2"], "score_1": ["7", ""], "score_2": ["", "é"], "names": ["x", "y"]})


def rendered(text, folder=".", sandboxed=True, frame=FRAME):
    """The texts, and the kinds of parts that they were made of."""
    template = RowTemplate(text, environment=environment("", folder, sandboxed=sandboxed), workers=1)
    found = template.render(frame).to_list()
    (plan,) = template._text.plans.values()
    return found, {type(one) for one in plan.parts}


PLAIN = {Fixed, Columns}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% for n in range(1, 3) %}{{ n }}={{ col('score_' ~ n) }};{% endfor %}", ["1=7;2=;", "1=;2=é;"]),
        (
            "{% for n in [1, 2] %}{% set v = self._TemplateReference__context.resolve('score_' ~ n) %}{% if v %}{{ n }}{{ v }}{% endif %}{% if not loop.last %},{% endif %}{% endfor %}",
            ["17,", ",2é"],
        ),
        ("{% for k, v in [['a', score_1], ['b', score_2]] %}{{ k }}{{ v }}{{ loop.index }}{% endfor %}", ["a71b2", "a1bé2"]),
        ("{% for s in [{'of': id, 'n': 5}] %}{{ s.of }}{{ s['n'] }}{% endfor %}", ["15", "25"]),
        ("{% set all = ['p', 'q'] %}{% for s in all %}{{ s }}{{ id }}{% endfor %}", ["p1q1", "p2q2"]),
        ("{% for k, v in {'a': id}.items() %}{{ k }}{{ v }}{% endfor %}", ["a1", "a2"]),
        ("{% for s in [] %}x{% else %}none{{ id }}{% endfor %}", ["none1", "none2"]),
        (
            "{% for k, v in __row_data__.items() if k.startswith('score') %}{{ loop.index }}{{ k }}{{ v }}{% endfor %}",
            ["1score_172score_2", "1score_12score_2é"],
        ),
        ("{% for a in [1, 2] %}{% for b in range(a) %}{{ a }}{{ b }}{{ id }} {% endfor %}{% endfor %}", ["101 201 211 ", "102 202 212 "]),
        ("{{ col('score_2') }}{{ col('absent') }}{{ id }}", ["1", "é2"]),
    ],
)  # fmt: skip
def test_known_loops_are_columns(text, expected):
    found, parts = rendered(text)
    assert found == expected
    assert parts <= PLAIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the list is changed in its place
        ("{% set all = ['p'] %}{% for s in [1, 2] %}{% set _ = all.append(s) %}{{ all|length }}{% endfor %}", ["23", "23"]),
        ("{% set all = ['p'] %}{% for s in all %}{% if all|length < 3 %}{% set _ = all.append(s) %}{% endif %}{{ s }}{% endfor %}", ["ppp"] * 2),
        ("{% set all = [] %}{% for s in 'ab' %}{% set _ = all.append(s) %}{% endfor %}{% for s in all %}{{ s }}.{% endfor %}", ["a.b."] * 2),
        # read before it is set in the same turn: what is outside is meant
        ("{% set v = 'V' %}{% for s in [1, 2] %}{{ v }}{% set v = s %}{% endfor %}", ["VV", "VV"]),
        ("{% for s in [1, 2] %}{% if s == 2 %}{% set v = 'set' %}{% endif %}{{ v }};{% endfor %}", [";set;", ";set;"]),
        # more than its place is asked of the loop
        ("{% for s in [1, 2] %}{{ loop.cycle('a', 'b') }}{{ loop.previtem }}{% endfor %}", ["ab1", "ab1"]),
        ("{% for s in [id, 'z'] if s != '1' %}{{ s }}{% if not loop.last %},{% endif %}{% endfor %}", ["z", "2,z"]),
        ("{% for s in id ~ 'z' %}{% for t in loop %}{{ t|length }}{% endfor %}{{ loop.index }}{% endfor %}", ["22", "22"]),
        # a column has the name of what looks like a list, or is set only behind the loop
        ("{% for s in names %}{{ s }}{% endfor %}{% set names = ['later'] %}", ["x", "y"]),
    ],
)  # fmt: skip
def test_other_loops_stay_as_they_are(text, expected):
    parsed = parse(environment("", ".", sandboxed=True), text)
    assert unrolled(environment("", ".", sandboxed=True), parsed, FRAME.columns, selfish=True) is parsed
    assert rendered(text)[0] == expected


def test_what_a_loop_sets_is_not_seen_outside_of_it():
    text = "{% for s in [1, 2] %}{% set id = s %}{{ id }}{% endfor %}{{ id }}{% for s in [] %}{% else %}{% set id = 'e' %}{{ id }}{% endfor %}{{ id }}"
    assert rendered(text)[0] == ["121e1", "122e2"]


def test_a_list_is_made_before_its_first_turn():
    """An element that cannot be is an error although no turn asks for it."""
    with pytest.raises(EtlError, match="ZeroDivisionError"):
        rendered("{% for a, b in [['x', 1], ['y', 1 / (id|int - 2)]] %}{% if a == 'x' %}{{ b }}{% endif %}{% endfor %}")


def test_loops_that_would_become_too_long_stay():
    made = environment("", ".", sandboxed=True)
    for text in (
        f"{{% for n in range({TURNS + 1}) %}}x{{% endfor %}}",
        "{% for n in range(200) %}" + "{{ id }}" * (PARTS // 100) + "{% endfor %}",
    ):
        parsed = parse(made, text)
        assert unrolled(made, parsed, FRAME.columns, selfish=True) is parsed
    assert rendered("{% for n in range(201) %}x{% endfor %}")[0] == ["x" * 201] * 2


def test_a_column_called_range_is_meant():
    frame = pl.DataFrame({"range": ["ab"]})
    assert rendered("{% for n in range %}{{ n }}.{% endfor %}", frame=frame)[0] == ["a.b."]
    with pytest.raises(EtlError, match="'str' object is not callable"):
        rendered("{% for n in range(2) %}{{ n }}{% endfor %}", frame=frame)


def test_included_files_are_what_they_say(tmp_path):
    (tmp_path / "one.jinja").write_text("{% set v = s ~ '!' %}<{{ v }}{{ id }}>\n")
    (tmp_path / "two.jinja").write_text("{% for q in 'ab' %}{{ q }}{% endfor %}{{ s }}")
    found, parts = rendered("{% for s in ['p', score_1] %}{% include 'one.jinja' %}{% endfor %}{{ v }}", tmp_path)
    assert (found, parts) == (["<p!1><7!1>", "<p!2><!2>"], PLAIN)
    found, parts = rendered("{% for s in ['p', 'q'] %}{% include 'two.jinja' %}{% endfor %}", tmp_path)
    assert (found, parts) == (["abpabq"] * 2, {Fixed, Rows})


def test_an_error_in_an_included_file_names_it(tmp_path):
    (tmp_path / "one.jinja").write_text("first\n{{ 1 / (score_1|int - 7) }}\n")
    with pytest.raises(EtlError) as raised:
        rendered("{{ id }}\n{% for s in ['p'] %}{% include 'one.jinja' %}{% endfor %}", tmp_path)
    assert "ZeroDivisionError" in raised.value.what
    assert "one.jinja, line 2, row 1" in raised.value.where


def test_an_error_in_a_loop_has_its_line():
    with pytest.raises(EtlError) as raised:
        rendered("{{ id }}\n{% for s in [7, 8] %}\n{{ 1 / (score_1|int - s) }}{% endfor %}")
    assert "line 3, row 1" in raised.value.where


def test_files_of_macros_are_taken_in_once(tmp_path, monkeypatch):
    (tmp_path / "m.jinja").write_text("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}")
    taken = []
    get = jinja2.Environment.get_template
    monkeypatch.setattr(
        jinja2.Environment, "get_template", lambda self, name, *rest: taken.append(name) or get(self, name, *rest)
    )
    frame = pl.DataFrame({"id": [str(n) for n in range(1000)]})
    found, _ = rendered(
        "{% import 'm.jinja' as m %}{% from 'm.jinja' import twice %}{{ m.twice(id) }}{{ twice('-') }}", tmp_path, frame=frame
    )
    assert found == [f"{n}{n}--" for n in range(1000)]
    assert len(taken) == 2


@pytest.mark.parametrize("text", ["{% set v = 'V' %}{{ col('v') }}", "{% set v = 'V' %}{% include 'v.jinja' %}"])
def test_a_constant_is_found_by_name_and_by_included_files(text, tmp_path):
    (tmp_path / "v.jinja").write_text("{{ v }}{% if v %}{% set v = 1 %}{% endif %}")
    assert rendered(text, tmp_path)[0] == ["V", "V"]


def test_the_place_in_a_loop_is_unknown_to_its_own_condition():
    with pytest.raises(EtlError, match="'loop' is undefined"):
        rendered("{% for s in id if loop.first %}{{ s }}{% endfor %}")
