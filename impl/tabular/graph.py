"""The picture of a document's graph: Mermaid text always, SVG and PNG where Graphviz is installed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from impl.run.command import run_command
from impl.run.files import replacing

if TYPE_CHECKING:
    from impl.tabular.plan import Plan, Step

TEXT_FILE, PICTURES = "graph.md", ("svg", "png")
NO_GRAPHVIZ = (
    "graph.svg and graph.png need Graphviz (`apt install graphviz`); graph.md is shown as a picture by GitHub and editors"
)
_SHAPES = {"sources": ("[(", ")]", "cylinder"), "transformations": ("[", "]", "box"), "destinations": ("[/", "/]", "note")}


def mermaid(plan: Plan, counts: Mapping[str, int] | None = None) -> str:
    """A Mermaid flowchart of the nodes, from what is read to what is written; counts: rows by node."""
    numbers = _numbers(plan)
    lines = ["flowchart LR"]
    for ref, step in plan.steps.items():
        before, behind, _ = _SHAPES[step.kind]
        label = "<br/>".join(_escaped(line) for line in _label(step, counts))
        lines.append(f'  {numbers[ref]}{before}"{label}"{behind}:::{step.kind}')
    lines += [f"  {numbers[one]} --> {numbers[ref]}" for one, ref in _edges(plan)]
    lines += [
        "  classDef sources fill:#d8ecd4,stroke:#4b8b3b,color:#111",
        "  classDef transformations fill:#dbe6f5,stroke:#3d6ca8,color:#111",
        "  classDef destinations fill:#f6dfd3,stroke:#b4572b,color:#111",
    ]
    return "\n".join(lines) + "\n"


def dot(plan: Plan, counts: Mapping[str, int] | None = None) -> str:
    """The same for Graphviz."""
    numbers = _numbers(plan)
    lines = ["digraph document {", "  rankdir=LR;", '  node [fontname="Helvetica"];']
    for ref, step in plan.steps.items():
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in _label(step, counts))
        lines.append(f'  {numbers[ref]} [label="{label}", shape={_SHAPES[step.kind][2]}];')
    lines += [f"  {numbers[one]} -> {numbers[ref]};" for one, ref in _edges(plan)]
    return "\n".join([*lines, "}"]) + "\n"


def draw(plan: Plan, folder: Path, counts: Mapping[str, int] | None = None) -> tuple[list[Path], str]:
    """Write graph.md into the folder, and the pictures if that can be done. Returns what was written, and a hint or ``."""
    target = folder / TEXT_FILE
    with replacing(target) as part:
        part.write_text(f"{_head(plan.document.file)}{mermaid(plan, counts)}```\n", encoding="utf-8")
    made = [target]
    program = shutil.which("dot")
    if program is None:
        return made, NO_GRAPHVIZ
    source = folder / f".{TEXT_FILE}.dot"
    try:
        source.write_text(dot(plan, counts), encoding="utf-8")
        for kind in PICTURES:
            picture = folder / f"graph.{kind}"
            with replacing(picture) as part:
                run_command([program, f"-T{kind}", "-o", part, source], hint="look whether Graphviz is installed whole")
            made.append(picture)
    finally:
        source.unlink(missing_ok=True)
    return made, ""


def drawn(document: Path, folder: Path) -> list[Path]:
    """What `draw` has written into the folder about this document."""
    text = folder / TEXT_FILE
    if not text.is_file() or not text.read_text(encoding="utf-8", errors="replace").startswith(_head(document)):
        return []
    pictures = [folder / f"graph.{kind}" for kind in PICTURES]
    return [text, *(one for one in pictures if one.is_file() and one.stat().st_mtime_ns >= text.stat().st_mtime_ns)]


def _head(document: Path) -> str:
    return f"# {document.name}\n\n```mermaid\n"


def _numbers(plan: Plan) -> dict[str, str]:
    """Names of nodes may hold anything, so the picture calls them n1, n2, ..."""
    return {ref: f"n{number}" for number, ref in enumerate(plan.steps, 1)}


def _edges(plan: Plan) -> list[tuple[str, str]]:
    return [(one, ref) for ref, step in plan.steps.items() for one in dict.fromkeys(step.reads)]


def _label(step: Step, counts: Mapping[str, int] | None) -> list[str]:
    lines = [step.node.name]
    if isinstance(step.part, list):
        lines += [one.name for one in step.part][:6] + (["..."] if len(step.part) > 6 else [])
    if counts is not None and step.ref in counts:
        lines.append(f"{counts[step.ref]:,} rows")
    return lines


def _escaped(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
