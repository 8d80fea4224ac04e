"""The golden projects: small documents with every operation and option, run in this process and compared byte for byte.

What is expected in `golden/*/expected` was made by the peer (earthmover 0.4.9, PYTHONHASHSEED=0), but for `own`, which has what
the peer does not know and was worked out by hand. test_differential.py makes both anew and compares.
"""

import gzip
import json
import re
from pathlib import Path

import pytest

from impl.tabular.operation import OPERATIONS
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
