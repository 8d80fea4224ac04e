"""The Python that Jinja makes of a template, with the ways through it that most values take written out.

Jinja looks up each method and each attribute anew, and asks what a function wants to be given, whatever the value is. Here
each such place first asks for the type: a method of a text, a list or a mapping is called as it is, a key of a mapping is
looked up as it is, and whatever else comes goes the way that Jinja has for it. So the text is Jinja's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import CodeType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import TemplateModule
from jinja2.filters import do_int, do_tojson
from jinja2.runtime import LoopContext, missing
from jinja2.utils import Namespace

from impl.tabular.templates.values import json_text

# Methods that are called as they are, by name. `format` and `format_map` may read any attribute: a sandbox has its own
METHODS = {
    name: kind.__name__
    for kind, names in {
        str: "split rsplit splitlines partition rpartition strip lstrip rstrip replace lower upper title capitalize swapcase "
        "startswith endswith find rfind zfill ljust rjust center join removeprefix removesuffix isdigit isnumeric isdecimal "
        "isalpha isalnum isspace islower isupper istitle casefold",
        list: "append extend insert sort reverse",
        dict: "items keys values get update setdefault popitem",
    }.items()
    for name in names.split()
}
_OF_MAPPINGS = frozenset(dir(dict))


class Turns(LoopContext):
    """`loop` of what has a length: nobody has to look ahead for the last element."""

    def __init__(self, items: Any, *rest: Any) -> None:
        super().__init__(items, *rest)
        self.items, self.left = items, self._turns()

    def __iter__(self) -> Iterator[tuple[Any, Turns]]:  # type: ignore[override]
        return self.left  # whoever goes through `loop` itself takes its turns away

    def _turns(self) -> Iterator[tuple[Any, Turns]]:
        before = missing
        for self.index0, self._current in enumerate(self.items):  # noqa: B020 - they are what `loop` is asked for
            self._before, before = before, self._current
            yield self._current, self

    def _peek_next(self) -> Any:
        after = self.index0 + 1
        return self.items[after] if after < len(self.items) else missing

    @property
    def last(self) -> bool:
        return self.index0 + 1 >= len(self.items)


def turns(items: Any, *rest: Any) -> LoopContext:
    """The turns of a loop that asks for its place. rest: as Jinja says it."""
    return (Turns if type(items) in SEQUENCES else LoopContext)(items, *rest)


class Names(Namespace):
    """`namespace`, with its names where Python looks first."""

    def __init__(*arguments: Any, **names: Any) -> None:
        arguments[0].__dict__.update(dict(*arguments[1:], **names))

    __getattribute__ = object.__getattribute__

    def __setitem__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __repr__(self) -> str:
        return f"<Namespace {self.__dict__!r}>"


SEQUENCES = frozenset({list, tuple, str, range})


def attribute(environment: jinja2.Environment, value: Any, name: str) -> Any:
    """What `{{ value.name }}` is. Whether a sandbox lets it be read is asked at length for what cannot hide anything."""
    if type(value) in _OPEN and not name.startswith("_"):
        try:
            return getattr(value, name)
        except AttributeError:
            pass
    return environment.getattr(value, name)


_OPEN = frozenset({Names, TemplateModule})


class Generator(CodeGenerator):
    """For environments without autoescape, which ours are."""

    direct: nodes.Node | None = None  # what is written as it is made

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.places: list[dict[str, str]] = []  # what `loop` is asked for, for each loop around

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        """`(t.split if type(t := text) is str else <Jinja's way>)(",")`."""
        called = node.node
        if (
            not isinstance(called, nodes.Getattr)
            or (kind := METHODS.get(called.attr)) is None
            or forward_caller
            or node.kwargs
            or node.dyn_args is not None
            or node.dyn_kwargs is not None
        ):
            super().visit_Call(node, frame, forward_caller=forward_caller)
            return
        name = self.temporary_identifier()
        self.write(f"({name}.{called.attr} if type({name} := ")
        self.visit(called.node, frame)
        way = "environment.call, context" if self.environment.sandboxed else "context.call"
        scopes = ", _loop_vars=_loop_vars" if frame.loop_frame else ""
        scopes += ", _block_vars=_block_vars" if frame.block_frame else ""
        self.write(f") is {kind} else partial({way}, environment.getattr({name}, {called.attr!r}){scopes}))(")
        for argument in node.args:
            self.visit(argument, frame)
            self.write(", ")
        self.write(")")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        """A key of a mapping, a name of a namespace, or the place in a loop."""
        if node.ctx != "load" or isinstance(node.node, nodes.Literal) or node.attr in _OF_MAPPINGS:
            super().visit_Getattr(node, frame)
            return
        name = self.temporary_identifier()
        if isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr in PLACES:
            if self.places and node.attr in self.places[-1]:
                self.write(self.places[-1][node.attr])
                return
            self.write(f"({name}.{node.attr} if type({name} := ")
            self.visit(node.node, frame)
            self.write(f") is Turns else environment.getattr({name}, {node.attr!r}))")
            return
        self.write(f"({name}[{node.attr!r}] if type({name} := ")
        self.visit(node.node, frame)
        self.write(f") is dict and {node.attr!r} in {name} else ")
        if not node.attr.startswith("_"):
            self.write(f"{name}.__dict__[{node.attr!r}] if type({name}) is Names and {node.attr!r} in {name}.__dict__ else ")
        self.write(f"attribute(environment, {name}, {node.attr!r}))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        """An element of a list by a place from its begin."""
        place = node.arg.value if isinstance(node.arg, nodes.Const) else None
        if node.ctx != "load" or isinstance(node.node, nodes.Literal) or type(place) is not int or place < 0:
            super().visit_Getitem(node, frame)
            return
        name = self.temporary_identifier()
        self.write(f"({name}[{place}] if type({name} := ")
        self.visit(node.node, frame)
        self.write(f") is list and len({name}) > {place} else environment.getitem({name}, {place}))")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """`a ~ b`, without a call for it."""
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            super().visit_Concat(node, frame)
            return
        self.write("concat((")
        for part in node.nodes:
            constant = isinstance(part, nodes.Const) and isinstance(part.value, str)
            self.write("" if constant else "str(")
            self.visit(part, frame)
            self.write(", " if constant else "), ")
        self.write("))")

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        """`tojson` makes a text that knows that it is safe in HTML, which is of no use to what is only written."""
        known = self.environment.filters.get(node.name)
        if node.node is None or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs:
            super().visit_Filter(node, frame)
        elif known is do_tojson and node is self.direct:
            self.write("json_text(")
            self.visit(node.node, frame)
            self.write(")")
        elif known is do_int and not isinstance(node.node, nodes.Const):
            name = self.temporary_identifier()
            self.write(f"(int({name}) if type({name} := ")
            self.visit(node.node, frame)
            self.write(f") is str and len({name}) < 19 and {name}.isdecimal() else {self.filters[node.name]}({name}))")
        else:
            super().visit_Filter(node, frame)

    def visit_CondExpr(self, node: nodes.CondExpr, frame: Frame) -> None:
        """Nothing is written where nothing is said of it."""
        if node is not self.direct or node.expr2 is not None or self.environment.undefined is not jinja2.Undefined:
            super().visit_CondExpr(node, frame)
            return
        self.write("(")
        self.visit(node.expr1, frame.soft())
        self.write(" if ")
        self.visit(node.test, frame.soft())
        self.write(" else '')")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        """A loop that asks for its place counts its turns, unless a turn may change what it goes through."""
        parts = [part for one in node.body for part in (one, *one.find_all(nodes.Node))]
        if node.recursive or not _only_place(node) or any(map(_may_change, parts)):
            self.places.append({})
            super().visit_For(node, frame)
            self.places.pop()
            return
        turn, other = frame.inner(), frame.inner()
        turn.loop_frame = True
        turn.symbols.analyze_node(node, for_branch="body")
        other.symbols.analyze_node(node, for_branch="else")
        items, at, last = (self.temporary_identifier() for _ in range(3))
        if node.test is not None:
            self._choosing(last, node.target, node.test, node, frame, turn)
        self.writeline(f"{items} = ", node)
        self.write(f"{last}(" if node.test is not None else "(")
        self.visit(node.iter, frame)
        self.write(")")
        self.writeline(f"if type({items}) not in SEQUENCES: {items} = list({items})")
        self.writeline(f"{last} = len({items}) - 1")
        self.writeline(f"for {at}, ", node)
        self.visit(node.target, turn)
        self.write(f" in enumerate({items}):")
        self.indent()
        self.enter_frame(turn)
        self.writeline("_loop_vars = {}")
        self.places.append(_places(at, last))
        self.blockvisit(node.body, turn)
        self.places.pop()
        self.outdent()
        self.leave_frame(turn)
        if node.else_:
            self.writeline(f"if not {items}:")
            self.indent()
            self.enter_frame(other)
            self.blockvisit(node.else_, other)
            self.leave_frame(other)
            self.outdent()
        if self._assign_stack:  # what was set in the loop is not known behind it
            self._assign_stack[-1].difference_update(turn.symbols.stores)

    def _choosing(self, name: str, target: nodes.Node, test: nodes.Node, node: nodes.For, frame: Frame, turn: Frame) -> None:
        """A function that leaves the elements for which a condition holds. turn: the frame of the loop's body."""
        asked = frame.inner()
        asked.symbols.analyze_node(node, for_branch="test")
        self.writeline(f"def {name}(items):", test)
        self.indent()
        self.enter_frame(asked)
        self.writeline("for ")
        self.visit(target, turn)
        self.write(" in items:")
        self.indent()
        self.writeline("if ", test)
        self.visit(test, asked)
        self.write(":")
        self.indent()
        self.writeline("yield ")
        self.visit(target, turn)
        self.outdent(3)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        escaped = frame.eval_ctx.volatile or frame.eval_ctx.autoescape
        self.direct = None if escaped else node
        super()._output_child_pre(node, frame, finalize)


def _places(at: str, last: str) -> dict[str, str]:
    """What `loop` is asked for, where the turns are numbered from 0."""
    return {
        "index": f"({at} + 1)",
        "index0": at,
        "first": f"({at} == 0)",
        "last": f"({at} == {last})",
        "length": f"({last} + 1)",
        "revindex": f"({last} - {at} + 1)",
        "revindex0": f"({last} - {at})",
    }


PLACES = frozenset(_places("", ""))


def _only_place(node: nodes.For) -> bool:
    """Whether a loop is asked for its place, by its body alone, and for nothing else."""
    if node.test is not None and names_loop(node.test):
        return False
    asked = named = 0
    rest: list[nodes.Node] = list(node.body)
    while rest:
        one = rest.pop()
        if isinstance(one, nodes.For):  # its body has a `loop` of its own
            if names_loop(one.iter) or one.test is not None or one.else_:
                return False
            continue
        if isinstance(one, nodes.Macro | nodes.Block | nodes.Scope | nodes.With):
            return False
        named += isinstance(one, nodes.Name) and one.name == "loop"
        asked += (
            isinstance(one, nodes.Getattr)
            and isinstance(one.node, nodes.Name)
            and one.node.name == "loop"
            and one.attr in PLACES
        )
        rest.extend(one.iter_child_nodes())
    return 0 < asked == named


def names_loop(node: nodes.Node) -> bool:
    """Whether `loop` is asked for anything."""
    return any(isinstance(one, nodes.Name) and one.name == "loop" for one in (node, *node.find_all(nodes.Name)))


def _may_change(node: nodes.Node) -> bool:
    """Whether a turn may change what other turns see: it calls something else than a method of a text."""
    return isinstance(node, nodes.NSRef | nodes.Call | nodes.CallBlock | nodes.Include) and not (
        isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and METHODS.get(node.node.attr) == "str"
    )


class Template(jinja2.Template):
    """A template whose code finds what the code above names."""

    @classmethod
    def from_code(cls, environment: jinja2.Environment, code: CodeType, *args: Any, **kwargs: Any) -> jinja2.Template:
        made = super().from_code(environment, code, *args, **kwargs)
        made.root_render_func.__globals__.update(_NAMED)
        return made


_NAMED = {
    "partial": partial,
    "attribute": attribute,
    "json_text": json_text,
    "LoopContext": turns,
    "Turns": Turns,
    "Names": Names,
    "SEQUENCES": SEQUENCES,
}
