"""Installs the packages of a document beside it, into `packages/<name>`, and those that they ask for below them.

A `local` package is copied. A `git` package is cloned; `commit` pins it, and the commit that it was made from is kept in
`packages/<name>/.commit`, where `load` looks a pin up. What comes from git is somebody else's: it may neither leave its own
folder (by `subdirectory`, by links, by the `local` of its own packages) nor ask for repositories of this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impl.run.command import LAST_LINES, find_program
from impl.run.errors import EtlError
from impl.run.files import alive
from impl.run.secrets import HIDDEN, redact
from impl.tabular.document.config import read_config
from impl.tabular.document.files import NAMES, find, installed_document
from impl.tabular.document.merging import COMMIT, PACKAGES, Package, packages_of, same_commit
from impl.tabular.document.overrides import override_pairs
from impl.tabular.document.reading import Reader
from impl.tabular.spec import Problems, nearest

REMOTE = "https:http:ssh:git"  # how a repository may be reached
_USER = re.compile(r"(?<=://)[^/@\s]+@")
_SCP = re.compile(r"^[^/:]+:(?!//)")  # user@host:path


@dataclass(frozen=True)
class Installed:
    """A package that is in place. path: `a/packages/b` as `a/b`; commit: of a git package."""

    path: str
    folder: Path
    commit: str | None = None


@dataclass(frozen=True)
class _Origin:
    """Where a document that asks for packages came from. within: the folder that it may not leave; None: no such bound."""

    folder: Path
    within: Path | None = None


def install(
    file: Path | None,
    *,
    params: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    variables: Mapping[str, str],
    trust: bool = False,
    served: bool = False,
    folder: Path,
    say: Callable[[str], None] = lambda line: None,
) -> list[Installed]:
    """Install all packages that the document in `file` (else in `folder`) asks for; an empty list where it asks for none.

    Each takes the place of what was installed before only once it is whole. Raises an `EtlError` that shows no credentials.
    """
    problems = Problems()
    path = find(file, folder)
    reader = Reader(path.parent, params=params or {}, variables=variables, problems=problems, trust=trust, served=served)
    root = reader.open(path)
    wanted = packages_of(reader.read(root), problems)
    config = read_config(root, override_pairs(overrides), Problems())
    problems.raise_if_any()
    packages = path.parent / PACKAGES
    job = _Job(reader, packages, config.git_auth_timeout, say)
    for package in wanted:
        job.put(package, _Origin(path.parent), packages, ())
    return job.done


class _Job:
    def __init__(self, reader: Reader, packages: Path, timeout: float, say: Callable[[str], None]) -> None:
        self.reader, self.packages, self.timeout, self.say = reader, packages, timeout, say
        self.done: list[Installed] = []

    def put(self, package: Package, origin: _Origin, into: Path, above: tuple[Any, ...]) -> None:
        """Install one package into `into` and its own packages below it. above: those that brought it here."""
        source = self._local(package, origin) if package.local is not None else None
        itself = (str(source),) if source else (package.git, package.subdirectory, package.branch, package.commit)
        if itself in above:
            raise EtlError("the packages ask for each other in a circle", where=package.where, hint="take one of them out")
        into.mkdir(parents=True, exist_ok=True)
        for left in into.glob(".*.part"):
            number = left.name.split(".")[-2]
            if number.isdecimal() and not alive(int(number)):
                shutil.rmtree(left)
        target = into / package.name
        with _aside(into / f".{package.name}.{os.getpid()}.part") as part:
            commit, own = None, _Origin(source or Path(), origin.within)
            if package.git is not None:
                clone = part / "clone"
                commit = self._clone(package, origin, clone)
                source = _inside(clone, package.subdirectory or ".", "the `subdirectory`", package.where)
                own = _Origin(source, clone)
            assert source is not None
            made = part / "made"
            if commit is not None:
                _refuse_links(source, package.where)
            try:
                _copy(source, made, self.packages, links=commit is not None)
            except shutil.Error as error:
                path, _, why = error.args[0][0]
                hint = "look for links that lead nowhere or in a circle, and for files that you may not read"
                raise EtlError(
                    f"the package cannot be copied: {why}", where=f"{package.where}: {path[:300]}", hint=hint
                ) from error
            if commit is not None:
                self._note(made, target, package, commit)
            if installed_document(made) is None:
                raise EtlError(
                    f"the package `{package.name}` has no document",
                    where=f"{package.where}: {_shown(package.git or str(package.local))}",
                    hint=f"it has to have a file {' or '.join(NAMES)} in its folder; `subdirectory` names another of a repository",
                )
            _replace(made, target)
            self.done.append(Installed("/".join(self._names(target)), target, commit))
            self.say(f"[+] package {self.done[-1].path}{f'  {commit[:12]}' if commit else ''}")
            # The packages that it asks for, while what it was made from is still there.
            file = installed_document(target)
            assert file is not None
            found = self.reader.read(self.reader.open(file, package.name, root=False))
            asked = packages_of(found, self.reader.problems)
            self.reader.problems.raise_if_any()
            for one in asked:
                self.put(one, own, target / PACKAGES, (*above, itself))

    def _names(self, target: Path) -> Iterator[str]:
        yield from target.relative_to(self.packages).parts[::2]

    def _local(self, package: Package, origin: _Origin) -> Path:
        text = str(package.local)
        if origin.within is not None:
            source = _inside(origin.within, os.path.relpath(origin.folder / text, origin.within), "the folder", package.where)
        else:
            source = origin.folder / os.path.expanduser(text)  # noqa: PTH111 - Path's fails on `~nobody`
        if not source.is_dir():
            near = [one.name for one in source.parent.iterdir() if one.is_dir()] if source.parent.is_dir() else []
            raise EtlError("there is no such folder", where=f"{package.where}: {text}", hint=nearest(source.name, near))
        return source.resolve()

    def _clone(self, package: Package, origin: _Origin, clone: Path) -> str:
        """Clone what the package asks for and return its commit."""
        address, foreign = str(package.git), origin.within is not None
        for key, text in (("git", address), ("branch", package.branch or "")):
            if text.startswith("-"):
                raise EtlError(f"`{key}` cannot begin with `-`", where=package.where, hint="look at its first character")
        here = address.startswith("file://") or not ("://" in address or _SCP.match(address))
        if foreign and here:
            raise EtlError(
                "a package from git may not ask for a repository of this machine",
                where=f"{package.where}: {_shown(address)}",
                hint="ask for it in your own document",
            )
        if here and not address.startswith("file://"):
            address = str(origin.folder / os.path.expanduser(address))  # noqa: PTH111 - see above
        git = find_program("git", "install git, e.g. `apt install git`")
        branch = ["--branch", package.branch] if package.branch else []
        depth = [] if package.commit or here else ["--depth", "1"]
        base = [git, "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"]
        allowed = REMOTE if foreign else f"{REMOTE}:file"
        self._git([*base, "clone", "--quiet", *depth, *branch, "--", address, str(clone)], package, allowed)
        if package.commit:
            checkout = [*base, "-C", str(clone), "checkout", "--quiet", "--detach", f"{package.commit}^{{commit}}", "--"]
            self._git(checkout, package, allowed)
        commit = self._git([*base, "-C", str(clone), "rev-parse", "HEAD"], package, allowed).strip()
        if package.commit and not same_commit(package.commit, commit):
            # A branch or tag that is called like a commit.
            raise EtlError(
                f"`{package.commit}` is not commit {commit}",
                where=package.where,
                hint="write the whole hash, 40 digits, as `git log` shows it",
            )
        return commit

    def _note(self, made: Path, target: Path, package: Package, commit: str) -> None:
        """Keep the commit in the package, and tell where it is another one than before."""
        noted = target / COMMIT
        before = noted.read_text().strip() if noted.is_file() else ""
        if before and before != commit and package.commit is None:
            self.say(f"warning: package {package.name} moved from {before[:12]} to {commit[:12]}; `commit:` pins it")
        (made / COMMIT).unlink(missing_ok=True)
        (made / COMMIT).write_text(f"{commit}\n")

    def _git(self, command: Sequence[str], package: Package, allowed: str) -> str:
        """Run git without a terminal: it asks for nothing, and is ended with its helpers when the time is up."""
        kept = {key: value for key, value in os.environ.items() if key not in _OF_ANOTHER_REPOSITORY}
        environment = {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": allowed}
        process = subprocess.Popen(
            list(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        where = f"{package.where}: {_shown(str(package.git))}"
        try:
            out, said = process.communicate(timeout=self.timeout)
        except subprocess.TimeoutExpired as error:
            raise EtlError(
                f"git took longer than {self.timeout:g} s",
                where=where,
                hint="see whether git can log in there by itself; `config.git_auth_timeout` gives it more time",
            ) from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode:
            lines = [_shown(line) for line in said.splitlines() if line.strip()][-LAST_LINES:]
            raise EtlError(
                f"the package `{package.name}` could not be fetched", where="\n    ".join([where, *lines]), hint=_hint(said)
            )
        return out


_OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


def _shown(text: str) -> str:
    """An address or a line of git without credentials, be it a password or a bare token."""
    return redact(_USER.sub(f"{HIDDEN}@", text))


def _hint(said: str) -> str:
    if re.search(
        r"could not read (?:Username|Password)|Authentication failed|Permission denied|terminal prompts disabled", said
    ):
        return "let git log in there by itself: a credential helper, or an ssh key without a question"
    if "Remote branch" in said:
        return "there is no such `branch`"
    if "pathspec" in said or "unknown revision" in said or "not a valid object" in said or "invalid reference" in said:
        return "there is no such `commit` in the repository (or on the `branch`)"
    if "not allowed" in said:
        return f"a repository is reached by {', '.join(REMOTE.split(':'))} or a path"
    return "try the same address with `git clone`"


def _inside(folder: Path, text: str, what: str, where: str) -> Path:
    """The folder that `text` names in `folder`; an `EtlError` where it is absent or outside, be it by `..` or by a link."""
    found = (folder / text).resolve()
    if Path(text).is_absolute() or not found.is_relative_to(folder.resolve()):
        raise EtlError(f"{what} leaves its package", where=f"{where}: {text}", hint="it has to be inside the repository")
    if not found.is_dir():
        near = (
            [one.name for one in found.parent.iterdir() if one.is_dir() and one.name != ".git"] if found.parent.is_dir() else []
        )
        raise EtlError(f"{what} is not there", where=f"{where}: {text}", hint=nearest(found.name, near))
    return found


def _refuse_links(folder: Path, where: str) -> None:
    """Links of a package may only point into it."""
    bound = folder.resolve()
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            one = Path(root, name)
            if one.is_symlink() and (one.readlink().is_absolute() or not one.resolve().is_relative_to(bound)):
                raise EtlError(
                    "a link leaves its package", where=f"{where}: {one.relative_to(folder)}", hint="it is not installed"
                )


def _copy(source: Path, target: Path, packages: Path, links: bool) -> None:
    """Copy a package without its repository, and without what is being installed where it holds the project itself."""
    skipped = packages.resolve()

    def ignore(folder: str, names: list[str]) -> Iterable[str]:
        return [one for one in names if one == ".git" or Path(folder, one).resolve() == skipped]

    shutil.copytree(source, target, symlinks=links, ignore=ignore)


def _replace(made: Path, target: Path) -> None:
    """Put a folder in the place of what is there; of a link only the link goes."""
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.is_dir():
        shutil.move(target, made.with_name("before"))
    made.rename(target)


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A folder that is gone at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
