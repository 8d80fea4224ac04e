"""Documents: what is read, from which line, what wins, and what is said where it is wrong.

The compiled texts were made by `earthmover compile` 0.4.9 from the same documents.
"""

import datetime
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from impl.run.errors import EtlError
from impl.tabular.document import load
from impl.tabular.document.config import read_size
from impl.tabular.document.overrides import autocast, override_pairs
from impl.tabular.document.rendering import Rendering, make_environment

BARE = "version: 2\nsources: {}\ndestinations: {}\n"


@pytest.fixture
def read(tmp_path):
    """Writes files and loads the document among them."""

    def read(text, files=None, file=None, variables=None, **options):
        for name, content in {"earthmover.yaml": text, **(files or {})}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return load(file, variables=variables or {}, folder=tmp_path, **options)

    return read


def error_of(read, text, **options):
    with pytest.raises(EtlError) as caught:
        read(text, **options).problems.raise_if_any()
    return str(caught.value)


# Finding ------------------------------------------------------------------------------------------------------------------


def test_the_document_is_found_by_either_name_and_yaml_comes_first(tmp_path):
    (tmp_path / "earthmover.yml").write_text(BARE)
    assert load(None, variables={}, folder=tmp_path).file == tmp_path / "earthmover.yml"
    (tmp_path / "earthmover.yaml").write_text(BARE)
    assert load(None, variables={}, folder=tmp_path).file == tmp_path / "earthmover.yaml"


def test_a_document_that_is_not_there_is_told_with_the_nearest_name(read, tmp_path):
    assert "did you mean `earthmover.yaml`?" in error_of(read, BARE, file="earthmovr.yaml")
    (tmp_path / "earthmover.yaml").unlink()
    (tmp_path / "earthmove.yaml").write_text(BARE)
    with pytest.raises(EtlError, match=r"(?s)there is no `earthmover.yaml` or `earthmover.yml`.*did you mean `earthmove.yaml`"):
        load(None, variables={}, folder=tmp_path)


def test_paths_are_relative_to_the_document_and_the_working_directory_stays(read, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    text = "version: 2\nconfig: {output_dir: out}\nsources: {x: {file: data/x.csv}}\ndestinations: {}\n"
    document = read(text, file="earthmover.yaml")
    assert document.sources["x"].path("data/x.csv") == tmp_path / "data/x.csv"
    assert document.config.output_dir == tmp_path / "out"
    assert Path.cwd() == tmp_path / "elsewhere"


# Config, variables --------------------------------------------------------------------------------------------------------


def test_config_has_its_defaults_and_no_state(read, tmp_path):
    config = read(BARE).config
    assert (config.output_dir, config.state_file, config.tmp_dir) == (tmp_path, None, None)
    assert (config.log_level, config.compat, config.memory_limit, config.workers) == ("INFO", "strict", 2147483648, 0)
    assert (config.show_graph, config.git_auth_timeout) == (False, 60)


def test_the_tilde_is_the_home_folder_in_paths_of_config(read, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config = read(BARE + "config: {output_dir: ~/out, state_file: ~/state.csv, tmp_dir: ~/tmp}\n").config
    assert [str(one) for one in (config.output_dir, config.state_file, config.tmp_dir)] == [
        "/home/ada/out",
        "/home/ada/state.csv",
        "/home/ada/tmp",
    ]


def test_config_is_found_wherever_it_stands(read, tmp_path):
    last = "definitions:\n  - &o out\n{% set a = 1 %}\n" + BARE + "config:\n  output_dir: *o\n"
    assert read(last).config.output_dir == tmp_path / "out"
    commented = "{#\nconfig:\n  output_dir: no\n#}\nversion: 2\nconfig:\n  output_dir: yes_\nsources: {}\ndestinations: {}\n"
    assert read(commented).config.output_dir == tmp_path / "yes_"


def test_config_that_only_jinja_makes_is_used(read, tmp_path):
    text = (
        "{% set place = 'made' %}\nversion: 2\nconfig:\n  output_dir: {{ place }}\n  parameter_defaults: {P: 5}\n"
        "sources: {x: {file: $P.csv}}\ndestinations: {}\n"
    )
    document = read(text)
    assert document.config.output_dir == tmp_path / "made"
    assert document.sources["x"].options["file"] == "5.csv"


def test_the_environment_wins_over_params_and_params_over_defaults(read):
    text = "version: 2\nconfig: {parameter_defaults: {A: default, B: default, C: default}}\nsources: {x: {file: $A $B $C}}\ndestinations: {}\n"
    document = read(text, params={"A": "given", "B": "given"}, variables={"A": "environment"})
    assert document.sources["x"].options["file"] == "environment given default"
    assert document.params == {"A": "given", "B": "given", "C": "default"}


def test_dollars_double_and_unset_stay(read):
    document = read('version: 2\nsources: {x: {file: "$$ $ ${UNSET} $1 $sources.y"}}\ndestinations: {}\n')
    assert document.sources["x"].options["file"] == "$ $ ${UNSET} $1 $sources.y"


def test_defaults_are_put_into_config_itself(read, tmp_path):
    text = BARE + "config:\n  output_dir: ${BASE}/x\n  parameter_defaults:\n    BASE: base\n"
    assert read(text).config.output_dir == tmp_path / "base/x"
    assert read(text, variables={"BASE": "/env"}).config.output_dir.as_posix() == "/env/x"


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2_000_000_000), ("512MiB", 536870912), ("1.5 gb", 1_500_000_000), ("1000", 1000), ("2 pounds", None), ("", None)],
)
def test_sizes(text, size):
    assert read_size(text) == size


def test_wrong_config_is_told_all_at_once_with_lines(read):
    text = BARE + "config:\n  outputdir: x\n  log_level: loud\n  compat: odd\n  memory_limit: big\n  show_graph: maybe\n"
    message = error_of(read, text)
    assert "5 problems" in message
    assert (
        "earthmover.yaml, line 5: config, `outputdir`\n       there is no option `outputdir` (did you mean `output_dir`?)"
        in message
    )
    for line, key in ((6, "log_level"), (7, "compat"), (8, "memory_limit"), (9, "show_graph")):
        assert f"line {line}: config, `{key}`" in message


# Jinja and lines ----------------------------------------------------------------------------------------------------------

LOOP = """\
version: 2
config:
  macros: |
    {% macro name(i) -%}
      n_{{ i }}
    {%- endmacro %}
    {%- set years = [2020, 2021] %}
  parameter_defaults:
    W: world
    T: True
# a comment {{ "in" }} $W
{% set xs = [1, 2] %}
sources:
{% for y in years %}
  s{{ y }}: &a{{ y }}
    file: x.csv
    columns:
      {%- for x in xs %}
      - c{{ x }}
      {%- endfor %}
{% endfor %}
  inc:
{% include "inc.yaml" %}
  mm:
    <<: *a2020
    file: "y$W.csv"
    optional: ${T}
transformations:
  {{ name(1) }}:
    source: $sources.inc
    operations:
      - operation: add_columns
        columns:
          a: "{{ '{{a}}' }}"
          b: {% raw %}"{{b}}"{% endraw %}
          c: >
             folded
             text

             more
          e: |
             lit
             x
          l: [1, 1.0, yes, No, null, ~, 1e3, 0x1F, 017, 1_000, 12:30:45, 2020-01-02, ""]
destinations:
  d:
    source: $transformations.n_1
    template: "${UNSET}$$$W"
"""

# As the peer compiled it.
LOOP_COMPILED = """\
version: 2
config:
  macros: ''
  parameter_defaults:
    W: world
    T: true
sources:
  s2020:
    file: x.csv
    columns:
    - c1
    - c2
  s2021:
    file: x.csv
    columns:
    - c1
    - c2
  inc:
    file: z.csv
    header_rows: 2
  mm:
    file: yworld.csv
    columns:
    - c1
    - c2
    optional: true
transformations:
  n_1:
    source: $sources.inc
    operations:
    - operation: add_columns
      columns:
        a: '{{a}}'
        b: '{{b}}'
        c: 'folded text

          more

          '
        e: 'lit

          x

          '
        l:
        - 1
        - 1.0
        - true
        - false
        - null
        - null
        - 1e3
        - 31
        - 15
        - 1000
        - 45045
        - 2020-01-02
        - ''
destinations:
  d:
    source: $transformations.n_1
    template: ${UNSET}$world
"""
INCLUDED = {"inc.yaml": "    file: {{ 'z' }}.csv\n    header_rows: 2\n"}


def test_a_document_with_loops_macros_and_includes_compiles_as_the_peer_has_it(read):
    document = read(LOOP, files=INCLUDED)
    assert document.compiled == yaml.safe_load(LOOP_COMPILED)
    document.compiled["transformations"]["n_1"]["operations"][0]["columns"].pop("e")  # quoted in another style
    assert document.text.split("        l:\n")[1] == LOOP_COMPILED.split("        l:\n")[1]


def test_lines_are_those_of_the_file_as_written(read):
    document = read(LOOP, files=INCLUDED)
    lines = {name: (node.options.file, node.options.line, dict(node.options.lines)) for name, node in document.sources.items()}
    assert lines["s2020"] == ("earthmover.yaml", 16, {"file": 16, "columns": 17})
    assert lines["s2021"] == ("earthmover.yaml", 16, {"file": 16, "columns": 17})
    assert lines["inc"] == ("inc.yaml", 1, {"file": 1, "header_rows": 2})
    assert lines["mm"] == ("earthmover.yaml", 25, {"file": 26, "columns": 17, "optional": 27})
    operation = document.transformations["n_1"].options["operations"][0]
    assert operation.lines == {"operation": 32, "columns": 33}
    assert operation["columns"].lines == {"a": 34, "b": 35, "c": 36, "e": 41, "l": 44}
    assert document.sources["s2021"].options["columns"].lines == [19, 19]
    assert (
        document.destinations["d"].spec(document.problems).where("template")
        == "earthmover.yaml, line 48: $destinations.d, `template`"
    )


def test_what_a_macro_makes_belongs_to_the_line_that_calls_it(read):
    text = (
        "version: 2\nsources: {}\n{% from 'm.yaml' import block with context %}\ntransformations:\n  t:\n    source: $sources.s\n"
        "    operations:\n{{ block('a') }}\n{% call block('b') %}{% endcall %}\ndestinations: {}\n"
    )
    macro = "{% macro block(n) %}\n      - operation: drop_columns\n        columns: [{{ n }}]{{ caller() if caller }}\n{% endmacro %}\n"
    operations = read(text, files={"m.yaml": macro}).transformations["t"].options["operations"]
    assert [dict(one) for one in operations] == [
        {"operation": "drop_columns", "columns": ["a"]},
        {"operation": "drop_columns", "columns": ["b"]},
    ]
    assert [one.lines for one in operations] == [{"operation": 8, "columns": 8}, {"operation": 9, "columns": 9}]


def test_a_value_of_several_lines_does_not_move_the_lines_below_it(read):
    text = "version: 2\n# $LONG\nsources:\n  x:\n    file: a\n    encoding: b\ndestinations: {}\n"
    document = read(text, variables={"LONG": "one\n# two\n# three"})
    assert document.sources["x"].options.lines == {"file": 5, "encoding": 6}
    with_jinja = read(text + "{# jinja #}\n", variables={"LONG": "one\n# two\n# three"})
    assert with_jinja.sources["x"].options.lines == {"file": 5, "encoding": 6}


def test_jinja_has_md5_and_fromjson(read):
    text = "version: 2\nsources: {x: {file: \"{{ md5('a') }}\", header_rows: {{ fromjson('[1, 2]')[1] }} }}\ndestinations: {}\n"
    assert read(text).sources["x"].options == {"file": "0cc175b9c0f1b6a831c399e269772661", "header_rows": 2}


def test_macros_may_follow_each_other_with_blanks(read):
    """The peer indents the first line of the document by the blank between them and fails."""
    text = "version: 2\nconfig:\n  macros: >\n    {% macro a() %}A{% endmacro %}\n    {% set b = 'B' %}\nsources: {x: {file: '{{ a() }}{{ b }}'}}\ndestinations: {}\n"
    document = read(text)
    assert document.sources["x"].options["file"] == "AB"
    assert document.macros == "{% macro a() %}A{% endmacro %} {% set b = 'B' %}"


# YAML ---------------------------------------------------------------------------------------------------------------------


def test_yaml_is_that_of_1_1(read):
    values = "[yes, Off, 010, 0o7, 1:30, 1e3, .5, 2020-01-02, ~, !!binary aGk=]"
    document = read(f"version: 2\nsources: {{x: {{v: {values}}}}}\ndestinations: {{}}\n")
    assert document.sources["x"].options["v"] == [True, False, 8, "0o7", 90, "1e3", 0.5, datetime.date(2020, 1, 2), None, b"hi"]


def test_a_lone_tag_is_an_empty_value_as_the_peer_reads_it(read):
    """libyaml makes an empty text of it."""
    assert read("version: 2\nsources:\n  x:\n    v: !\n    w: 1\ndestinations: {}\n").sources["x"].options == {
        "v": None,
        "w": 1,
    }


def test_an_alias_is_a_value_of_its_own(read):
    text = "version: 2\nsources:\n  a: &a {file: a.csv}\n  b: *a\ndestinations: {}\n"
    document = read(text, overrides=["sources.b.file", "b.csv"])
    assert document.sources["a"].options["file"] == "a.csv"
    assert document.sources["b"].options["file"] == "b.csv"


@pytest.mark.parametrize(
    ("definitions", "said"),
    [
        pytest.param(
            "".join(f"  a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(8)),
            "more than 2,000,000 values",
            marks=pytest.mark.slow,
        ),
        (f"  deep: {'[' * 90_000}{']' * 90_000}\n", "in each other without end"),
        (f"  deep: {'[' * 150}{']' * 150}\n", "more than 100 values in each other"),
        (f"  deep:\n    {'- ' * 90_000}x\n", "in each other without end"),
    ],
)
def test_a_document_that_grows_without_bound_is_refused(read, definitions, said):
    assert said in error_of(read, BARE + "definitions:\n  a0: &a0 [1]\n" + definitions)


def test_many_brackets_are_no_depth(read):
    lists = ", ".join(["{a: [1, {b: 2}]}"] * 500)
    assert len(read(BARE + f"definitions: [{lists}]\n").compiled["definitions"]) == 500


def test_a_key_that_stands_twice_is_told_and_the_last_one_counts(read):
    document = read("version: 2\nsources:\n  x: {file: a}\n  x: {file: b}\ndestinations: {}\n")
    assert document.sources["x"].options["file"] == "b"
    assert [(one.what, one.where) for one in document.problems.warnings] == [
        ("the key `x` stands twice, the last one counts", "earthmover.yaml, line 4")
    ]


FORGOTTEN = """\
version: 2
config:
  macros: >
    {% macro shout(text) -%}{{ text }}{{ oops }}{%- endmacro %}
sources: {a: {file: a.csv}}
transformations:
  t:
    source: $sources.a
    operations:
      - operation: add_columns
        columns:
          b: "<{{gauge}}>"
          c: "{{gauge|upper}}{% if mm %}x{% endif %}{% for one in parts %}{{one}}{% endfor %}"
          asked: "{{gauge|default('x')}}{% if gauge is defined %}y{% endif %}"
          meant: "{{ shot }}{{ shout('a') }}"
destinations: {o: {source: $transformations.t}}
"""
FOR_THE_ROWS = "Jinja that is meant for each row stands between `{% raw %}` and `{% endraw %}`"


def test_jinja_for_the_rows_without_raw_is_as_empty_as_in_the_peer_and_each_name_is_told(read):
    document = read(FORGOTTEN)
    columns = document.compiled["transformations"]["t"]["operations"][0]["columns"]
    assert columns == {"b": "<>", "c": "", "asked": "x", "meant": "a"}
    told = [(one.where.split(": `")[0], one.what.split("`")[1], one.hint) for one in document.problems.warnings]
    assert told == [
        ("earthmover.yaml, line 12", "gauge", FOR_THE_ROWS),
        ("earthmover.yaml, line 13", "gauge", FOR_THE_ROWS),
        ("earthmover.yaml, line 13", "mm", FOR_THE_ROWS),
        ("earthmover.yaml, line 13", "parts", FOR_THE_ROWS),
        ("earthmover.yaml, line 15", "shot", f"did you mean `shout`? {FOR_THE_ROWS}"),
        ("earthmover.yaml, line 4", "oops", FOR_THE_ROWS),
    ]
    assert document.problems.warnings[0].what == "`gauge` is undefined, so nothing is written there"
    assert document.problems.warnings[-1].where.endswith("called in earthmover.yaml, line 15")


def test_jinja_for_the_rows_that_fails_without_raw_has_the_same_hint(read):
    assert f"hint: {FOR_THE_ROWS}" in error_of(read, BARE + 'definitions: "{{ gauge[0:3] }}"\n')


def test_names_that_another_document_of_the_project_gives_are_not_told(read):
    package = "version: 2\nconfig:\n  macros: >\n    {% set unit = 'mm' %}\nsources: {}\ndestinations: {}\n"
    text = "version: 2\npackages: {p: {local: p}}\nsources: {a: {file: '{{ unit }}.csv'}}\ndestinations: {}\n"
    document = read(text, files={"packages/p/earthmover.yaml": package})
    assert document.sources["a"].options["file"].endswith("mm.csv")
    assert document.problems.warnings == []


# Errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BARE + "x:\n\ty: 1\n", ["earthmover.yaml, line 5: `y: 1`", "not with tabs"]),
        (BARE + "{% for i in [1, 2] %}\na{{ i }}:\n  b: c: d\n{% endfor %}\n", ["line 6: `b: c: d`", "needs quotes"]),
        (BARE + "a: *b\n", ["undefined alias 'b'", "line 4", "an anchor"]),
        (BARE + "a: &a [*a]\n", ["inside its own anchor", "line 4"]),
        (BARE + "a: 2020-13-01\n", ["`2020-13-01` looks like a date", "line 4", "quotes"]),
        (BARE + "\n\nb: 'no end\n", ["line 6: `b: 'no end`"]),
        (BARE + "x: {{ 'a' }}: b\n", ["line 4: `x: {{ 'a' }}: b`", 'key: "{{ value }}"']),
        (BARE + "{% include 'inc.yml' %}\n", ["no file `inc.yml`", "line 4", "did you mean `inc.yaml`?"]),
        (BARE + "\n{% include 'inc.yaml' %}\n", ["division by zero", "inc.yaml, line 2, called in earthmover.yaml, line 5"]),
        (BARE + "{% include 'bad.yaml' %}\n", ["bad.yaml, line 3"]),
        (BARE + "{% macro foo() %}{% endmacro %}\na: {{ fooo() }}\n", ["`fooo` is undefined", "line 5", "did you mean `foo`?"]),
        (BARE + "{% fr x in y %}{% endfor %}\n", ["unknown tag 'fr'", "line 4", "did you mean `for`?"]),
        (BARE + "{{ 'a'|uper }}\n", ["No filter named 'uper'", "line 4", "did you mean `upper`?"]),
        (BARE + "\n{% if x %}\n", ["Unexpected end", "line 5", "is not ended"]),
        ("- 1\n", ["has to be a mapping"]),
        ("sources: {}\ndestinations: {}\n", ["`version` is missing, it has to be 2"]),
        ("version: '2'\nsources: {}\ndestinations: {}\n", ["`version` is '2', it has to be 2"]),
        ("version: 2\nsources:\n", ["2 problems", "`sources` is empty", "`destinations` is missing"]),
        ("version: 2\nsources: [a]\ndestinations: {d: 1}\n", ["line 2", "`sources` has to be a mapping", "line 3: $destinations.d"]),
        (BARE + "config: [a]\n", ["`config` has to be a mapping", "line 4"]),
        (BARE + "source: {}\n", ["there is no `source` in a document", "line 4", "did you mean `sources`?"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_and_a_hint(read, text, said):
    files = {"inc.yaml": "a: 1\nb: {{ 1 / 0 }}\n", "bad.yaml": "a: 1\nb: [1\nc: 3\n"}
    message = error_of(read, text, files=files)
    for one in said:
        assert one in message


def test_an_error_in_a_macro_names_its_line_and_the_line_that_calls_it(read):
    text = "version: 2\nconfig:\n  macros: |\n\n    {% macro a(x) %}\n    {{ x.y.z }}\n    {% endmacro %}\nsources: {}\ndestinations: {}\na: {{ a(1) }}\n"
    message = error_of(read, text)
    assert "earthmover.yaml, line 6: `{{ x.y.z }}`, called in earthmover.yaml, line 10" in message


def test_messages_show_the_line_as_written_and_no_value_of_a_variable(read):
    message = error_of(read, BARE + "a: 'pw ${SECRET}\n", variables={"SECRET": "hunter2"})
    assert "${SECRET}" in message
    assert "hunter2" not in message


def test_a_document_that_is_not_utf8_is_told_with_the_line(tmp_path):
    (tmp_path / "earthmover.yaml").write_bytes(b"version: 2\n# \xe9\n")
    with pytest.raises(EtlError, match=r"(?s)not UTF-8.*line 2"):
        load(None, variables={}, folder=tmp_path)


# --set --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("y", True),
        ("OFF", False),
        ("7", 7),
        ("07", 7),
        ("1.5", 1.5),
        ("a.b", "a.b"),
        ("1e3", "1e3"),
        ("", ""),
    ],
)
def test_values_of_the_command_line_are_cast(text, value):
    assert autocast(text) == value
    assert type(autocast(text)) is type(value)


def test_set_makes_missing_mappings_and_does_not_change_the_compiled_text(read, tmp_path):
    overrides = ["config.output_dir", "out", "sources.s.header_rows", "1", "destinations.d.source", "$sources.s"]
    document = read("version: 2\nsources: {s: {file: x.csv}}\ndestinations: {}\n", overrides=overrides)
    assert document.config.output_dir == tmp_path / "out"
    assert document.sources["s"].options == {"file": "x.csv", "header_rows": 1}
    assert document.destinations["d"].options == {"source": "$sources.s"}
    assert document.text == "version: 2\nsources:\n  s:\n    file: x.csv\ndestinations: {}\n"
    assert not document.problems.found


def test_what_is_wrong_with_set_is_told(read):
    message = error_of(read, BARE, overrides=["config.nope", "1", "version.x", "1", "foo", "1"])
    assert "there is no option `nope`" in message
    assert "--set, pair 2: version.x\n       `version` is no mapping" in message
    assert "--set\n       there is no `foo`" in message
    with pytest.raises(EtlError, match="a path without a value"):
        override_pairs(["a"])


# Packages -----------------------------------------------------------------------------------------------------------------


def package(name, extra=""):
    return (
        f"version: 2\nconfig:\n  macros: |\n    {{% set ORDER = (ORDER or '') ~ ' {name}' %}}\n  parameter_defaults: {{ALL: {name}}}\n"
        f"{extra}sources:\n  s_{name}: {{file: /x/{name}}}\n  s_all: {{file: /x/{name}}}\n"
    )


def test_packages_are_merged_the_root_first_then_in_their_order_each_before_its_own(read):
    """Names, winners, macros and parameters as the peer compiled the same projects."""
    files = {
        "packages/a/earthmover.yaml": package("a", "packages: {a1: {local: x}, a2: {local: x}}\n"),
        "packages/a/packages/a1/earthmover.yaml": package("a1"),
        "packages/a/packages/a2/earthmover.yaml": package("a2"),
        "packages/b/earthmover.yaml": package("b", "packages: {b1: {local: x}}\n"),
        "packages/b/packages/b1/earthmover.yaml": package("b1"),
        "packages/c/earthmover.yaml": package("c", "packages: {c1: {local: x}}\n"),
        "packages/c/packages/c1/earthmover.yaml": package("c1"),
    }
    text = (
        "version: 2\nconfig:\n  macros: |\n    {% set ORDER = (ORDER or '') ~ ' root' %}\n"
        "packages: {a: {local: x}, b: {local: x}, c: {local: x}}\n"
        "sources:\n  s_root: {file: /x/root}\n  order: {file: '/{{ORDER}}'}\n  param: {file: /$ALL}\ndestinations: {}\n"
    )
    document = read(text, files=files)
    document.problems.raise_if_any()
    expected = ["s_c1", "s_all", "s_c", "s_b1", "s_b", "s_a2", "s_a1", "s_a", "s_root", "order", "param"]
    assert list(document.sources) == expected
    assert document.sources["s_all"].options["file"] == "/x/a"
    assert document.sources["order"].options["file"] == "/ c1 c b1 b a2 a1 a root root"
    assert document.sources["param"].options["file"] == "/a"
    assert list(document.compiled["packages"]) == ["c1", "b1", "a1", "a2", "a", "b", "c"]


PACKAGE = """\
version: 2
sources:
  s: {file: data/a.csv, header_rows: 1, columns: [a, b]}
  up: {file: ../x/a.csv}
  far: {file: "https://example.org/a.csv"}
  fixed: {file: a.txt, colspec_file: spec.csv}
transformations:
  t:
    source: $sources.s
    operations:
      - operation: map_values
        column: a
        map_file: ../maps/m.csv
destinations:
  d: {source: $transformations.t, template: t/x.jsont, schema: t/x.json}
"""


def test_files_of_a_package_are_found_from_the_package_and_the_root_wins_key_by_key(read, tmp_path):
    text = "version: 2\npackages: {a: {local: x}}\nsources:\n  s: {columns: [x], file: ../root.csv}\ndestinations:\n  d: {linearize: False}\n"
    document = read(text, files={"packages/a/earthmover.yaml": PACKAGE})
    document.problems.raise_if_any()
    sources = {name: node.options for name, node in document.sources.items()}
    assert sources["s"] == {"file": f"{tmp_path.parent}/root.csv", "header_rows": 1, "columns": ["x"]}
    assert sources["up"]["file"] == f"{tmp_path}/packages/x/a.csv"
    assert sources["far"]["file"] == "https://example.org/a.csv"
    assert sources["fixed"]["colspec_file"] == f"{tmp_path}/packages/a/spec.csv"
    operation = document.transformations["t"].options["operations"][0]
    assert operation["map_file"] == f"{tmp_path}/packages/maps/m.csv"
    destination = document.destinations["d"]
    assert destination.options["template"] == f"{tmp_path}/packages/a/t/x.jsont"
    assert destination.options["schema"] == f"{tmp_path}/packages/a/t/x.json"
    assert destination.options["linearize"] is False
    assert destination.folders == [tmp_path, tmp_path / "packages/a"]
    assert (
        document.transformations["t"].spec(document.problems).where("source")
        == "packages/a/earthmover.yaml, line 9: $transformations.t, `source`"
    )
    assert destination.options.file == "earthmover.yaml"


def test_a_package_that_is_not_installed_is_told_with_its_line(read):
    message = error_of(read, BARE + "packages:\n  a: {local: x}\n  b: {git: y}\n")
    assert (
        "earthmover.yaml, line 5: packages.a\n       the package `a` is not installed (install packages first: `deps`)"
        in message
    )
    assert "earthmover.yaml, line 6: packages.b" in message


def test_a_package_that_is_not_at_its_pin_is_told(read):
    pinned = BARE + "packages:\n  a: {git: y, commit: '1234567'}\n"
    files = {"packages/a/earthmover.yaml": PACKAGE, "packages/a/.commit": "abcdef0123456789\n"}
    message = error_of(read, pinned, files=files)
    assert "the package `a` is installed from commit abcdef012345, 1234567 is asked for" in message
    files["packages/a/.commit"] = "1234567890\n"
    read(pinned, files=files).problems.raise_if_any()


def test_wrong_packages_are_told(read):
    text = (
        BARE
        + "packages: {a: {local: x, git: y}, ../b: {local: z}, d: {git: x, comit: y}, e: {git: x, commit: 12}, f: {local: x, branch: y}, g: {local: ''}}\n"
    )
    message = error_of(read, text)
    for one in (
        "packages.a\n       a package has either `local` or `git`",
        "packages.g\n       a package has either `local` or `git`",
        "a package cannot be called `../b`",
        "there is no option `comit` (did you mean `commit`?)",
        "`12` is no commit",
        "`branch` belongs to a package from `git`",
    ):
        assert one in message


# Sandbox ------------------------------------------------------------------------------------------------------------------

UNSAFE = "version: 2\nsources: {p: {file: \"{{ ''.__class__.__name__ }}\"}}\n"


def test_packages_are_rendered_in_a_sandbox_and_the_project_is_not(read):
    root = UNSAFE + "destinations: {}\n"
    assert read(root).sources["p"].options["file"] == "str"
    message = error_of(read, BARE + "packages: {a: {local: x}}\n", files={"packages/a/earthmover.yaml": UNSAFE})
    assert "access to attribute '__class__' of 'str' object is unsafe" in message
    assert "packages/a/earthmover.yaml, line 2" in message
    assert read(BARE + "packages: {a: {local: x}}\n", trust=True).sources["p"].options["file"].endswith("packages/a/str")


def test_a_server_renders_everything_in_the_sandbox(read):
    assert "is unsafe" in error_of(read, UNSAFE + "destinations: {}\n", served=True, trust=True)


def test_macros_of_a_package_put_the_project_into_the_sandbox_too(read):
    files = {
        "packages/a/earthmover.yaml": "version: 2\nconfig:\n  macros: |\n    {% macro m() %}{{ ''.__class__.__name__ }}{% endmacro %}\n"
    }
    text = "version: 2\npackages: {a: {local: x}}\nsources: {p: {file: '{{ m() if m else 1 }}'}}\ndestinations: {}\n"
    assert "is unsafe" in error_of(read, text, files=files)


def test_what_a_package_gives_for_a_parameter_is_no_jinja_of_the_project(read):
    # `$sources` is in every document; the package writes `$$sources` and so is not caught by its own
    package = "version: 2\n{% raw %}\nconfig:\n  parameter_defaults:\n    sources: \"$$sources{{ ''.__class__.__name__ }}\"\n{% endraw %}\n"
    text = "version: 2\npackages: {a: {local: x}}\nsources: {s: {file: x.csv}}\ndestinations: {d: {source: $sources.s}}\n"
    message = error_of(read, text, files={"packages/a/earthmover.yaml": package})
    assert "is unsafe" in message and "earthmover.yaml, line 4: `destinations: {d: {source: $sources.s}}`" in message
    quoted = "version: 2\nconfig: {parameter_defaults: {NAME: \"' ~ ''.__class__.__name__ ~ '\"}}\n"
    text = "version: 2\npackages: {a: {local: x}}\nsources: {s: {file: \"{{ '${NAME}' }}\"}}\ndestinations: {}\n"
    assert "is unsafe" in error_of(read, text, files={"packages/a/earthmover.yaml": quoted})


def test_plain_parameters_of_a_package_leave_the_project_its_own_jinja(read):
    package = "version: 2\nconfig: {parameter_defaults: {YEAR: 2026, DIR: ./data/x-1}}\n"
    files = {"packages/a/earthmover.yaml": package}
    found = read(UNSAFE + "destinations: {}\npackages: {a: {local: x}}\n", files=files)
    assert found.sources["p"].options["file"].endswith("/str") and found.sources["p"].trusted


def test_a_node_of_a_package_whose_name_is_a_number_is_the_packages(read):
    files = {"packages/a/earthmover.yaml": "version: 2\nsources: {7: {file: data.csv}}\n"}
    found = read(BARE + "packages: {a: {local: x}}\n", files=files).sources["7"]
    assert not found.trusted and found.file.parent.name == "a"


def test_nodes_know_whether_they_are_trusted(read):
    files = {"packages/a/earthmover.yaml": PACKAGE}
    text = "version: 2\npackages: {a: {local: x}}\nsources: {own: {file: x.csv}}\ndestinations: {d: {extension: csv}}\n"
    document = read(text, files=files)
    assert {node.name: node.trusted for node in document.nodes} == {
        "s": False,
        "up": False,
        "far": False,
        "fixed": False,
        "own": True,
        "t": False,
        "d": False,
    }
    assert all(node.trusted for node in read(text, files=files, trust=True).nodes)
    assert not any(node.trusted for node in read(text, files=files, trust=True, served=True).nodes)


def test_the_sandbox_lets_lists_change_and_columns_be_looked_up_by_name_but_gives_no_environment(read):
    allowed = BARE + "# {% set l = [1] %}{{ l.append(2) or l }} {{ self._TemplateReference__context.resolve('a' ~ 1) }}\n"
    read(allowed, served=True).problems.raise_if_any()
    forbidden = BARE + "# {{ self._TemplateReference__context.environment.loader.searchpath.append('/') }}\n"
    assert "attribute 'environment' of 'Context' object is unsafe" in error_of(read, forbidden, served=True)


@pytest.mark.parametrize("text", ["'a' * 9999999999", "9999999999 * [1]", "9 ** 99999999"])
def test_the_sandbox_refuses_what_would_take_all_memory_or_time(read, text):
    assert "hint: it is rendered in a sandbox" in error_of(read, BARE + f"# {{{{ {text} }}}}\n", served=True)
    allowed = read(BARE + "# {{ '-' * 80 }}{{ 2 ** 64 }}{{ 6 * 7 }}{{ 1.5 * 2 }}\n", served=True)
    allowed.problems.raise_if_any()


def test_a_document_of_text_comments_and_raw_is_rendered_without_compiling_as_it_is_with_it(tmp_path, monkeypatch):
    chance = random.Random(3)
    bits = [
        "a: 1\n",
        "  b",
        "\n",
        "{% raw %}",
        "{%- raw -%}",
        "{{x}}\n",
        "{% endraw %}",
        "{%- endraw -%}\n",
        "{# c\n c #}",
        "é \n\n",
        " { ",
    ]
    made = make_environment(tmp_path, sandboxed=False)

    def rendered(source):
        table = [("x.yaml", line) for line in range(1, source.count("\n") + 2)]
        part = SimpleNamespace(path=tmp_path / "x.yaml", label="x.yaml", lines=source.split("\n"))
        rendering = Rendering(part, source, table, made, str)
        try:
            text = rendering.run()
        except EtlError as error:
            return str(error)
        return text, [rendering.place(index) for index in range(len(text))]

    sources = ["".join(chance.choices(bits, k=chance.randint(1, 12))) for _ in range(1000)]
    quickly = [rendered(one) for one in sources]
    monkeypatch.setattr(Rendering, "_only_text", lambda self: None)
    assert quickly == [rendered(one) for one in sources]
    assert rendered("a: {% raw %}{{b}}{% endraw %}\nc: {# d #}e") == (
        "a: {{b}}\nc: e", [[("x.yaml", 1)]] * 9 + [[("x.yaml", 2)]] * 4
    )  # fmt: skip
