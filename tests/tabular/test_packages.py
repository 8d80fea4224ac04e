"""Packages: copied or cloned, pinned, below each other; and what they may not do."""

import os
import subprocess
from pathlib import Path

import pytest

from impl.run.errors import EtlError
from impl.tabular.document import load
from impl.tabular.packages import Installed, install

PACKAGE = "version: 2\nsources: {s: {file: data.csv}}\ndestinations: {}\n"
ROOT = "version: 2\nsources: {}\ndestinations: {}\n"


@pytest.fixture
def project(tmp_path):
    """Writes the project's document and gives a function that installs its packages."""
    folder = tmp_path / "project"
    folder.mkdir()

    def project(packages, text=ROOT, **options):
        (folder / "earthmover.yaml").write_text(text + packages)
        said = []
        found = install(None, variables=options.pop("variables", {}), folder=folder, say=said.append, **options)
        project.said = said
        return found

    project.folder = folder
    return project


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def git(folder, *words):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A bare repository with two commits on `main` and one more on `next`; its address and a work tree to commit from."""
    work, bare = tmp_path / "work", tmp_path / "bare.git"
    work.mkdir()
    git(work, "init", "--quiet")

    def commit(files):
        write(work, files)
        git(work, "add", "-A")
        git(work, "commit", "--quiet", "-m", "more")
        if bare.exists():
            git(work, "push", "--quiet", str(bare), "--all")
        return git(work, "rev-parse", "HEAD")

    repository = type("Repository", (), {})()
    repository.first = commit({"earthmover.yaml": PACKAGE, "data.csv": "first"})
    git(tmp_path, "clone", "--quiet", "--bare", str(work), str(bare))
    repository.second = commit({"data.csv": "second"})
    git(work, "checkout", "--quiet", "-b", "next")
    repository.third = commit({"data.csv": "third", "bundles/x/earthmover.yaml": PACKAGE, "bundles/x/data.csv": "x"})
    git(work, "checkout", "--quiet", "main")
    repository.commit, repository.work, repository.address = commit, work, f"file://{bare}"
    return repository


def error_of(project, packages, **options):
    with pytest.raises(EtlError) as caught:
        project(packages, **options)
    return str(caught.value)


# local --------------------------------------------------------------------------------------------------------------------


def test_a_local_package_is_copied_and_then_loads(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE, "data.csv": "1", ".git/config": "x"})
    found = project("packages: {a: {local: ../a}}\n")
    folder = project.folder / "packages/a"
    assert found == [Installed("a", folder)]
    assert (folder / "data.csv").read_text() == "1"
    assert not (folder / ".git").exists()
    assert project.said == ["[+] package a"]
    document = load(None, variables={}, folder=project.folder)
    assert document.sources["s"].options["file"] == str(folder / "data.csv")


def test_installing_again_takes_the_place_of_what_was_there(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    write(project.folder / "packages/a", {"old.csv": "old"})
    project("packages: {a: {local: ../a}}\n")
    assert sorted(one.name for one in (project.folder / "packages/a").iterdir()) == ["earthmover.yaml"]
    assert sorted(one.name for one in (project.folder / "packages").iterdir()) == ["a"]


@pytest.mark.parametrize("to", ["nowhere", "."])
def test_a_package_with_a_link_that_cannot_be_followed_is_told(project, tmp_path, to):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    (tmp_path / "a/link").symlink_to(to)
    message = error_of(project, "packages: {a: {local: ../a}}\n")
    assert "error: the package cannot be copied: [Errno" in message and "hint: look for links" in message
    assert not list((project.folder / "packages").iterdir())


def test_what_is_like_the_name_of_a_part_stays(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    write(project.folder, {"packages/.x.part": "mine"})
    project("packages: {a: {local: ../a}}\n")
    assert (project.folder / "packages/.x.part").read_text() == "mine"


def test_of_a_link_in_its_place_only_the_link_goes(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    write(tmp_path / "mine", {"kept.csv": "kept"})
    (project.folder / "packages").mkdir()
    (project.folder / "packages/a").symlink_to(tmp_path / "mine")
    project("packages: {a: {local: ../a}}\n")
    assert (tmp_path / "mine/kept.csv").read_text() == "kept"
    assert not (project.folder / "packages/a").is_symlink()


def test_packages_of_packages_are_below_them_and_found_from_where_they_came(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE + "packages: {b: {local: ./inside}, c: {local: ../c}}\n"})
    write(tmp_path / "a/inside", {"earthmover.yaml": PACKAGE})
    write(tmp_path / "c", {"earthmover.yaml": PACKAGE})
    found = project("packages: {a: {local: ../a}}\n")
    assert [one.path for one in found] == ["a", "a/b", "a/c"]
    assert (project.folder / "packages/a/packages/c/earthmover.yaml").is_file()
    load(None, variables={}, folder=project.folder).problems.raise_if_any()


def test_a_package_that_holds_the_project_is_copied_without_what_is_being_installed(project, tmp_path):
    write(tmp_path, {"earthmover.yaml": PACKAGE})
    project("packages: {a: {local: ..}}\n")
    copied = project.folder / "packages/a"
    assert (copied / "project/earthmover.yaml").is_file()
    assert not (copied / "project/packages").exists()


def test_packages_that_ask_for_each_other_are_told(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE + "packages: {b: {local: ../b}}\n"})
    write(tmp_path / "b", {"earthmover.yaml": PACKAGE + "packages: {a: {local: ../a}}\n"})
    assert "ask for each other in a circle" in error_of(project, "packages: {a: {local: ../a}}\n")


def test_a_folder_that_is_absent_and_one_without_a_document_are_told(project, tmp_path):
    write(tmp_path / "measures", {"readme.txt": ""})
    message = error_of(project, "packages: {a: {local: ../measure}}\n")
    assert "there is no such folder\n  at earthmover.yaml, line 4: packages.a: ../measure" in message
    assert "did you mean `measures`?" in message
    assert "the package `a` has no document" in error_of(project, "packages: {a: {local: ../measures}}\n")
    assert not (project.folder / "packages/a").exists()
    assert list((project.folder / "packages").iterdir()) == []


def test_a_document_without_packages_has_nothing_to_install(project):
    assert project("") == []
    assert not (project.folder / "packages").exists()


@pytest.mark.parametrize("name", ["../b", "/b", ".", "..", "a/b", ".hidden"])
def test_a_name_that_is_no_folder_is_refused(project, tmp_path, name):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    assert "a package cannot be called" in error_of(project, f"packages: {{'{name}': {{local: ../a}}}}\n")


def test_addresses_may_have_variables(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    project("packages: {a: {local: '../${WHICH}'}}\n", params={"WHICH": "a"})
    assert (project.folder / "packages/a/earthmover.yaml").is_file()


# git ----------------------------------------------------------------------------------------------------------------------


def test_a_git_package_is_cloned_and_its_commit_is_kept(project, repository):
    found = project(f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    folder = project.folder / "packages/g"
    assert found == [Installed("g", folder, repository.second)]
    assert sorted(one.name for one in folder.iterdir()) == [".commit", "data.csv", "earthmover.yaml"]
    assert (folder / "data.csv").read_text() == "second"
    assert (folder / ".commit").read_text() == f"{repository.second}\n"
    load(None, variables={}, folder=project.folder).problems.raise_if_any()


def test_a_branch_and_a_subdirectory_are_taken(project, repository):
    project(f"packages: {{g: {{git: '{repository.address}', branch: next, subdirectory: bundles/x}}}}\n")
    assert (project.folder / "packages/g/data.csv").read_text() == "x"
    assert (project.folder / "packages/g/.commit").read_text() == f"{repository.third}\n"


def test_a_commit_pins_a_package(project, repository):
    pinned = f"packages: {{g: {{git: '{repository.address}', commit: '{repository.first[:10]}'}}}}\n"
    project(pinned)
    assert (project.folder / "packages/g/data.csv").read_text() == "first"
    load(None, variables={}, folder=project.folder).problems.raise_if_any()
    (project.folder / "earthmover.yaml").write_text(ROOT + pinned.replace(repository.first[:10], repository.second))
    with pytest.raises(EtlError) as document:
        load(None, variables={}, folder=project.folder)
    assert f"is installed from commit {repository.first[:12]}, {repository.second[:12]} is asked for" in str(document.value)


def test_a_package_that_moved_is_told(project, repository):
    project(f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    newest = repository.commit({"data.csv": "fourth"})
    project(f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    assert project.said == [
        f"warning: package g moved from {repository.second[:12]} to {newest[:12]}; `commit:` pins it",
        f"[+] package g  {newest[:12]}",
    ]


def test_a_commit_or_branch_that_is_absent_is_told_and_what_was_installed_stays(project, repository):
    project(f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}', commit: '{'12' * 20}'}}}}\n")
    assert "the package `g` could not be fetched" in message
    assert "there is no such `commit`" in message
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}', branch: nowhere}}}}\n")
    assert "there is no such `branch`" in message
    assert (project.folder / "packages/g/data.csv").read_text() == "second"
    assert [one.name for one in (project.folder / "packages").iterdir()] == ["g"]


def test_a_branch_that_is_called_like_a_commit_is_no_pin(project, repository):
    git(repository.work, "branch", "abcdef1")
    git(repository.work, "push", "--quiet", repository.address.removeprefix("file://"), "--all")
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}', branch: abcdef1, commit: abcdef1}}}}\n")
    assert f"`abcdef1` is not commit {repository.second}" in message


def test_git_packages_of_one_repository_find_each_other(project, repository):
    repository.commit(
        {
            "bundles/a/earthmover.yaml": PACKAGE + "packages: {b: {local: ../b}}\n",
            "bundles/b/earthmover.yaml": PACKAGE,
            "bundles/b/data.csv": "b",
        }
    )
    found = project(f"packages: {{g: {{git: '{repository.address}', subdirectory: bundles/a}}}}\n")
    assert [one.path for one in found] == ["g", "g/b"]
    assert (project.folder / "packages/g/packages/b/data.csv").read_text() == "b"


@pytest.mark.parametrize("subdirectory", ["..", "../work", "bundles/../..", "/tmp"])
def test_a_subdirectory_may_not_leave_the_repository(project, repository, subdirectory):
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}', subdirectory: {subdirectory}}}}}\n")
    assert "the `subdirectory` leaves its package" in message


def test_a_subdirectory_that_is_a_link_to_elsewhere_is_refused(project, repository, tmp_path):
    write(tmp_path / "secret", {"earthmover.yaml": PACKAGE})
    (repository.work / "out").symlink_to(tmp_path / "secret")
    repository.commit({})
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}', subdirectory: out}}}}\n")
    assert "the `subdirectory` leaves its package" in message


def test_links_of_a_git_package_may_only_point_into_it(project, repository):
    (repository.work / "same.csv").symlink_to("data.csv")
    repository.commit({})
    project(f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    assert (project.folder / "packages/g/same.csv").read_text() == "second"
    (repository.work / "passwords").symlink_to("../../../../../../../etc/passwd")
    repository.commit({})
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    assert "a link leaves its package" in message
    assert "passwords" in message


@pytest.mark.parametrize(
    "asked", ["local: ../../../..", "local: /etc", "git: /srv/private.git", "git: 'file:///srv/private.git'"]
)
def test_a_git_package_may_not_reach_for_this_machine(project, repository, asked):
    repository.commit({"earthmover.yaml": PACKAGE + f"packages: {{x: {{{asked}}}}}\n"})
    message = error_of(project, f"packages: {{g: {{git: '{repository.address}'}}}}\n")
    assert "leaves its package" in message or "may not ask for a repository of this machine" in message
    assert not (project.folder / "packages/g/packages/x").exists()


@pytest.mark.parametrize("address", ["ext::sh -c touch% /tmp/x", "--upload-pack=touch"])
def test_an_address_that_would_run_a_program_is_refused(project, address):
    message = error_of(project, f'packages: {{g: {{git: "{address}"}}}}\n')
    assert "cannot begin with `-`" in message or "not allowed" in message
    assert "try the same address" not in message


def test_messages_show_no_credentials(project, repository):
    for user in ("ada:hunter2", "ghp_hunter2token"):
        message = error_of(project, f"packages: {{g: {{git: 'https://{user}@localhost:1/x.git'}}}}\n")
        assert "https://***@localhost:1/x.git" in message
        assert "hunter2" not in message


def test_git_that_waits_is_ended_when_the_time_is_up(project, tmp_path, monkeypatch):
    write(tmp_path / "bin", {"git": "#!/bin/sh\nsleep 60\n"})
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    text = ROOT + "config: {git_auth_timeout: 0.2}\n"
    message = error_of(project, "packages: {g: {git: 'https://ada:hunter2@example.org/x.git'}}\n", text=text)
    assert "git took longer than 0.2 s" in message
    assert "hunter2" not in message
    assert list((project.folder / "packages").iterdir()) == []


def test_what_a_killed_run_left_is_removed(project, tmp_path):
    write(tmp_path / "a", {"earthmover.yaml": PACKAGE})
    gone = subprocess.Popen(["true"])
    gone.wait()
    write(project.folder / f"packages/.a.{gone.pid}.part", {"x": ""})
    project("packages: {a: {local: ../a}}\n")
    assert [one.name for one in Path(project.folder / "packages").iterdir()] == ["a"]
