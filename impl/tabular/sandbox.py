"""The sandbox for Jinja that others wrote: packages, and whatever a server renders."""

from __future__ import annotations

from typing import Any

from jinja2.runtime import Context, TemplateReference
from jinja2.sandbox import SandboxedEnvironment, SecurityError

LONGEST = 1 << 20  # letters or items of what `*` makes
LARGEST = 1 << 14  # bits of a number


class Sandbox(SandboxedEnvironment):
    """No underscored attribute but the one by which bundles find a column of a computed name, and nothing that grows without bound."""

    intercepted_binops = frozenset(["*", "**"])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, TemplateReference) and attr == "_TemplateReference__context":
            return True
        if isinstance(obj, Context):  # reached only through the line above; the rest of it leads out of the sandbox
            return attr in ("resolve", "get")
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if _grows(operator, left, right):
            raise SecurityError(f"what `{operator}` makes is too large for the sandbox")
        return super().call_binop(context, operator, left, right)


def _grows(operator: str, left: Any, right: Any) -> bool:
    if operator == "**":
        return isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > LARGEST
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length() > LARGEST
    many, times = (right, left) if isinstance(left, int) else (left, right)
    return isinstance(times, int) and isinstance(many, str | bytes | list | tuple) and len(many) * times > LONGEST
