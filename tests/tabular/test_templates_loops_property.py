"""Random loops over lists in columns, texts between marks and JSON: by each way, the text is the one of plain Jinja row by row."""

import json
import random

import polars as pl
import pytest

from impl.run.errors import EtlError
from impl.tabular.templates import loops, plan
from tests.tabular.test_templates_property import TEXTS, Grammar, ours, plain, rows

pytestmark = pytest.mark.slow

MARKS = (";", ", ", "aa")
# lists of objects with the same keys, and of what else JSON holds under the same ones
ALIKE = ("k", "m")
VALUES = (
    *TEXTS,
    *(0, -0.0, 1.0, 1e22, 1e-7, 5e-324, 1e400, 10**17, 10**18, 1 << 62, 1 << 63, 10**30, -1, 7),
    *(True, False, None, [], ["x"], {}, {"a": 1}, "1", "o'neil a.b -c (d", "\u00e9\u00df", "\U0001f600"),
)


class Loops(Grammar):
    """Writes loops: in their bodies, what a name means is also the element, a key of it or its place."""

    inside = ""

    def name(self) -> str:
        if not self.inside or self.random.random() < 0.25:
            return super().name()
        one = self.inside
        keys = (f"{one}.k", f"{one}.m", f"{one}['o']", f"{one}.absent", f"{one}['a b']", one)
        places = ("loop.index", "loop.index0", "loop.first", "loop.last", "loop.length", "loop.revindex")
        return self.pick(*(keys * 2 if self.json else (one,) * 8), *places)

    def text(self, depth: int) -> str:
        if depth > 0 and self.random.random() < 0.15:
            one = self.text(depth - 1)
            return self.pick(f"({one}|title)", f"({one}|capitalize)", f"twice({one})", f"twice({one}, y={one})", f"({one}|int)")
        return super().text(depth)

    def loop(self, depth: int) -> str:
        """A loop with a body that reads its element."""
        self.json = self.random.random() < 0.6
        listed = f"fromjson({self.pick('j', 'j', 's', 's', 'w')})" if self.json else f"l.split({self.pick(*MARKS)!r})"
        self.inside = "one"
        body = self.body(depth)
        self.inside = ""
        return "{% for one in " + listed + self.pick("", "", " if one") + " %}" + body + "{% endfor %}"

    def body(self, depth: int) -> str:
        pieces = [
            self.pick(
                "{{ " + self.name() + " }}",
                "{{ " + self.name() + "|tojson }}",
                "{{ " + self.text(depth) + " }}",
                "{{ " + self.truth(depth) + " }}",
                "{% if " + self.truth(depth) + " %}" + "{{ " + self.text(depth) + " }}" + "{% else %}-{% endif %}",
                "{% set mine = " + self.text(depth) + " %}{{ mine }}",
                "{% if not loop.last %}, {% endif %}",
                "{% for two in (" + self.name() + " ~ '') %}{{ two }}.{% endfor %}",
                " text\n ",
            )
            for _ in range(self.random.randint(1, 4))
        ]
        return "".join(pieces)

    def template(self, depth: int) -> str:
        before = "{% macro twice(x, y='+') %}{{ x }}{{ y }}{% if x == y %}{{ x|upper }}{% endif %}{{ b }}{% endmacro %}"
        return before + self.loop(depth) + self.pick("", "{{ a }}", self.loop(depth))


def lists(seed: int, count: int) -> pl.DataFrame:
    """The rows of the other test, with a column of texts between marks and three of JSON: alike, similar, all kinds."""
    chosen = random.Random(seed)

    def made(value: object) -> str:
        blanks = chosen.choice([None, (",", ":")])
        return json.dumps(value, ensure_ascii=chosen.random() < 0.5, separators=blanks)

    def some(make) -> list:
        return [make() for _ in range(chosen.randrange(4))]

    similar = [lambda: chosen.choice(TEXTS), lambda: chosen.randrange(-3, 99), lambda: chosen.random(), lambda: None]

    def different() -> object:
        keys = chosen.sample(["k", "m", "o", "a b", "items"], chosen.randrange(5))
        return {key: chosen.choice(VALUES) for key in keys}

    def scalars() -> object:
        return different() if chosen.random() < 0.5 else chosen.choice(VALUES)

    return rows(seed, count).with_columns(
        l=pl.Series([chosen.choice(MARKS).join(some(lambda: chosen.choice([*TEXTS, "a", "b;", "aaa"]))) for _ in range(count)]),
        j=pl.Series([made(some(lambda: {"k": chosen.choice(TEXTS), "m": chosen.randrange(-9, 99)})) for _ in range(count)]),
        s=pl.Series([made(some(lambda: {"k": chosen.choice(similar)(), "m": chosen.choice(TEXTS), "o": True})) for _ in range(count)]),
        w=pl.Series([made(some(chosen.choice([different, different, scalars]))) for _ in range(count)]),
    )  # fmt: skip


def compare(seed: int, frame: pl.DataFrame) -> bool:
    """True if there was a text to compare."""
    text = Loops(seed).template(2)
    for operation in (False, True):
        try:
            expected = plain(text, frame, operation)
        except Exception:
            with pytest.raises(EtlError):
                ours(text, frame, operation, 2)
            return False
        assert ours(text, frame, operation, 2) == expected, text
    return True


@pytest.mark.parametrize("way", ["chosen", "table", "distinct"])
@pytest.mark.parametrize("seed", range(3))
def test_random_loops_give_the_text_of_plain_jinja(way, seed, monkeypatch):
    done = {"table": 0, "distinct": 0}

    def counted(kind, name):
        def evaluate(self, frame):
            found = kind_of[kind](self, frame)
            done[name] += found is not None
            return found

        return evaluate

    kind_of = {loops.Table: loops.Table.evaluate, loops.Distinct: loops.Distinct.evaluate}
    monkeypatch.setattr(loops.Table, "evaluate", counted(loops.Table, "table"))
    monkeypatch.setattr(loops.Distinct, "evaluate", counted(loops.Distinct, "distinct"))
    if way != "chosen":
        monkeypatch.setattr(loops, "_is_plain", lambda *_: way == "table")
        monkeypatch.setattr(plan.Plan, "is_worth_it", lambda self: True)
    frame = lists(seed, 40)
    assert sum(compare(seed * 1000 + one, frame) for one in range(40)) > 10
    assert done["table" if way == "chosen" else way] > 10
