"""Who may know whom, read from the imports; docs/architecture.md tells why."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CARRIERS = {"impl.run.errors", "impl.run.command", "impl.run.progress", "impl.run.files", "impl.run.columns"}
MAY_USE = {  # room: what it may import of this repository, beside itself
    "run": set(),
    "source": CARRIERS | {"impl.run.secrets"},
    "store": CARRIERS | {"impl.run.secrets", "impl.run.objects"},
    "transform": CARRIERS,
    "ncproj": CARRIERS,
    "tabular": CARRIERS | {"impl.run.secrets"},
    "view": CARRIERS | {"impl.store"},
    "dev": {"impl.run"},
}


def imports(path: Path) -> set[str]:
    """The modules of this repository that a file imports, wherever in it; `from a import b` counts as a.b too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {
                node.module if node.module != "impl" and node.module.count(".") > 1 else f"{node.module}.{n.name}"
                for n in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add(".".join(path.relative_to(ROOT).with_suffix("").parts[: -node.level]))
    return {name for name in found if name.split(".")[0] in ("impl", "task", "config", "tasks")}


def modules(folder):
    """Our own: what cargo unpacks while it compiles has Python in it too."""
    return [path for path in folder.rglob("*.py") if "target" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize(
    "room", sorted(path.name for path in (ROOT / "impl").iterdir() if (path / "__init__.py").exists() or path.name == "ncproj")
)
def test_a_room_knows_only_what_it_may(room):
    allowed = MAY_USE[room] | {f"impl.{room}"}
    for path in modules(ROOT / "impl" / room):
        for name in imports(path):
            assert any(name == one or name.startswith(f"{one}.") for one in allowed), f"{path.relative_to(ROOT)} imports {name}"


def test_nothing_in_impl_imports_task_or_config():
    for path in modules(ROOT / "impl"):
        assert not {name for name in imports(path) if name.split(".")[0] != "impl"}, path


def test_tasks_alone_reads_config():
    for path in (ROOT / "task").glob("*.py"):
        assert "config" not in imports(path), path


def test_tasks_py_is_fifteen_lines():
    lines = [line for line in (ROOT / "tasks.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 15


def test_there_is_no_utils():
    assert list(ROOT.glob("impl/**/*util*.py")) == []


def test_installing_brings_impl_for_the_command_and_no_other_module():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["py-modules"] == []
    assert {one.partition(".")[0] for one in settings["packages"]["find"]["include"]} == {"impl"}
