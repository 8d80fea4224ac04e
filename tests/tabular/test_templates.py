"""Templates and expressions: texts that are worked out by hand or were written by the peer (0.4.9)."""

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import Column
from impl.tabular.spec import Map, Problems, Spec
from impl.tabular.templates import Expression, RowTemplate, environment, has_jinja, plan, pool


def made(macros="", folder=".", sandboxed=False):
    return environment(macros, folder, sandboxed=sandboxed)


def spec(**options):
    return Spec(Map(options), Problems(), "$transformations.t", "add_columns", 2)


def evaluate(text, frame, start=0, **options):
    return Expression(text, spec(), "column", environment=made(**options)).evaluate(frame, start).to_list()


def render(text, frame, start=0, linearize=True, **options):
    return RowTemplate(text, environment=made(**options), linearize=linearize).render(frame, start).to_list()


def ways(text, frame, operation=False):
    """How the pieces of a template are rendered."""
    if operation:
        one = Expression(text, spec(), "column", environment=made())
        one.evaluate(frame)
    else:
        one = RowTemplate(text, environment=made())
        one.render(frame)
    (found,) = one._text.plans.values()
    return [type(part).__name__ for part in found.parts if not isinstance(part, plan.Fixed)]


PEOPLE = pl.DataFrame({"name": ["Ann", "Bo"], "age": ["7", "12"]})


def test_a_value_is_a_template_only_with_both_marks():
    assert [has_jinja(one) for one in ("{{ a }}", "{% if a %}", "{# a #}", "{{ a", "5}}", 5, None)] == [True] * 3 + [False] * 4


def test_constants_keep_the_type_of_the_document():
    for value, kind in (("x", pl.String), (5, pl.Int64), (1.5, pl.Float64), (True, pl.Boolean), (None, pl.String)):
        column = Expression(value, spec(), "column", environment=made()).evaluate(PEOPLE)
        assert (column.dtype, column.to_list()) == (kind, [value, value])


def test_a_list_is_no_value():
    given = spec()
    Expression([1], given, "column", environment=made())
    assert "has to be a text" in given.problems.found[0].what


def test_missing_values_are_nan_in_operations_and_nothing_in_templates():
    # what the peer writes for a row without a partner in a join
    text = "{{c}}|{{c != c}}|{{c is none}}|{{c|default('d')}}|{{c|lower}}|{{c|length if c is string else 'L'}}|{{c|tojson}}|{{c ~ 'x'}}"
    text += "|{{c == ''}}|{{ 'T' if c else 'F'}}|{{c|int}}|{{c|trim}}|{{c in ['z']}}|{{c|replace('n','N')}}"
    frame = pl.DataFrame({"c": ["z", None]})
    assert evaluate(text, frame) == [
        'z|False|False|z|z|1|"z"|zx|False|T|0|z|True|z',
        "nan|True|False|nan|nan|L|NaN|nanx|False|T|0|nan|False|NaN",
    ]
    assert render("[{{c}}] {{c == ''}}", frame) == ["[z] False", "[] True"]


def test_numbers_and_truth_are_texts_in_templates_and_values_in_operations():
    frame = pl.DataFrame({"i": [5, None], "f": [0.5, 2.0], "t": [True, None], "s": ["x", "y"]})
    assert render("{{i}} {{f}} {{t}} {{i == '5'}}", frame) == ["5 0.5 True True", " 2.0  False"]
    assert evaluate("{{i}} {{f}} {{t}} {{i == 5}}", frame) == ["5 0.5 True True", "nan 2.0 nan False"]


def test_letters_of_numbers_have_no_case():
    frame = pl.DataFrame({"n": [5, None], "s": ["é", "x"]})
    assert evaluate("{{ (n ~ s)|upper }}", frame) == ["5É", "NANX"]


def test_whole_numbers_beside_nothing_but_decimals_are_decimals():
    numbers = pl.DataFrame({"i": [1, 2], "f": [1.5, 2.0]})
    assert evaluate("{{i}}/{{f}}", numbers) == ["1.0/1.5", "2.0/2.0"]  # as the peer, whose row has one type
    assert render("{{i}}", numbers) == ["1.0", "2.0"]
    assert render("{{i}}", numbers.with_columns(s=pl.lit("text"))) == ["1", "2"]


def test_macros_stand_before_the_text_with_their_line_ends():
    macros = "{% macro m(x) %}<{{ x }}>{% endmacro %}\n{% macro k() %}k{% endmacro %}\n"
    assert evaluate("{{ m(name) }}", PEOPLE, macros=macros) == ["\n<Ann>", "\n<Bo>"]  # the peer has the line end too


def test_the_row_holds_itself_in_a_template_and_not_in_an_expression():
    frame = PEOPLE.head(1)
    assert render("{{ __row_data__ }}", frame) == ["{'name': 'Ann', 'age': '7', '__row_data__': {...}}"]
    assert evaluate("{{ __row_data__ }}", frame) == ["{'name': 'Ann', 'age': '7'}"]
    popped = "{{ __row_data__.pop('name') }} {{ name }} {{ __row_data__ | length }}"
    assert render(popped, frame) == ["Ann Ann 2"]


def test_the_default_template_of_the_peer_can_be_written_out():
    text = (
        "{ {% for col, val in __row_data__.pop('__row_data__').items() %}\"{{ col }}\": {{ val | tojson }}"
        "{% if not loop.last %}, {% endif %}{% endfor %} }"
    )
    frame = pl.DataFrame({"a b": ["é&<", None], "n": [1, 2]})
    expected = ['{ "a b": "\\u00e9\\u0026\\u003c", "n": "1" }', '{ "a b": "", "n": "2" }']
    assert render(text, frame) == expected
    assert RowTemplate.default(frame.columns, environment=made()).render(frame).to_list() == expected


def test_tojson_writes_every_mark_as_jinja_does():
    texts = ["plain", "a'b", 'a"b', "a\\b", "<&>", "\x00\x1f\x7f\n\t", "é", "日", "😀", ""]
    expected = ['"plain"', '"a\\u0027b"', '"a\\"b"', '"a\\\\b"', '"\\u003c\\u0026\\u003e"', '"\\u0000\\u001f\\u007f\\n\\t"']
    expected += ['"\\u00e9"', '"\\u65e5"', '"\\ud83d\\ude00"', '""']
    assert render("{{ a | tojson }}", pl.DataFrame({"a": texts})) == expected


def test_every_character_is_written_by_tojson_as_by_jinja():
    everything = [chr(code) for code in range(0x3000) if not 0xD800 <= code < 0xE000]
    jinja = made().from_string("{{ a | tojson }}")
    assert render("{{ a | tojson }}", pl.DataFrame({"a": everything})) == [jinja.render(a=one) for one in everything]


def test_plain_pieces_are_column_expressions_and_the_rest_is_for_jinja():
    frame = pl.DataFrame({name: ["x"] for name in "abcdef"})
    assert (
        ways("{{ a }} {{ b|lower }} {{ c[0:2] }} {{ d|tojson }} {% if e == 'x' %}{{ f|trim }}{% endif %}", frame)
        == ["Columns"] * 5
    )
    assert ways("{{ a.split('x') }} {{ b }}", frame) == ["Rows", "Columns"]
    assert ways("{% if a == 'x' %}{% for one in b.split() %}{{ c ~ d ~ e }}{% endfor %}{{ f }}{% endif %}", frame) == [
        "Branches"
    ]


def test_a_piece_is_rendered_once_for_each_distinct_value_and_remembered(monkeypatch):
    seen = []
    original = plan.Rows.render
    monkeypatch.setattr(plan.Rows, "render", lambda self, frame: seen.append(frame.height) or original(self, frame))
    one = RowTemplate("{{ a.title() }}", environment=made())
    assert one.render(pl.DataFrame({"a": ["x", "y"] * 50})).to_list() == ["X", "Y"] * 50
    assert one.render(pl.DataFrame({"a": ["y", "z"] * 50}), 100).to_list() == ["Y", "Z"] * 50
    assert seen == [2, 1]


def test_distinct_values_are_given_up_where_they_save_nothing(monkeypatch):
    monkeypatch.setattr(plan, "TRIAL", 100)
    one = RowTemplate("{{ a.title() }}", environment=made())
    for start in (0, 200, 400):
        frame = pl.DataFrame({"a": [f"n{number}" for number in range(start, start + 200)]})
        assert one.render(frame, start)[0] == f"N{start}"
    ((part,),) = [found.parts for found in one._text.plans.values()]
    assert not part.distinct and not part.cache.found


def test_the_longest_unused_text_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(plan, "CACHED", 2)
    cache = plan.Cache()
    for key in "ab":
        cache.put(key, key)
    assert cache.get("a") == "a"
    cache.put("c", "c")
    assert (cache.get("b"), cache.get("a"), cache.size) == (None, "a", 2)


def test_rows_have_numbers_that_go_on_from_batch_to_batch():
    for text in ("{{ __row_number__ }}", "{{ __row_number__ + 0 }}"):
        assert evaluate(text, PEOPLE, start=5) == ["6", "7"]
        assert render(text, PEOPLE, start=5) == ["6", "7"]


def test_columns_are_found_by_a_computed_name_in_the_sandbox_too():
    for sandboxed in (False, True):
        for text in ("{{ col('na' ~ 'me') }}", "{{ self._TemplateReference__context.resolve('na' ~ 'me') }}"):
            assert render(text, PEOPLE, sandboxed=sandboxed) == ["Ann", "Bo"]


def test_the_sandbox_lets_nothing_else_out():
    for text in (
        "{{ self._TemplateReference__context.environment }}",
        "{{ self._TemplateReference__context.parent }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ col.__globals__ }}",
        "{{ name * 999999999 }}",
    ):
        try:
            assert render(text, PEOPLE, sandboxed=True) == ["", ""]
        except EtlError as error:
            assert "sandbox" in str(error.hint)
    assert render("{% set l = [] %}{{ l.append(name) }}{{ l }}", PEOPLE, sandboxed=True) == ["None['Ann']", "None['Bo']"]


def test_files_are_included_from_the_folder_of_the_document(tmp_path):
    (tmp_path / "part.jsont").write_text("<{{ name }}>{{ __row_data__.age }}")
    (tmp_path / "tools.jinja").write_text("{% macro loud(x) %}{{ x|upper }}!{{ md5('') }}{% endmacro %}")
    assert render("{% include 'part.jsont' %}", PEOPLE, folder=tmp_path) == ["<Ann>7", "<Bo>12"]
    used = "{% import 'tools.jinja' as tools %}{{ tools.loud(name) }}"
    assert render(used, PEOPLE, folder=tmp_path)[0] == "ANN!d41d8cd98f00b204e9800998ecf8427e"


def test_blanks_are_one_blank_in_a_linear_template():
    text = "{\n  'a':\t'{{ name }}',\n  'b': '{{ 'x   y' }}'\n}\n"
    assert render(text, PEOPLE.head(1)) == ["{ 'a': 'Ann', 'b': 'x y' } "]
    assert render("{{ name }}\n\n", PEOPLE.head(1), linearize=False) == ["Ann\n"]  # Jinja drops one line end


def test_unknown_names_are_problems_with_the_nearest_name():
    given = spec()
    Expression("{{ nmae }}", given, "column", environment=made()).check([Column("name"), Column("age")])
    (problem,) = given.problems.found
    assert (problem.what, problem.hint) == ("there is no column `nmae`", "did you mean `name`?")


@pytest.mark.parametrize(
    "text",
    [
        "{{ x|default('') }}",
        "{% if x is defined %}{{ x }}{% endif %}",
        "{% set x = 1 %}{{ x }}",
        "{% for x in [1] %}{{ x }}{{ loop.index }}{% endfor %}",
        "{% macro x(y) %}{{ y }}{{ varargs }}{% endmacro %}{{ x(1) }}",
        "{{ range(3)|list }}{{ md5('') }}{{ __row_data__.x }}{{ __row_number__ }}",
    ],
)
def test_names_that_may_be_missing_or_are_set_are_no_problem(text):
    given = spec()
    Expression(text, given, "column", environment=made()).check(["name"])
    assert given.problems.found == []


def test_a_name_whose_truth_is_asked_for_is_a_warning():
    given = spec()
    Expression("{% if x %}{{ x }}{% endif %}", given, "column", environment=made()).check(["name"])
    assert (given.problems.found, given.problems.warnings[0].what) == ([], "there is no column `x`")


def test_the_columns_that_are_read_are_known():
    assert Expression("{{ a }}{% if b %}{% endif %}", spec(), "c", environment=made()).names == {"a", "b"}
    assert Expression("{{ __row_data__.a }}", spec(), "c", environment=made()).names == {"a"}
    assert Expression("{{ __row_data__ }}", spec(), "c", environment=made()).names is None
    assert Expression(5, spec(), "c", environment=made()).names == frozenset()


def test_bad_jinja_is_a_problem_of_the_document_and_of_the_line_of_a_template():
    given = spec()
    Expression("{{ a b }}", given, "column", environment=made())
    assert given.problems.found[0].what.startswith("`column` is no Jinja: expected token")
    with pytest.raises(EtlError) as caught:
        RowTemplate("{\n{% if %}\n}", environment=made(), file="t.jsont")
    assert caught.value.where == "t.jsont, line 2"


def test_an_error_names_file_line_row_and_values():
    template = RowTemplate("{\n\n{{ 1 // (a|int) }}\n}", environment=made("{% macro m() %}\n{% endmacro %}"), file="t.jsont")
    frame = pl.DataFrame({"a": ["1", "2", "0", "3"]})
    with pytest.raises(EtlError) as caught:
        template.render(frame, 10)
    assert "ZeroDivisionError" in caught.value.what
    assert caught.value.where == "t.jsont, line 3, row 13: `a` = '0'"
    with pytest.raises(EtlError) as caught:
        Expression("{{ 1 // (a|int) }}", spec(), "column", environment=made()).evaluate(frame, 10)
    assert caught.value.where.endswith("row 13: `a` = '0'")
    assert "{{ 1 // (a|int) }}" in caught.value.hint


def test_arithmetic_on_a_missing_name_is_an_error_with_advice():
    with pytest.raises(EtlError) as caught:
        evaluate("{{ absent + 1 }}", PEOPLE)
    assert "is defined" in caught.value.hint


def test_no_rows_give_no_texts():
    empty = pl.DataFrame(schema={"a": pl.String})
    assert render("{{ a.x.y }}{{ a }}", empty) == []
    assert evaluate("{{ a + 1 }}", empty) == []


def test_long_work_is_done_by_other_processes_in_order(monkeypatch):
    monkeypatch.setattr(plan, "PARALLEL_AFTER", 1e9)  # seconds: it never takes so long
    monkeypatch.setattr(plan, "PARALLEL_ROWS", 100)
    sent = []
    original = pool.render_in_pool
    monkeypatch.setattr(pool, "render_in_pool", lambda *given: sent.append(given[5]) or original(*given))
    text = "{% for l in a %}{{ l }}{{ b }}.{% endfor %}{{ m(c) }}{{ md5(d) }}"
    one = RowTemplate(text, environment=made("{% macro m(x) %}<{{ x }}>{% endmacro %}"), workers=2)
    number = [str(one) for one in range(1000)]
    frame = pl.DataFrame({"a": number, "b": number, "c": number, "d": ["x"] * 1000})
    with pool.ended():
        texts = one.render(frame).to_list()
        assert sent == []
        monkeypatch.setattr(plan, "PARALLEL_AFTER", 0.0)
        one = RowTemplate(text, environment=one.environment, workers=2)
        assert one.render(frame).to_list() == texts
        assert texts[987] == "9987.8987.7987.<987>9dd4e461268c8034f5c8564e155c67a6"
        assert [text.split("<")[1].split(">")[0] for text in texts] == number
        assert sent == [900]  # the first are rendered here, to see how long they take
        failing = RowTemplate("{{ 1 // (990 - a|int) }}{{ b }}{{ c }}{{ d }}", environment=made(), workers=2)
        with pytest.raises(EtlError, match="row 991"):
            failing.render(frame)


@pytest.mark.parametrize("height", [1, 99, 100, 101, 250, 300, 301, 342, 700, 1000])
def test_rows_that_are_rendered_a_part_at_a_time_are_all_rendered_once(monkeypatch, height):
    monkeypatch.setattr(plan, "PARALLEL_AFTER", 1e9)
    monkeypatch.setattr(plan, "PARALLEL_ROWS", 100)  # then 200, 400 and 800
    numbers = [str(one) for one in range(height)]
    frame = pl.DataFrame(dict.fromkeys("abcd", numbers))  # too many columns to be tried by distinct values
    text = "{% for l in a %}{{ l }}{% endfor %}{{ b }}{{ c }}{{ d }}"
    assert RowTemplate(text, environment=made(), workers=2).render(frame).to_list() == [one * 4 for one in numbers]
    for wrong in {0, height // 2, height - 1}:
        failing = RowTemplate(
            f"{{{{ 1 // ({wrong} - a|int) }}}}{{{{ b }}}}{{{{ c }}}}{{{{ d }}}}", environment=made(), workers=2
        )
        with pytest.raises(EtlError, match=rf"row {wrong + 1:,}: `a` = '{wrong}'"):
            failing.render(frame)


def test_threads_do_not_share_what_a_row_sets():
    from concurrent.futures import ThreadPoolExecutor

    one = RowTemplate(
        "{% set l = [] %}{% for x in a %}{% if l.append(x) %}{% endif %}{% endfor %}{{ l|join('-') }}{{ col('a') }}",
        environment=made(),
    )
    frames = [pl.DataFrame({"a": [f"{batch}{row}" for row in range(500)]}) for batch in range(8)]
    with ThreadPoolExecutor(4) as threads:
        for batch, texts in enumerate(threads.map(one.render, frames)):
            assert texts.to_list() == ["-".join(f"{batch}{row}") + f"{batch}{row}" for row in range(500)]


def test_a_column_without_a_name_is_written_and_read():
    batch = pl.DataFrame({"a": ["1", "2"], "": ["é", None]})
    rows = RowTemplate.default(batch.columns, environment=environment("", ".", sandboxed=False))
    assert rows.render(batch).to_list() == ['{ "a": "1", "": "\\u00e9" }', '{ "a": "2", "": "" }']
    by_name = RowTemplate("{{ a }}{{ __row_data__[''] }}", environment=environment("", ".", sandboxed=False))
    assert by_name.render(batch).to_list() == ["1é", "2"]
