"""The Jinja that documents are written in: what a project's environment offers, with or without a sandbox."""

from __future__ import annotations

import hashlib
import json
import json.scanner
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.runtime import Context, Macro
from jinja2.sandbox import SandboxedEnvironment

from impl.tabular.sandbox import Sandbox
from impl.tabular.templates.generator import Generator, Names, Template
from impl.tabular.templates.values import dumps


@dataclass(frozen=True)
class Settings:
    """What an environment is made of; a worker process makes the same one from it."""

    macros: str
    folder: str
    sandboxed: bool


class Quick(Context):
    """Calls macros, namespaces and methods of texts, most of what templates call, without asking each time what they want to be given."""

    def call(self, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        kind = type(called)
        if kind is Macro and not (called.caller or called.catch_kwargs or called.catch_varargs or self.eval_ctx.autoescape):
            if len(args) == called._argument_count and kwargs.keys() <= _SCOPES:
                try:
                    return called._func(*args)
                except StopIteration:
                    return self.environment.undefined("a macro raised a StopIteration exception")
        elif called is Names or (kind is _METHOD and type(called.__self__) is str):
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return called(*args, **kwargs)
        return super().call(called, *args, **kwargs)


class Plain(jinja2.Environment):
    """The environment of a project that is trusted like a Makefile."""

    settings: Settings
    context_class = Quick
    code_generator_class = Generator
    template_class = Template


class Sandboxed(Sandbox):
    """For packages and for whatever a server renders."""

    settings: Settings
    context_class = Quick
    code_generator_class = Generator
    template_class = Template

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A macro is as safe as what it does, and a namespace holds nothing."""
        if type(called) is Macro or called is Names:
            return context.call(called, *args, **kwargs)
        return super().call(context, called, *args, **kwargs)


def environment(macros: str, folder: Path | str, *, sandboxed: bool) -> jinja2.Environment:
    """Jinja with `md5`, `fromjson` and `col`; files are found in `folder`. macros: stand before every text that is rendered."""
    return _environment(Settings(str(macros or ""), str(folder), sandboxed))


@lru_cache(maxsize=256)
def _environment(settings: Settings) -> jinja2.Environment:
    kind = Sandboxed if settings.sandboxed else Plain
    made = kind(loader=jinja2.FileSystemLoader(settings.folder))
    made.settings = settings
    made.globals.update(md5=md5, fromjson=fromjson, col=col, namespace=Names)
    made.policies["json.dumps_function"] = dumps
    made.policies["json.dumps_kwargs"] = {}
    return made


def settings_of(made: jinja2.Environment) -> Settings:
    """What `made` was made of; an environment of another origin has no macros."""
    found = getattr(made, "settings", None)
    return found if found is not None else Settings("", ".", isinstance(made, SandboxedEnvironment))


def md5(text: str) -> str:
    """The MD5 of a text, in hexadecimal digits."""
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def fromjson(text: str) -> Any:
    """The value that a JSON text stands for."""
    return json.loads(text)


def fromjsons(texts: Iterable[str]) -> list:
    """The values that JSON texts stand for, without the price of a call for each."""
    found = []
    for text in texts:
        try:
            value, end = _SCAN(text, 0)
        except StopIteration:
            end = -1
        found.append(value if end == len(text) else fromjson(text))  # blanks around it, or no JSON
    return found


@jinja2.pass_context
def col(context: Context, name: str) -> Any:
    """The column of a name that is only known while rows flow: `col('score_' ~ n)`."""
    return context.resolve(name)


_SCAN = json.scanner.make_scanner(json.JSONDecoder())  # type: ignore[arg-type]
_METHOD = type("".strip)
_SCOPES = {"_loop_vars", "_block_vars"}  # what Jinja hands on with every call
