"""Compiles and calls the program `ncproj`. No other module names it or cargo.

The program itself is the Rust crate in this folder; README.md here says what it does.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from impl.run.command import find_program, run_command
from impl.run.errors import EtlError
from impl.run.files import replacing

CRATE = Path(__file__).parent
HINT = "install Rust (https://rustup.rs, or your system's `cargo` and `rustc` of version {version} or later), a C and a C++ compiler and cmake"


def sources() -> list[Path]:
    """The files that the program is made of, and those that say how cargo and cmake make it."""
    kinds = (
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain*",
        "build.rs",
        ".cargo/config.toml",
        "build-tools/*",
        "src/**/*.rs",
    )
    return sorted(path for kind in kinds for path in CRATE.glob(kind) if path.is_file())


def toolchain() -> str:
    """The compiler's full version, or "" where there is none: it decides too whether to compile again."""
    rustc = shutil.which("rustc")
    if rustc is None:
        return ""
    return subprocess.run([rustc, "-vV"], capture_output=True, text=True, cwd=CRATE).stdout


def _needed_version() -> str:
    import tomllib

    return tomllib.loads((CRATE / "Cargo.toml").read_text())["package"]["rust-version"]


def compile_program(target: Path, toolchain: str) -> str:
    """Compile the crate and put the program at `target`. Its `toolchain` is a parameter so that a new one compiles anew."""
    needed = _needed_version()
    hint = HINT.format(version=needed)
    cargo = find_program("cargo", hint=hint)
    found = next((line.split()[1] for line in toolchain.splitlines() if line.startswith("release:")), "0")
    if _numbers(found) < _numbers(needed):
        raise EtlError("the Rust compiler is too old", where=f"rustc {found}, needed {needed}", hint=hint)
    run_command([cargo, "build", "--release", "--locked", "--quiet"], cwd=CRATE, hint=hint)
    target = Path(target)
    with replacing(target) as part:
        shutil.copy2(CRATE / "target" / "release" / "ncproj", part)
    return run_command([target, "--version"]).stdout.strip()


def update_dependencies() -> str:
    """Move Cargo.lock to the newest releases that Cargo.toml allows; what cargo said."""
    cargo = find_program("cargo", hint=HINT.format(version=_needed_version()))
    return run_command([cargo, "update"], cwd=CRATE).stderr


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("-")[0].split("."))


def index(program: Path, regions: Path, grid: Path, target: Path, *, key: str) -> str:
    """Index the grid of the netCDF file `grid` by the polygons of `regions`, which `key` names."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    done = run_command([program, "index", "--regions", regions, "--key", key, "--grid", grid, "-o", target])
    return _note(done.stderr)


def aggregate(
    program: Path, index: Path, files: Sequence[Path], target: Path, *, variables: dict[str, str], statistics: Sequence[str]
) -> str:
    """Aggregate netCDF files by the regions of `index` into rows.

    variables: name in the file -> name in the columns. Columns: the key, `time`, `{statistic}_{name}`.
    """
    names = ",".join(f"{inside}={name}" for inside, name in variables.items())
    chosen: list[str | Path] = ["--variables", names, "--stats", ",".join(statistics)]
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    done = run_command([program, "aggregate", "--index", index, *chosen, "-o", target, *files])
    return _note(done.stderr)


def _note(stderr: str) -> str:
    """What the program said, in short: how much, and its warnings."""
    how_much = re.search(r"[\d,]+ steps x [\d,]+ regions|[\d,]+ regions[^,]*, [\d,]+ pairs", stderr)
    warnings = [line.strip() for line in stderr.splitlines() if line.startswith("warning: ")]
    return "; ".join([how_much[0] if how_much else "", *warnings])
