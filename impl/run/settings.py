"""Names of settings: a section, a key or a variable that is no setting is an error, else it would say nothing and do nothing.

`known` is everywhere what there is: section -> its settings. invoke itself merges files and variables, and gives up on
some files with a traceback: those are refused here before it reads them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from impl.run.errors import EtlError, unknown

FILES = ("invoke.yaml", "invoke.yml")  # of the checkout
PREFIX = "INVOKE_"
INVOKES_OWN = ("run", "runners", "sudo", "tasks", "timeouts", "runtime", "shell", "debug")  # sections that are not ours
NESTED = "environments"  # the one setting that has settings below it: of one environment alone

Known = Mapping[str, Iterable[str]]


def check_file(path: Path, known: Known, variables: Mapping[str, str]) -> None:
    """Refuse what would stop invoke with a traceback: broken YAML, a section that is no mapping, a value of another kind."""
    from invoke.vendor import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else path
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise EtlError(
            f"the settings are no YAML: {said}",
            where=where,
            hint="mend that line or the one above; docs/settings.md has an example",
        ) from None
    _check_mapping(content, path, "the file")
    for section, settings in (content or {}).items():
        if section not in known:
            continue
        _check_mapping(settings, path, f"the section `{section}`", may_be_empty=False)
        for name, value in settings.items():
            if name == NESTED and section == "etl":
                _check_mapping(value, path, f"`etl.{NESTED}`")
                for environment, own in (value or {}).items():
                    _check_mapping(own, path, f"`etl.{NESTED}.{environment}`")
                    for one, single in (own or {}).items():
                        _check_plain(single, path, f"etl.{NESTED}.{environment}.{one}", variables)
            else:
                _check_plain(value, path, f"{section}.{name}", variables)


def _check_mapping(found: Any, path: Path, what: str, may_be_empty: bool = True) -> None:
    if not isinstance(found, Mapping) and not (found is None and may_be_empty):
        shown = "nothing" if found is None else f"`{found}`"
        raise EtlError(
            f"{what} has no settings below it", where=f"{path}: {shown}", hint="write `NAME: VALUE` below it, or take it out"
        )


def _check_plain(value: Any, path: Path, name: str, variables: Mapping[str, str]) -> None:
    if isinstance(value, Mapping | list):
        raise EtlError(
            f"the setting `{name}` has more than one value",
            where=f"{path}: `{value}`",
            hint="write one; several with commas between: `A,B`",
        )
    variable = variable_of(name)
    given = variables.get(variable)
    # invoke takes a variable for a number where the file has one
    if isinstance(value, int) and not isinstance(value, bool) and given is not None and not given.strip().lstrip("-").isdigit():
        raise EtlError(
            f"the variable {variable} is no number",
            where=f"{variable}={given}; {path}: `{name}` is {value}",
            hint=f"write a number, or `{value}` in quotes in {path.name}",
        )


def variable_of(name: str) -> str:
    """The variable of invoke for a setting: `etl.jobs` is INVOKE_ETL_JOBS."""
    return PREFIX + name.upper().replace(".", "_").replace("-", "_")


def check_sections(found: Mapping[str, Any], ours: Iterable[str], known: Known, where: object) -> None:
    """Refuse sections and keys that are not there. found: section -> its settings; ours: further sections that are no settings."""
    for section, settings in found.items():
        if section not in known:
            if section in INVOKES_OWN or section in ours:
                continue
            raise unknown("section of settings", section, known, where=where, hint="docs/settings.md lists all settings")
        for name in settings:
            if name not in known[section] and (section, name) != ("etl", NESTED):
                names = (f"{section}.{one}" for one in known[section])
                raise unknown("setting", f"{section}.{name}", names, where=f"{where}, section `{section}`")


def check_variables(given: Iterable[str], prefix: str, known: Iterable[str]) -> None:
    """Refuse variables that begin with `prefix` and are not known."""
    known = list(known)
    for name in given:
        if name.startswith(prefix) and name not in known:
            others = [one for one in known if one.startswith(prefix)]
            raise unknown("variable", name, others, where="the environment variables", hint="docs/settings.md lists them")
