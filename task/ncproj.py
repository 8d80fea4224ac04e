"""ncproj, the compiled tool that aggregates gridded data by regions (Rust).

What it does and how to call it alone: docs/ncproj.md
"""

from impl.ncproj import tool as program
from impl.run.checkpoint import checkpoint
from impl.run.namespace import run, task, tool


def path(c):
    """The compiled program; who calls it names it as a `file_dep`, so that a new program makes new results."""
    return c.env.tools / "ncproj"


def compile(c):
    """Crate -> program. A change of the sources, of the lock file or of the toolchain compiles it anew."""
    target = path(c)
    yield checkpoint(
        "ncproj.compile", program.compile_program, target, program.toolchain(), file_dep=program.sources(), targets=[target],
        slow="a few minutes, the first time",
    )  # fmt: skip


@task
def update(c):
    """Move ncproj's locked dependencies to their newest releases and compile it"""
    print(program.update_dependencies(), end="")
    run(c, "ncproj", "compile")


namespace = tool("ncproj", compile=compile, tasks=[update])
