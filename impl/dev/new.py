"""A new dataset from a template: its module, its page and its test, and no edit to any shared file."""

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from impl.run.command import run_command
from impl.run.errors import EtlError, unknown
from impl.run.files import replacing

TEMPLATES = Path(__file__).parent / "templates"
PLACES = {  # file of a template -> where it goes
    "module.py.txt": "task/{name}.py",
    "page.md.txt": "docs/{name}.md",
    "test.py.txt": "tests/task/test_{name}.py",
}
PLACEHOLDER = "@name@"


def kinds() -> list[str]:
    """The templates there are."""
    return sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir())


def write(root: Path, name: str, like: str) -> list[Path]:
    """Write the files of a dataset `name` after the template `like` below `root`; the paths, relative to it.

    Raises `EtlError` for a name that cannot be a module, that is taken, or for an unknown template; then nothing
    is written.
    """
    if like not in kinds():
        raise unknown("template", like, kinds(), where="--like")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name == "all":
        raise EtlError(
            f"`{name}` cannot be the name of a dataset",
            where="a module below task/ and the first part of its collections",
            hint="use small letters, digits and _, beginning with a letter: `gridmet`",
        )
    files = {Path(place.format(name=name)): (TEMPLATES / like / file).read_text() for file, place in PLACES.items()}
    taken = [str(path) for path in files if (root / path).exists()]
    if taken:
        raise EtlError(f"there is a `{name}` already", where=", ".join(taken), hint="choose another name, or move these away")
    for path, text in files.items():
        with replacing(root / path) as part:
            part.write_text(text.replace(PLACEHOLDER, name))
    # where lines break depends on the length of the name
    if importlib.util.find_spec("ruff"):
        run_command(
            [
                sys.executable,
                "-m",
                "ruff",
                "format",
                "--quiet",
                "--no-cache",
                *(path for path in files if path.suffix == ".py"),
            ],
            cwd=root,
        )
    return list(files)
