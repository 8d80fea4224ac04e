"""Random templates over random rows: whatever way they take, the text is the one that plain Jinja gives row by row."""

import hashlib
import json
import math
import random
from pathlib import Path

import jinja2
import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.spec import Map, Problems, Spec
from impl.tabular.templates import Expression, RowTemplate, environment, plan

TEXTS = [
    "",
    "x",
    " Yy ",
    "é&<",
    "12",
    "-7",
    "007",
    "ß\n",
    "a'b",
    'q"o',
    "\\",
    "İ",
    "\u2028 z",
    "12345678901234567890",
    "nan",
    "日本語テ",
    "\x85t\xa0",
    "$1",
]
MACROS = "{% macro mark(x, y='-') %}<{{ x }}{{ y }}{{ b }}>{% endmacro %}\n{% macro unused() %}{{ a }}{% endmacro %}{% set fixed = 'F' %}"
SCHEMA = {
    "a": pl.String,
    "b": pl.String,
    "c": pl.String,
    "d": pl.String,
    "e": pl.String,
    "n": pl.Int64,
    "t": pl.Boolean,
    "f": pl.Float64,
}


class Grammar:
    """Writes templates. depth: how deep pieces nest."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def name(self) -> str:
        return self.pick(
            "a", "a", "b", "c", "d", "e", "n", "t", "f", "absent", "fixed", "later", "__row_data__.a", "__row_data__['b']"
        )

    def text(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(self.name(), self.name(), "'x'", "''", "'12'")
        one, other = self.text(depth - 1), self.text(depth - 1)
        place, end = self.random.randint(-4, 4), self.random.randint(-4, 5)
        return self.pick(
            self.name(),
            f"({one}|lower)",
            f"({one}|upper)",
            f"({one}|trim)",
            f"({one}|string)",
            f"({one}|replace('x', '$1'))",
            f"({one}|default('dd'))",
            f"({one}|default('dd', true))",
            f"({one} ~ {other})",
            f"({one} ~ '')[{place}:{end}]",
            f"({one} ~ '')[{place}:]",
            f"({one} ~ '')[:{end}]",
            f"({one} ~ '')[{place}]",
            f"({one} if {self.truth(depth - 1)} else {other})",
            f"({one} if {self.truth(depth - 1)})",
            f"({one}|string + 'é')",
            f"mark({one})",
            f"md5({one} ~ '')",
            f"({one}|title)",
            f"col('{self.pick('a', 'absent')}')",
        )

    def truth(self, depth: int) -> str:
        one, other = self.text(depth - 1), self.text(depth - 1)
        return self.pick(
            f"{self.name()} is defined",
            f"{self.name()} is not none",
            f"{self.name()} is string",
            f"({one} == {other})",
            f"({one} != 'x')",
            f"({one} ~ '' < 'b')",
            f"({one} in ['x', '12', 'nan'])",
            f"('x' in ({one} ~ ''))",
            f"({one}|int > 5)",
            f"({one}|string|length >= 2)",
            f"({one} ~ '' in 'xyz')",
            f"(not {one})",
            f"({one} and {other} == 'x')",
            f"({one} or {other} == 'x')",
            one,
        )

    def piece(self, depth: int) -> str:
        one = self.text(depth)
        if depth <= 0:
            return "{{ " + one + " }}"
        inner, other = self.template(depth - 1), self.template(depth - 1)
        return self.pick(
            "{{ " + one + " }}",
            "{{ " + one + " }}",
            "{{ " + self.name() + " }}",
            "{{ " + one + "|tojson }}",
            "{{ " + one + "|int }}",
            "{{ (" + one + " ~ '')|length }}",
            "{{ " + self.truth(depth) + " }}",
            " text\n ",
            "{% if " + self.truth(depth) + " %}" + inner + "{% else %}" + other + "{% endif %}",
            "{% if " + self.truth(depth) + " %}" + inner + "{% elif " + self.truth(depth) + " %}" + other + "{% endif %}",
            "{% for l in " + one + " ~ '' %}{{ loop.index }}{{ l }}{{ b }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "{% for key in ['a', 'b'] %}" + inner + "{{ __row_data__[key] }}{% endfor %}",
            "{% set later = " + one + " %}" + inner,
            "{% set a = a ~ '!' %}" + inner,
            "{% set later %}" + inner + "{% endset %}{{ later }}",
            "{% set many = [] %}{% for x in 'pq' %}{% if many.append(x ~ b) %}{% endif %}{% endfor %}{{ many }}",
            "{% set ns = namespace(n=0) %}{% for x in a ~ '' %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "{% macro mine(z) %}" + inner + "{{ z }}{% endmacro %}{{ mine(c) }}",
            "{% if __row_data__.pop('c', '') == 'x' %}popped{% endif %}",
            "{% with later = " + one + " %}" + inner + "{% endwith %}",
            "{% filter upper %}" + inner + "{% endfilter %}",
        )

    def template(self, depth: int) -> str:
        return "".join(self.piece(depth) for _ in range(self.random.randint(1, 3)))


def rows(seed: int, count: int) -> pl.DataFrame:
    chosen = random.Random(seed)
    columns = {
        "a": [chosen.choice([*TEXTS, None]) for _ in range(count)],
        "b": [chosen.choice(["x", "y", None]) for _ in range(count)],
        "c": [chosen.choice(["x", "12"]) for _ in range(count)],
        "d": [chosen.choice(TEXTS) + str(place) for place in range(count)],
        "e": [chosen.choice(TEXTS) for _ in range(count)],
        "n": [chosen.choice([1, -2, 10**14, None]) for _ in range(count)],
        "t": [chosen.choice([True, False, None]) for _ in range(count)],
        "f": [chosen.choice([1.5, 2.0, 1e-7, 1e22, None]) for _ in range(count)],
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def plain(text: str, frame: pl.DataFrame, operation: bool, folder: Path | str = ".") -> list[str]:
    """What Jinja gives, one row after the other. Raises what Jinja raises."""
    made = jinja2.Environment(loader=jinja2.FileSystemLoader(folder))
    made.globals.update(md5=lambda x: hashlib.md5(x.encode()).hexdigest(), fromjson=json.loads)
    made.globals["col"] = jinja2.pass_context(lambda context, name: context.resolve(name))
    template = made.from_string(MACROS + text)
    texts = []
    for row in frame.iter_rows(named=True):
        if operation:
            given = {name: math.nan if value is None else value for name, value in row.items()}
            texts.append(template.render({**given, "__row_data__": dict(given)}))
        else:
            given = {name: "" if value is None else str(value) for name, value in row.items()}
            given["__row_data__"] = given
            texts.append(template.render(given))
    return texts


def ours(
    text: str, frame: pl.DataFrame, operation: bool, batches: int, folder: Path | str = ".", sandboxed: bool = False
) -> list[str]:
    made = environment(MACROS, folder, sandboxed=sandboxed)
    if operation:
        expression = Expression(
            "{# #}" + text, Spec(Map(), Problems(), "$transformations.t"), "column", environment=made, workers=1
        )
        render = expression.evaluate
    else:
        render = RowTemplate(text, environment=made, linearize=False, workers=1).render
    size = -(-frame.height // batches)
    return [one for start in range(0, frame.height, size) for one in render(frame.slice(start, size), start).to_list()]


def compare(seed: int, frame: pl.DataFrame, batches: int, depth: int) -> bool:
    """True if there was a text to compare."""
    text = Grammar(seed).template(depth)
    for operation in (False, True):
        try:
            expected = plain(text, frame, operation)
        except Exception:
            with pytest.raises(EtlError):
                ours(text, frame, operation, batches)
            return False
        assert ours(text, frame, operation, batches) == expected, text
    return True


@pytest.mark.parametrize("seed", range(6))
def test_random_templates_give_the_text_of_plain_jinja(seed):
    frame = rows(seed, 60)
    assert sum(compare(seed * 1000 + one, frame, batches=2, depth=2) for one in range(20)) > 0


@pytest.mark.parametrize("way", ["distinct", "rows"])
def test_each_way_to_render_gives_the_text_of_plain_jinja(way, monkeypatch):
    class Nothing(plan.Compiler):
        def value(self, node):
            raise plan.NotVectorError

    monkeypatch.setattr(plan, "Compiler", Nothing)
    if way == "rows":
        monkeypatch.setattr(plan.Rows, "by_distinct_values", lambda self, frame: plan._series(self.render(frame)))
    else:
        monkeypatch.setattr(plan, "FEW", 8)
        monkeypatch.setattr(plan.Rows, "judge", lambda self, count, different: False)
    frame = rows(5, 40)
    assert sum(compare(50_000 + one, frame, batches=3, depth=2) for one in range(25)) > 8
