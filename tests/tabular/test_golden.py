"""The golden projects: small documents with every operation and option, run in this process and compared byte for byte.

What is expected in `golden/*/expected` was made by the peer (earthmover 0.4.9, PYTHONHASHSEED=0), but for `own`, which has what
the peer does not know and was worked out by hand. test_differential.py makes both anew and compares.
"""

import gzip
import json
import re
from pathlib import Path

import pytest

from impl.tabular import schema
from impl.tabular.document import load
from impl.tabular.operation import OPERATIONS
from impl.tabular.sources.file import type_of
from tests.tabular import peer


def readable(output: Path) -> dict[str, bytes]:
    """The files of a run; those that are packed or Parquet as the text that is in them."""
    found = {}
    for name, content in peer.files(output).items():
        if name.endswith(".gz"):
            found[name.removesuffix(".gz")] = gzip.decompress(content)
        elif name.endswith(".parquet"):
            import pyarrow.parquet

            rows = pyarrow.parquet.read_table(output / name).to_pylist()
            found[f"{name}.txt"] = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
        else:
            found[name] = content
    return found


@pytest.mark.parametrize("name", peer.projects())
def test_a_golden_project_gives_the_bytes_that_are_expected(name, tmp_path, capsys):
    document, options = peer.copied(name, tmp_path)
    made, expected = readable(peer.run_ours(document, options)), peer.files(peer.GOLDEN / name / "expected")
    assert expected
    assert sorted(made) == sorted(expected)
    for file, content in expected.items():
        assert made[file] == content, file


def test_the_golden_projects_have_every_operation():
    import impl.tabular.operations  # noqa: F401 - registers them

    text = "".join(one.read_text() for one in peer.GOLDEN.glob("*/earthmover.yaml"))
    used = set(re.findall(r"operation: (\w+)", text))
    assert len(OPERATIONS) > 20
    assert used == set(OPERATIONS)


# What no golden project can show, and the test that does: it needs a server, a repository, a flag or the whole command.
SHOWN_ELSEWHERE = {
    "config.compat strict": "test_rows.py::test_limit_takes_the_last_rows_where_there_are_too_few",
    "config.show_graph": "test_command.py::test_the_graph_is_text_and_pictures_where_there_is_graphviz",
    "config.log_level ERROR": "test_command.py::test_less_is_said_where_the_document_asks_for_it",
    "config.log_level CRITICAL": "test_command.py::test_less_is_said_where_the_document_asks_for_it",
    "config.log_level DEBUG": "test_command.py::test_less_is_said_where_the_document_asks_for_it",
    "config.log_level INFO": "test_command.py::test_a_run_writes_what_the_peer_writes",
    **{
        f"destinations.{key}": "test_collections.py::test_rows_go_to_the_store_with_what_is_said_of_them"
        for key in ("store", "key", "columns", "partition_by", "description", "origin", "licence", "checks")
    },
    "destinations.may_be_empty": "test_collections.py::test_no_rows_are_let_in_only_where_that_is_said",
    "packages.git": "test_packages.py::test_a_git_package_is_cloned_and_its_commit_is_kept",
    "packages.branch": "test_packages.py::test_a_branch_and_a_subdirectory_are_taken",
    "packages.subdirectory": "test_packages.py::test_a_branch_and_a_subdirectory_are_taken",
    "packages.commit": "test_packages.py::test_a_commit_pins_a_package",
    "a source at an address": "test_sources_servers.py::test_a_file_behind_an_address_is_read_as_its_type",
    "a source on an FTP server": "test_sources_servers.py::test_a_table_on_an_ftp_server_has_the_types_that_pandas_infers",
    "sources.type pickle": "test_sources_typed.py::test_a_pickle_is_only_read_where_the_document_is_trusted",
}


def known_keys():
    """Every operation, key and listed value of the schema: `sort_rows.columns`, `join.join_type left`, `group_by avg`."""
    options = {name: made for name, (_, made, _) in schema.OPERATIONS.items()}
    options |= {
        "sources": schema.SOURCE,
        "destinations": schema.DESTINATION,
        "packages": schema.PACKAGE,
        "config": schema.CONFIG,
    }
    known = {*schema.OPERATIONS, *(f"group_by {one}" for one in schema.AGGREGATES)}
    known |= {"a source at an address", "a source on an FTP server"}
    for kind in ("sources", "transformations", "destinations"):
        options[kind] = {**options.get(kind, {}), **{key: {} for key in schema.NODE}}
    options["node"] = schema.NODE
    for place, made in options.items():
        for key, option in made.items():
            known.add(f"{place}.{key}")
            listed = [value for one in option.get("anyOf", ()) for value in one.get("enum", ())]
            known |= {f"{place}.{key} {value}" for value in listed}
            known |= {f"{place}.{key}.{one}" for one in option.get("properties", ())}
    return known


def keys_of(place, options):
    """What of it one mapping of a document uses."""
    for key, value in options.items():
        yield f"{place}.{key}"
        if isinstance(value, str):
            yield f"{place}.{key} {value}"
        if isinstance(value, dict):
            yield from (f"{place}.{key}.{one}" for one in value)


def keys_of_project(name, folder):
    document, options = peer.copied(name, folder)
    loaded = load(document, params=options.params, overrides=options.set, variables=options.variables, folder=document.parent)
    yield from keys_of("config", loaded.config.given)
    for package in (loaded.compiled.get("packages") or {}).values():
        yield from keys_of("packages", package)
    for node in loaded.nodes:
        yield from keys_of(node.kind, node.options)
        yield from keys_of("node", node.options)
        if node.kind == "sources":
            yield f"sources.type {node.options.get('type') or type_of(node.options.get('file') or '')}"
        for operation in node.options.get("operations", ()):
            yield operation["operation"]
            yield from keys_of(operation["operation"], operation)
            for call in operation.get("create_columns", {}).values():
                yield f"group_by {call.split('(')[0].strip()}"


def test_the_golden_projects_show_all_that_the_schema_knows(tmp_path):
    used = {key for name in peer.projects() for key in keys_of_project(name, tmp_path)}
    known = known_keys()
    assert len(known) > 200
    assert sorted(known - used - set(SHOWN_ELSEWHERE)) == []
    # and nothing stands in the list of exceptions that needs none
    assert sorted(set(SHOWN_ELSEWHERE) - (known - used)) == []


def test_what_no_golden_project_shows_is_shown_by_the_test_that_is_named():
    for key, named in SHOWN_ELSEWHERE.items():
        file, function = named.split("::")
        assert f"def {function}(" in (peer.GOLDEN.parent / file).read_text(), key


def test_the_example_of_the_page_gives_what_the_page_says(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs/tabular.md").read_text(encoding="utf-8")
    blocks = {kind: re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL)[1] for kind in ("csv", "yaml", "json")}
    (tmp_path / "days.csv").write_text(blocks["csv"])
    (tmp_path / "earthmover.yaml").write_text(blocks["yaml"])
    assert (peer.run_ours(tmp_path / "earthmover.yaml") / "wet.jsonl").read_text() == blocks["json"]


def test_the_page_names_every_operation_type_and_flag_of_our_own():
    import impl.tabular.operations  # noqa: F401 - registers them
    from impl.tabular.sources.file import TYPES

    page = (Path(__file__).resolve().parents[2] / "docs/tabular.md").read_text(encoding="utf-8")
    names = {*OPERATIONS, *TYPES.values(), "--json", "--limit", "--key", "--trust", "--explain-diff"}
    assert sorted(one for one in names if f"`{one}`" not in page) == []
