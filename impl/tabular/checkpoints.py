"""A document as the action of a checkpoint: plain arguments in, files out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError


def run_document(
    document: str, targets: Mapping[str, Path], *, parameters: Mapping[str, Any], engine: str = ""
) -> dict[str, Any]:
    """Run the document at `document` (below the checkout) and write its destinations to `targets`: name -> file.

    parameters: what `${NAME}` in it stands for; a path among them is a file that it reads. engine: what decides beside them
    what comes out (`state.engine`); with another one it is run again. Facts: rows by destination.
    """
    from impl.tabular.document import load
    from impl.tabular.plan import make_plan
    from impl.tabular.run import run_plan

    file = Path(__file__).resolve().parents[2] / document
    loaded = load(file, params={name: str(value) for name, value in parameters.items()}, variables={}, folder=file.parent)
    plan = make_plan(loaded)
    named = {step.node.name: step for step in plan.destinations}
    if set(named) != set(targets):
        raise EtlError(
            "the document's destinations are not those that are asked for",
            where=f"{document}: {', '.join(sorted(named))}; asked for {', '.join(sorted(targets))}",
            hint="name each destination once in `targets`",
        )
    for name, target in targets.items():
        named[name].part.place = target
    outcome = run_plan(plan)
    rows = {name: outcome.counts[step.ref] for name, step in named.items()}
    note = ", ".join(f"{count:,} rows in {name}" for name, count in rows.items())
    return {"note": note, "rows": rows, "warnings": outcome.warnings}
