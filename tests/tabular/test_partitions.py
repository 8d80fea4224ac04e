"""What may be run by partition, and how parts become one file."""

import gzip
from pathlib import Path

import pytest
from pyarrow import parquet

from impl.run.errors import EtlError
from impl.tabular.checkpoints import loaded, run_document, run_partition
from impl.tabular.partitions import LOOKED_AT, asked, make, refuse, some
from impl.tabular.parts import gather, part_of
from impl.tabular.state import files_behind

HEAD = """\
version: 2
sources:
  trips: {file: "${DAY}.csv"}
  stations: {file: stations.csv}
  all_trips: {file: all.csv}
transformations:
"""
DESTINATION = "destinations:\n  out: {source: $transformations.t, extension: jsonl}\n"
ROWS = {  # partition: its rows, the second without any
    "monday": "A,3\nB,4\n",
    "tuesday": "",
    "friday": "A,5\nC,1\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, rows in {**ROWS, "all": "".join(ROWS.values())}.items():
        (tmp_path / f"{name}.csv").write_text(f"station,n\n{rows}")
    (tmp_path / "stations.csv").write_text('station,name\nA,"Abel, north"\nB,Bonn\n')
    return tmp_path


@pytest.fixture
def faults(folder):
    """What is said of a document with these transformations, destinations and partitions; nothing where it may be run."""

    def of(transformations, destinations=DESTINATION, independent=False, days=("monday", "friday")):
        (folder / "earthmover.yaml").write_text(HEAD + transformations + destinations)
        documents = [loaded(str(folder / "earthmover.yaml"), {"DAY": day}) for day in days]
        try:
            refuse(documents, "DAY", independent)
        except EtlError as error:
            return [line.strip().removeprefix("earthmover.yaml, ") for line in str(error.where).splitlines()]
        return []

    return of


def chain(*operations, source="$sources.trips"):
    return f"  t: {{source: {source}, operations: [{', '.join(f'{{{one}}}' for one in operations)}]}}\n"


@pytest.mark.parametrize(
    "operation",
    [
        "operation: add_columns, columns: {far: '{% raw %}{{ n }}{% endraw %}'}",
        "operation: filter_rows, query: \"n > '2' and station.str.startswith('A')\", behavior: include",
        "operation: map_values, column: n, mapping: {'3': three}",
        "operation: melt, id_vars: station",
        "operation: flatten, flatten_column: station, value_column: letter",
        "operation: join, sources: [$sources.stations], join_type: left, left_key: station, right_key: station",
        "operation: join, sources: [$sources.stations], join_type: inner, left_key: station, right_key: station",
    ],
)
def test_what_is_the_same_by_partition_may_be_run(faults, operation):
    assert faults(chain(operation)) == []


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("operation: group_by, group_by_columns: [station], create_columns: {m: count()}", "its groups would be"),
        ("operation: group_by_with_rank, group_by_columns: [station], rank_column: r", "it would count anew"),
        ("operation: distinct_rows", "rows of different partitions would not be compared"),
        ("operation: sort_rows, columns: [n]", "each partition would be sorted by itself"),
        ("operation: limit_rows, count: 1", "so many rows of each partition"),
        ("operation: pivot, cols_by: station, values: n", "columns of its own"),
        ("operation: filter_rows, query: n == n.max(), behavior: include", "more than one row"),
        ("operation: map_values, column: n, mapping: {'3': 103}", "more than one row"),
        ("operation: add_columns, columns: {at: '{% raw %}{{ __row_number__ }}{% endraw %}'}", "counts anew in each partition"),
        ("operation: union, sources: [$sources.stations]", "would come once for each"),
        (
            "operation: join, sources: [$sources.stations], join_type: outer, left_key: station, right_key: station",
            "once for each",
        ),
        ("operation: join, sources: [$sources.trips], join_type: inner, left_key: n, right_key: n", "would not meet"),
    ],
)
def test_what_goes_over_all_rows_is_refused_with_its_line(faults, operation, why):
    (said,) = faults(chain(operation))
    name = operation.removeprefix("operation: ").partition(",")[0]
    assert said.startswith(f"line 7: $transformations.t, operation 1 ({name}): ")
    assert why in said
    assert faults(chain(operation), independent=True) == []
    assert faults(chain(operation), days=("monday",)) == []  # one partition is the whole


def test_before_the_partition_begins_everything_may_be_done(faults):
    ordered = "operation: sort_rows, columns: [n]"
    chosen = "operation: filter_rows, query: station == '${DAY}', behavior: include"
    assert faults(chain(ordered, chosen, source="$sources.all_trips")) == []
    assert len(faults(chain(chosen, ordered, source="$sources.all_trips"))) == 1


def test_a_table_that_all_partitions_read_may_be_made_of_anything(faults):
    text = (
        "  s: {source: $sources.stations, operations: [{operation: distinct_rows}, {operation: sort_rows, columns: [name]}]}\n"
    )
    joined = "operation: join, sources: [$transformations.s], join_type: left, left_key: station, right_key: station"
    assert faults(text + chain(joined)) == []
    turned = "operation: join, sources: [$sources.trips], join_type: {}, left_key: station, right_key: station"
    assert faults(chain(turned.format("right"), source="$sources.stations")) == []
    assert len(faults(chain(turned.format("left"), source="$sources.stations"))) == 1


def test_a_destination_that_is_always_the_same_is_refused(faults):
    (said,) = faults(chain(), "destinations:\n  out: {source: $sources.stations}\n")
    assert said == "line 9: $destinations.out: its rows are the same in every partition"


def test_partitions_that_would_write_over_one_another_are_refused_even_if_independent(faults):
    aside = "destinations:\n  out: {source: $transformations.t, on_fail: quarantine, expect: [\"n != '3'\"]}\n"
    (said,) = faults(chain(), aside, independent=True)
    assert said.endswith("`on_fail`: each partition would write the same file")
    (said,) = faults(chain(), "config: {output_dir: out/${DAY}}\n" + DESTINATION, independent=True)
    assert said.endswith("`output_dir` is another in each partition")


def test_a_node_that_is_not_in_every_partition_is_named(faults):
    more = "{% if '${DAY}' == 'friday' %}  more: {source: $sources.trips, operations: []}\n{% endif %}"
    (said,) = faults(chain() + more)
    assert said.endswith("$transformations.more is not there in every partition")


def test_all_that_decides_is_known_without_opening_data(folder):
    """What a partition that is run by hand depends on."""
    (folder / "row.jsont").write_text("{% include 'part.jsont' %}")
    (folder / "part.jsont").write_text("{{ n }}")
    (folder / "map.csv").write_text("from,to\n3,three\n")
    mapped = "operation: map_values, column: n, map_file: map.csv"
    text = "destinations:\n  out: {source: $transformations.t, template: row.jsont}\n"
    (folder / "earthmover.yaml").write_text(HEAD + chain(mapped) + text)
    document = loaded(str(folder / "earthmover.yaml"), {"DAY": "sunday"})
    wanted = ("earthmover.yaml", "sunday.csv", "stations.csv", "all.csv", "map.csv", "row.jsont", "part.jsont")
    files, known = files_behind(document)
    assert known and sorted(one.name for one in files) == sorted(wanted)  # there is no sunday: that is seen, too
    (folder / "row.jsont").write_text("{% include n ~ '.jsont' %}")
    assert not files_behind(document)[1]


# Names


def test_values_files_and_spans_of_years(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).touch()
    assert [one.value for one in asked("YEAR=2015-2017, 2020,x", [])] == ["2015", "2016", "2017", "2020", "x"]
    found = asked("sources.trips.file=*.csv", [tmp_path / "nowhere", tmp_path])
    assert [(one.label, one.value) for one in found] == [("a", tmp_path / "a.csv"), ("b", tmp_path / "b.csv")]
    assert found[0].overrides == ["sources.trips.file", str(tmp_path / "a.csv")] and found[0].parameters == {}
    assert asked(f"F={tmp_path}/a*", [Path("/")])[0].parameters == {"F": tmp_path / "a.csv"}
    for text, what in {"YEAR": "no partitions", "F=x/*.csv": "no file", "Y=1,1": "twice", "Y=2019-2015": "end before"}.items():
        with pytest.raises(EtlError, match=what):
            asked(text, [tmp_path])


def test_no_two_partitions_have_one_file():
    values = ["a/b", "a-b", "OH", "oh", "..", "2019"]
    labels = [one.label for one in make("X", values)]
    assert labels[1] == "a-b" and labels[5] == "2019"
    assert len({one.casefold() for one in labels}) == len(values)
    assert not any("/" in one or one.startswith(".") for one in labels)
    files = [Path("/data/raw/trips", one) for one in ("2019/trips.csv", "2020/trips.csv", "2020/trips.v2.csv")]
    labels = [one.label for one in make("X", files)]
    assert len(set(labels)) == 3 and labels[2] == "trips.v2"
    moved = [Path("/moved") / one.relative_to("/data") for one in files]
    assert [one.label for one in make("X", moved)] == labels


def test_of_many_documents_some_are_compared():
    assert some(range(5)) == [0, 1, 2, 3, 4]
    chosen = some(range(1000))
    assert len(chosen) == LOOKED_AT and chosen[0] == 0 and chosen[-1] == 999


# Parts become one


WRITTEN = {
    "plain.jsonl": "extension: jsonl",
    "array.json": "extension: json, header: '[', footer: ']'",
    "first.txt": 'extension: txt, header: "{% raw %}from {{station}}{% endraw %}", footer: "{% raw %}to {{n}}{% endraw %}"',
    "table.csv": "format: csv, extension: csv",
    "packed.csv.gz": "format: csv, extension: csv, compression: gzip",
    "lines.jsonl": "format: jsonl, extension: jsonl, types: {n: integer}",
    "typed.parquet": "format: parquet, extension: parquet, types: {n: integer}",
}


def written(folder, days, write):
    """The files of a document of the days: of all of them in one, and of the parts of each."""
    joined = "operation: join, sources: [$sources.stations], join_type: left, left_key: station, right_key: station"
    lines = [f"  {name.partition('.')[0]}: {{source: $transformations.t, {how}}}" for name, how in WRITTEN.items()]
    (folder / "earthmover.yaml").write_text(HEAD + chain(joined) + "destinations:\n" + "\n".join(lines))
    targets = {name.partition(".")[0]: folder / write / name for name in WRITTEN}
    document = str(folder / "earthmover.yaml")
    if write == "whole":
        run_document(document, targets, parameters={"DAY": days[0]})
        return targets
    for day in days:
        run_partition(document, {name: part_of(one, day) for name, one in targets.items()}, parameters={"DAY": day})
    for target in targets.values():
        gather([part_of(target, day) for day in days], target)
    return targets


def assert_alike(folder, days, whole):
    apart, together = written(folder, days, "parts"), written(folder, [whole], "whole")
    for name, target in apart.items():
        if target.suffix == ".parquet":
            assert parquet.read_table(target).equals(parquet.read_table(together[name])), name
        elif target.suffix == ".gz":
            assert gzip.decompress(target.read_bytes()) == gzip.decompress(together[name].read_bytes()), name
        else:
            assert target.read_bytes() == together[name].read_bytes(), name
    return apart


def test_parts_together_are_the_bytes_of_the_whole(folder):
    made = assert_alike(folder, list(ROWS), "all")
    assert made["first"].read_text().startswith("from A\n{")
    assert made["first"].read_text().endswith("}\nto 3\n")
    assert made["table"].read_text() == 'station,n,name\nA,3,"Abel, north"\nB,4,Bonn\nA,5,"Abel, north"\nC,1,\n'


def test_the_first_part_that_has_rows_gives_the_header(folder):
    (folder / "all.csv").write_text("station,n\nA,5\nC,1\n")
    made = assert_alike(folder, ["tuesday", "friday"], "all")
    assert made["first"].read_text().startswith("from A\n") and made["first"].read_text().endswith("to 5\n")


def test_parts_without_any_row_have_a_header_all_the_same(folder):
    made = assert_alike(folder, ["tuesday"], "tuesday")
    assert made["table"].read_text() == "station,n,name\n" and made["array"].read_text() == "[]"


def test_partitions_with_other_columns_are_named(folder):
    (folder / "friday.csv").write_text("station,n,extra\nA,5,x\n")
    for name in ("table.csv", "typed.parquet"):
        how = WRITTEN[name]
        (folder / "earthmover.yaml").write_text(
            HEAD + chain() + f"destinations:\n  out: {{source: $transformations.t, {how}}}\n"
        )
        target = folder / "other" / name
        parts = [part_of(target, day) for day in ("monday", "friday")]
        for day, part in zip(("monday", "friday"), parts, strict=True):
            run_partition(str(folder / "earthmover.yaml"), {"out": part}, parameters={"DAY": day})
        with pytest.raises(EtlError, match="different columns") as error:
            gather(parts, target)
        assert "friday: station" in str(error.value.where) and "extra" in str(error.value.where)
        assert not target.exists()


def test_nothing_to_gather_is_an_error(tmp_path):
    with pytest.raises(EtlError, match="there are no partitions"):
        gather([], tmp_path / "x")
