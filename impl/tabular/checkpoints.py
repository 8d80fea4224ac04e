"""A document as the action of checkpoints: plain arguments in, files out. Whole, or once per partition."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impl.run.errors import EtlError
from impl.run.files import replacing

if TYPE_CHECKING:
    from impl.tabular.document import Document
    from impl.tabular.plan import Step
    from impl.tabular.run import Outcome

ROOT = Path(__file__).resolve().parents[2]


def run_document(
    document: str, targets: Mapping[str, Path], *, parameters: Mapping[str, Any], engine: str = ""
) -> dict[str, Any]:
    """Run the document at `document` (below the checkout) and write its destinations to `targets`: name -> file.

    parameters: what `${NAME}` in it stands for; a path among them is a file that it reads. engine: what decides beside them
    what comes out (`state.engine`); with another one it is run again. Facts: rows by destination.
    """
    steps, outcome = _run(loaded(document, parameters), targets)
    return _facts({name: outcome.counts[step.ref] for name, step in steps.items()}, outcome.warnings)


def run_partition(
    document: str,
    parts: Mapping[str, Path],
    *,
    parameters: Mapping[str, Any],
    overrides: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    selector: str = "*",
    engine: str = "",
    asked: float = 0.0,
    compiled: str = "",
) -> dict[str, Any]:
    """As `run_document`, for one partition: `parts` are files of which `gather_parts` makes the result.

    overrides: `path, value` of what is set in the document; variables: of the environment, which win over parameters.
    asked: when it was asked for, where what it reads cannot be looked at without fetching it; else nothing. compiled: a digest of
    the document as it stands after its Jinja, which may include other files.
    """
    from impl.tabular.parts import Ends, write_ends

    steps, outcome = _run(loaded(document, parameters, overrides, variables), parts, selector)
    for name, step in steps.items():
        one, rows = step.part, outcome.counts[step.ref]
        write_ends(parts[name], Ends(one.format, one.compression, rows, one.header_end, one.footer_start))
    return _facts({name: outcome.counts[step.ref] for name, step in steps.items()}, outcome.warnings)


def gather_parts(parts: Mapping[str, Sequence[Path]], targets: Mapping[str, Path]) -> dict[str, Any]:
    """Put the parts of each destination together, in their order."""
    from impl.tabular.parts import gather

    return _facts({name: gather(parts[name], target) for name, target in targets.items()}, [])


def check_partitions(
    document: str,
    target: Path,
    *,
    by: str,
    each: Sequence[tuple[Mapping[str, Any], Sequence[str]]],
    independent: bool = False,
    engine: str = "",
) -> str:
    """Look whether the document may be run by partition: an EtlError where it would give something else than over all rows.

    by: the parameter, or the place in the document. each: parameters and overrides of the partitions. target: is written to have been here.
    """
    from impl.tabular.partitions import refuse, some

    refuse([loaded(document, parameters, overrides) for parameters, overrides in some(each)], by, independent)
    with replacing(target) as part:
        part.write_text(json.dumps({"by": by, "partitions": len(each), "independent": independent}) + "\n")
    return f"{len(each):,} partitions by {by}"


def loaded(
    document: str,
    parameters: Mapping[str, Any],
    overrides: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Document:
    """The document at `document`: a place below the checkout, or an absolute path."""
    from impl.tabular.document import load

    file = ROOT / document
    params = {name: str(value) for name, value in parameters.items()}
    return load(file, params=params, overrides=overrides, variables=variables or {}, folder=file.parent)


def _run(document: Document, targets: Mapping[str, Path], selector: str = "*") -> tuple[dict[str, Step], Outcome]:
    from impl.tabular.plan import make_plan
    from impl.tabular.run import run_plan

    plan = make_plan(document, selector)
    named = {step.node.name: step for step in plan.destinations}
    if set(named) != set(targets):
        raise EtlError(
            "the document's destinations are not those that are asked for",
            where=f"{document.file}: {', '.join(sorted(named))}; asked for {', '.join(sorted(targets))}",
            hint="name each destination once in `targets`",
        )
    for name, target in targets.items():
        named[name].part.place = target
    return named, run_plan(plan)


def _facts(rows: Mapping[str, int], warnings: Sequence[str]) -> dict[str, Any]:
    note = ", ".join(f"{count:,} rows in {name}" for name, count in rows.items())
    return {"note": note, "rows": dict(rows), "warnings": list(warnings)}
