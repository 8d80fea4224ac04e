"""Random loops whose turns are known, files that are included and columns found by name: the text is the one of plain Jinja."""

import pytest

from impl.run.errors import EtlError
from impl.tabular.templates import unroll
from tests.tabular.test_templates_property import Grammar, ours, plain, rows

pytestmark = pytest.mark.slow

FILES = {
    "plain.jinja": "<{{ one }}|{{ a }}|{{ v }}>\n",
    "sets.jinja": "{% set v = one ~ '!' %}{% set later = v|upper %}{{ v }}{{ later }}{% if b %}{{ b }}{% endif %}",
    "loops.jinja": "{% for two in ['p', one] %}{{ two }}{{ loop.index }}{% endfor %}{{ mark(one) }}",
    "self.jinja": "{{ col('one') }}{{ col('a') }}",
    "late.jinja": "{{ v }}{% if a %}{% set v = 1 %}{% endif %}{{ v }}",
    "nested.jinja": "({% include 'plain.jinja' %}{% include 'sets.jinja' %})",
    "broken.jinja": "{{ one.absent.further }}",
}
RESOLVE = "self._TemplateReference__context.resolve"


class Turns(Grammar):
    """Writes loops over what stands in the template; in their bodies, a name is often one of theirs."""

    inside: tuple[str, ...] = ()

    def name(self) -> str:
        if not self.inside or self.random.random() < 0.3:
            return self.pick(super().name(), "v", "acc")
        one = self.pick(*self.inside)
        looked = (
            f"{self.pick('col', RESOLVE)}({self.pick(repr('a'), repr('absent'), repr('v'), one, one + chr(126) + repr(''))})"
        )
        places = (
            "loop.index",
            "loop.first",
            "loop.last",
            "loop.length",
            "loop.revindex0",
            "loop.previtem",
            "loop.cycle('r', 's')",
        )
        return self.pick(
            one, one, one, f"{one}[0]", f"{one}.k", f"{one}['k']", f"{one}[1]", looked, *places[: self.random.randrange(8)]
        )

    def listed(self, pairs: bool) -> str:
        one, other = Grammar.name(self), self.text(1)
        if pairs:
            return self.pick(
                f"[['p', {one}], ['q', {other}]]",
                "[('a', 1), ('b', 2.5)]",
                f"{{'a': {one}, 'k': {other}}}.items()",
                "table.items()",
                "__row_data__.items()",
                f"[['a', {one}, 3]]",
            )
        return self.pick(
            "range(2)",
            "range(1, 3)",
            "range(3, 0, -2)",
            "range(n|int(0) % 3)",
            f"[{one}, {other}]",
            f"[{{'k': {one}}}, {{'k': 'c', 'm': {other}}}]",
            f"[['p', {one}], ['q', {other}]]",
            "('a', 'b', none, 2.5, true)",
            "[]",
            "names",
            "table",
            "table.values()",
            "__row_data__",
            "'ab'",
            f"({one} ~ 'p q').split(' ')",
            f"({one} ~ ',')|list",
            "names|reverse",
            "names|select('ne', a)",
            "acc",
            "absent",
            "ns.n",
        )

    def loop(self, depth: int) -> str:
        pairs = self.random.random() < 0.4
        target = self.pick("one, two", "one, v", "key, a") if pairs else self.pick("one", "one", "two", "a", "v")
        listed, before = self.listed(pairs), self.inside
        self.inside = (*before, *target.split(", "))
        filtered = self.pick(
            "", "", "", f" if {self.truth(1)}", f" if {self.pick(*self.inside)} != 'a'", " if one in ('a', 'p')"
        )
        body, other = self.body(depth), self.body(0)
        self.inside = before
        return f"{{% for {target} in {listed}{filtered} %}}{body}" + self.pick("", "", f"{{% else %}}{other}") + "{% endfor %}"

    def body(self, depth: int) -> str:
        pieces = [
            self.pick(
                "{{ " + self.name() + " }}",
                "{{ " + self.name() + " }}",
                "{{ " + self.name() + "|tojson }}",
                "{{ " + self.text(1) + " }}",
                "{% if " + self.truth(1) + " %}{{ " + self.text(1) + " }}{% else %}-{% endif %}",
                "{% set v = " + self.text(1) + " %}{{ v }}",
                "{% set v = " + self.text(1) + " %}{% if v %}{{ v }}{{ mark(v, v) }}{% endif %}",
                "{% if " + self.truth(1) + " %}{% set v = 'if' %}{% endif %}{{ v }}",
                "{% set v %}{{ one }}{% endset %}{{ v }}",
                "{{ v }}{% set v = 1 %}",
                "{% set _ = acc.append(" + self.name() + " ~ '') %}",
                "{% set ns.n = ns.n ~ " + self.name() + " %}",
                "{{ mark(" + self.name() + ", y=one) }}",
                "{% include '" + self.pick(*FILES) + "' %}",
                "{% if not loop.last %}, {% endif %}",
                "{% with two = one %}{{ two }}{% endwith %}",
                "{% for three in (" + self.name() + " ~ '') %}{{ three }}{{ loop.index }}{{ one }}{% endfor %}",
                self.loop(depth - 1) if depth else " ",
            )
            for _ in range(self.random.randint(1, 4))
        ]
        return "".join(pieces)

    def template(self, depth: int) -> str:
        ahead = (
            "{% set acc = [] %}{% set ns = namespace(n='') %}{% set names = ['a', 'b'] %}{% set table = {'a': 1, 'k': 'x'} %}"
        )
        behind = self.pick("", "{{ acc|join(',') }}", "{{ ns.n }}", "{{ names }}{{ table }}", "{{ v }}", "{{ one }}")
        alone = self.pick("", "{% include '" + self.pick(*FILES) + "' %}", "{{ col('b') }}", "{% set v = 'V' %}")
        return ahead + alone + self.loop(depth) + self.pick("", "{{ a }}", self.loop(depth)) + behind


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("seed", range(3))
def test_random_known_loops_give_the_text_of_plain_jinja(seed, folder, monkeypatch):
    frame = rows(seed, 12)
    written_out = 0
    turns = unroll._Unroller.turns

    def counted(self, node):
        nonlocal written_out
        made = turns(self, node)
        written_out += 1
        return made

    monkeypatch.setattr(unroll._Unroller, "turns", counted)
    compared = 0
    for one in range(60):
        text = Turns(seed * 1000 + one).template(1)
        for operation in (False, True):
            try:
                expected = plain(text, frame, operation, folder)
            except Exception:
                with pytest.raises(EtlError):
                    ours(text, frame, operation, 2, folder)
                break
            assert ours(text, frame, operation, 2, folder) == expected, text
            assert ours(text, frame, operation, 2, folder, sandboxed=True) == expected, text
        else:
            compared += 1
    assert compared > 15
    assert written_out > 50
