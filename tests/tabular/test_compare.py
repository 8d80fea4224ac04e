"""What differs between two runs: rows by key, counts, files."""

import gzip
import json

import pytest

from impl.run.errors import EtlError
from impl.tabular import compare as module
from impl.tabular import results as results_module
from impl.tabular.compare import as_text, compare, compare_files
from impl.tabular.state import file_digest


def lines(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_added_removed_and_changed_by_key(tmp_path):
    before = lines(tmp_path / "a.jsonl", {"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Cy"})
    after = lines(tmp_path / "b.jsonl", {"id": 3, "name": "Cy"}, {"id": 1, "name": "Anna"}, {"id": 4, "name": "Di"})
    found = compare_files("x", before, after, ["id"])
    assert (found.rows, found.added, found.removed, found.changed, found.same) == ((3, 3), 1, 1, 1, 1)
    assert found.columns == {"name": 1}
    assert {"key": {"id": 1}, "changed": {"name": ["Ann", "Anna"]}} in found.examples


def test_without_a_key_whole_rows_are_compared_and_their_order_counts_for_nothing(tmp_path):
    before = lines(tmp_path / "a.jsonl", {"id": 1}, {"id": 2}, {"id": 2})
    after = lines(tmp_path / "b.jsonl", {"id": 2}, {"id": 1})
    found = compare_files("x", before, after)
    assert (found.added, found.removed, found.changed, found.same) == (0, 1, 0, 2)


def test_a_key_may_be_nested(tmp_path):
    before = lines(tmp_path / "a.jsonl", {"gauge": {"id": "LA1"}, "mm": 1})
    after = lines(tmp_path / "b.jsonl", {"mm": 2, "gauge": {"id": "LA1"}})
    assert compare_files("x", before, after, ["gauge.id"]).columns == {"mm": 1}


def test_csv_is_compared_by_column_whatever_their_order(tmp_path):
    (tmp_path / "a.csv").write_text('id,name\n1,"a,b"\n2,c\n')
    (tmp_path / "b.csv").write_text('name,id\n"a,b",1\nC,2\n')
    found = compare_files("x", tmp_path / "a.csv", tmp_path / "b.csv", ["id"])
    assert (found.same, found.changed, found.columns) == (1, 1, {"name": 1})


def test_columns_of_one_name_are_compared_each(tmp_path):
    (tmp_path / "a.csv").write_text("a,a\n1,2\n")
    (tmp_path / "b.csv").write_text("a,a\n3,2\n")
    found = compare_files("x", tmp_path / "a.csv", tmp_path / "b.csv", ["a (2)"])
    assert (found.changed, found.columns) == (1, {"a": 1})


def test_tables_without_rows_differ_by_their_columns(tmp_path):
    (tmp_path / "a.csv").write_text("id,name\n")
    (tmp_path / "b.csv").write_text("id,place\n")
    found = compare_files("x", tmp_path / "a.csv", tmp_path / "b.csv")
    assert not found.equal and found.note == "the columns are id, name and id, place"


def test_what_gzip_has_packed_is_compared_as_it_was(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,name\n1,Ann\n", mtime=0))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"name,id\nBo,1\n", mtime=1))
    found = compare_files("x", tmp_path / "a.csv.gz", tmp_path / "b.csv.gz", ["id"])
    assert (found.changed, found.columns) == (1, {"name": 1})
    (tmp_path / "b.csv.gz").write_bytes((tmp_path / "a.csv.gz").read_bytes()[:-9])
    with pytest.raises(EtlError, match="the compressed file is damaged"):
        compare_files("x", tmp_path / "a.csv.gz", tmp_path / "b.csv.gz")


@pytest.mark.parametrize("written", [[], {"$destinations.a": {}}, {"$destinations.a": 5}])
def test_results_that_are_not_whole_are_an_error(tmp_path, written):
    (tmp_path / "r.json").write_text(json.dumps({"row_counts": {}, "written": written}))
    with pytest.raises(EtlError, match="no results of a run"):
        results_module.read(tmp_path / "r.json")


def test_parts_on_disk_give_what_one_part_gives(tmp_path, monkeypatch):
    before = lines(tmp_path / "a.jsonl", *({"id": n, "text": f"a\nb\u2028{n}"} for n in range(500)))
    after = lines(tmp_path / "b.jsonl", *({"id": n, "text": f"a\nb\u2028{n + (n == 77)}"} for n in range(1, 501)))
    monkeypatch.setattr(module, "PART", 1000)
    found = compare_files("x", before, after, ["id"])
    assert (found.rows, found.added, found.removed, found.changed, found.same) == ((500, 500), 1, 1, 1, 498)


def test_a_key_that_is_not_there_names_the_nearest(tmp_path):
    before = lines(tmp_path / "a.jsonl", {"gauge": 1})
    with pytest.raises(EtlError) as error:
        compare_files("x", before, before, ["guage"])
    assert "`gauge`" in error.value.hint and "row 1" in error.value.where


def test_several_rows_of_one_key_are_counted_and_not_lost(tmp_path):
    before = lines(tmp_path / "a.jsonl", {"id": 1, "n": 1}, {"id": 1, "n": 2})
    after = lines(tmp_path / "b.jsonl", {"id": 1, "n": 2}, {"id": 1, "n": 3}, {"id": 1, "n": 4})
    found = compare_files("x", before, after, ["id"])
    assert (found.same, found.changed, found.added, found.repeated) == (1, 1, 1, 1)


def results(path, counts, **files):
    written = {
        f"$destinations.{name}": {"file": str(file), "rows": 1, "bytes": 1, "sha256": sha256}
        for name, (file, sha256) in files.items()
    }
    path.write_text(
        json.dumps({"row_counts": counts, "working_dir": str(path.parent), "output_dir": "./out", "written": written})
    )
    return path


def test_results_tell_counts_and_lead_to_the_files(tmp_path):
    one = lines(tmp_path / "out/x.jsonl", {"id": 1})
    other = lines(tmp_path / "two/out/x.jsonl", {"id": 2})
    before = results(tmp_path / "before.json", {"$sources.a": 5, "$sources.b": 1}, x=(one, file_digest(one)))
    after = results(tmp_path / "two/after.json", {"$sources.a": 6, "$sources.b": 1}, x=(other, file_digest(other)))
    found = compare(before, after)
    assert found.counts == {"$sources.a": (5, 6)}
    assert [(one.name, one.added, one.removed) for one in found.files] == [("x.jsonl", 1, 1)]
    assert "$sources.a  5 -> 6 rows" in as_text(found)


def test_a_file_that_was_written_again_since_is_not_taken_for_that_of_the_first_run(tmp_path):
    now = lines(tmp_path / "out/x.jsonl", {"id": 2})
    before = results(tmp_path / "before.json", {}, x=(now, "0" * 64))
    after = results(tmp_path / "after.json", {}, x=(now, file_digest(now)))
    found = compare(before, after)
    assert not found.equal
    assert "not as the first run wrote it" in found.files[0].note


def test_two_folders_pair_their_files_by_name(tmp_path):
    lines(tmp_path / "a/x.jsonl", {"id": 1})
    lines(tmp_path / "a/only.jsonl", {"id": 1})
    lines(tmp_path / "b/x.jsonl", {"id": 1})
    found = compare(tmp_path / "a", tmp_path / "b")
    assert [(one.name, one.equal) for one in found.files] == [("only.jsonl", False), ("x.jsonl", True)]
    assert found.files[0].note == "only in the first run"


def test_a_run_that_is_not_there_names_the_nearest(tmp_path):
    (tmp_path / "monday.json").write_text("{}")
    with pytest.raises(EtlError, match="monday"):
        compare(tmp_path / "mondy.json", tmp_path / "monday.json")


def test_a_key_is_used_for_the_files_that_have_it(tmp_path):
    for folder, mm in (("a", 1), ("b", 2)):
        lines(tmp_path / folder / "days.jsonl", {"day": "x", "mm": mm})
        lines(tmp_path / folder / "counties.jsonl", {"county": "y", "mm": mm})
    found = {one.name: (one.changed, one.added) for one in compare(tmp_path / "a", tmp_path / "b", ["county"]).files}
    assert found == {"counties.jsonl": (1, 0), "days.jsonl": (0, 1)}
    with pytest.raises(EtlError, match="county"):
        compare(tmp_path / "a", tmp_path / "b", ["couny"])
