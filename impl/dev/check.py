"""What somebody runs before asking for review: linters, types, generated tables, the quick tests."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from impl.run.errors import EtlError

CHECKS: dict[str, Sequence[str]] = {  # name: module and its arguments
    "ruff check": ("ruff", "check", "."),
    "ruff format": ("ruff", "format", "--check", "."),
    "mypy": ("mypy",),
    "generated tables": ("invoke", "dev.docs", "--check"),
    "quick tests": ("pytest", "-q", "-m", "not slow and not real and not servers"),
}


def run(root: Path, say: Callable[[str], None]) -> None:
    """Run all checks and say how each went; raise `EtlError` with the output of the first that failed."""
    missing = [module for module, *_ in CHECKS.values() if importlib.util.find_spec(module) is None]
    if missing:
        raise EtlError("the tools for checks are not installed", where=", ".join(missing), hint="pip install -e '.[test]'")
    failed = {}
    for name, words in CHECKS.items():
        done = subprocess.run([sys.executable, "-m", *words], cwd=root, capture_output=True, text=True)
        say(f"[{'+' if done.returncode == 0 else '!'}] {name}")
        if done.returncode != 0:
            failed[name] = (done.stdout + done.stderr).strip()
    for name, output in failed.items():
        say(f"\n-- {name}\n{output}")
    if failed:
        raise EtlError("not ready for review", where=", ".join(failed), hint="`ruff format .` and `invoke dev.docs` mend some")
