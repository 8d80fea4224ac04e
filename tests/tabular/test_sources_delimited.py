"""CSV and TSV. Expected rows were worked out by hand or seen in the peer's output (0.4.9) for the same file."""

import bz2
import contextlib
import csv
import gzip
import lzma
import random

import pytest

from impl.run.errors import EtlError
from impl.tabular.flow import Context
from impl.tabular.sources import bytestream, open_source
from impl.tabular.spec import Map, Problems, SkippedError, Spec


class Opened:
    """A source of a document in `folder`, with the problems that were noted."""

    def __init__(self, folder, options, trust=False):
        self.folder, self.problems = folder, Problems()
        self.options = Map(options)
        self.options.file, self.options.line = "project.yaml", 3
        self.options.lines = {key: 4 + number for number, key in enumerate(options)}
        self.spec = Spec(self.options, self.problems, "$sources.s")
        self.source = open_source(self.spec, lambda text: folder / text, trust=trust)

    def batches(self, wanted=None):
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        return list(self.source.flow(Context(work), wanted).batches())

    def rows(self):
        return [row for batch in self.batches() for row in batch.rows()]

    def names(self):
        found = self.source.columns()
        return None if found is None else [one.name for one in found]


@pytest.fixture
def read(tmp_path):
    """Reads `text` as a source with these options."""

    def opened(text, name="a.csv", **options):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return Opened(tmp_path, {"file": name, **options})

    return opened


def problems(folder, **options):
    """What is wrong with these options, before anything is read."""
    found = Problems()
    spec = Spec(Map(options), found, "$sources.s")
    with contextlib.suppress(SkippedError):
        open_source(spec, lambda text: folder / text).columns()
    return found.found


def test_every_value_is_text_and_nothing_is_taken_for_missing(read):
    source = read('id,word\n001,NA\n1e3,null\n,""\n')
    assert source.names() == ["id", "word"]
    assert source.rows() == [("001", "NA"), ("1e3", "null"), ("", "")]


def test_quotes_blank_lines_and_short_rows_are_read_as_the_peer_does(read):
    text = 'a,b,c\n1,x"y,"ab"c\n2,"q ""z""\nnl",\n3,""," s "\n  \n4,NA,null\n5,6\n'
    assert read(text).rows() == [
        ("1", 'x"y', "abc"),
        ("2", 'q "z"\nnl', ""),
        ("3", "", " s "),
        ("4", "NA", "null"),
        ("5", "6", None),
    ]


def test_a_line_of_tabs_is_a_row_of_a_tsv(read):
    assert read('a\tb\n1\t"x\ty"\n\t\n   \n 2\t3\n', "a.tsv").rows() == [("1", "x\ty"), ("", ""), (" 2", "3")]


def test_quotes_within_values_are_text(read):
    assert read('a,b\n5" pipe,6"\n7,8\n').rows() == [('5" pipe', '6"'), ("7", "8")]


def test_a_quoted_value_keeps_its_blank_lines(read):
    assert read('a,b\n"x\n\ny",1\n\n\n2,3\n').rows() == [("x\n\ny", "1"), ("2", "3")]


def test_one_column_keeps_quoted_nothing_and_drops_blank_lines(read):
    assert read('a\n1\n\n""\n \n4\n').rows() == [("1",), ("",), ("4",)]


def test_a_value_ends_at_a_nul_as_in_the_peer(read):
    assert read(b"a,b\n1\0x,2\n").rows() == [("1", "2")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(read, end):
    assert read(end.join(["a,b", "1,2", '"x",y', ""])).rows() == [("1", "2"), ("x", "y")]


def test_the_mark_at_the_beginning_is_no_part_of_a_name(read):
    assert read(b'\xef\xbb\xbf"a",b\n1,2\n').names() == ["a", "b"]


def test_names_that_are_there_twice_get_numbers(read):
    assert read("a,a,,a.1,a,\n1,2,3,4,5,6\n").names() == ["a", "a.2", "Unnamed: 2", "a.1", "a.3", "Unnamed: 5"]


def test_a_file_with_a_header_alone_gives_one_empty_batch_with_its_columns(read):
    batches = read("a,b\n").batches()
    assert [(one.height, one.columns) for one in batches] == [(0, ["a", "b"])]


def test_the_header_may_be_a_later_line(read):
    source = read('"a title\nof two lines",x\na,"b\nc"\n1,2\n', header_rows=2)
    assert (source.names(), source.rows()) == (["a", "b\nc"], [("1", "2")])
    assert read("title\n\na,b\n1,2\n3,4\n", header_rows="2").rows() == [("1", "2"), ("3", "4")]


def test_a_blank_line_above_the_header_is_not_counted_for_names_but_for_rows(read):
    source = read("title\n\na,b\n1,2\n3,4\n", header_rows=3)
    assert (source.names(), source.rows()) == (["1", "2"], [("1", "2"), ("3", "4")])


def test_a_header_of_several_lines_is_joined(read):
    text = ",,X,,Y,\na,b,a,c,a,b\n1,2,3,4,5,6\n"
    source = read(text, header_rows=[0, 1], fill_sparse_headers=True)
    assert source.names() == ["a", "b", "X__a", "X__c", "Y__a", "Y__b"]
    assert source.rows() == [("1", "2", "3", "4", "5", "6")]


def test_a_joined_header_with_a_name_twice_is_an_error(read):
    source = read(",,X,,Y,\na,b,a,c,a,b\n1,2,3,4,5,6\n", header_rows=[0, 1])
    assert source.names() is None
    assert source.problems.found[0].what == "the header has `b` twice"


def test_a_file_without_a_header_has_numbers_or_the_names_of_the_document(read):
    assert read("1,2\n3,4\n", header_rows=0).names() == ["0", "1"]
    named = read("1,2\n3,4\n", header_rows=0, columns=["x", "y"])
    assert (named.names(), named.rows()) == (["x", "y"], [("1", "2"), ("3", "4")])
    wrong = read("1,2\n", header_rows=0, columns=["x"])
    assert wrong.names() is None
    assert "`columns` names 1 columns and the first row has 2" in wrong.problems.found[0].what


def test_columns_are_a_selection_in_their_order(read):
    source = read("a,b,c\n1,2,3\n", columns=["c", "a"], optional_fields=["z", "b", "a"])
    assert source.names() == ["c", "a", "z", "b"]
    assert source.rows() == [("3", "1", "", "")]


def test_an_optional_field_may_stand_in_columns(read):
    source = read("a,b\n1,2\n", columns=["z", "b"], optional_fields=["z"])
    assert (source.names(), source.rows()) == (["b", "z"], [("2", "")])


def test_a_selected_column_that_is_not_there_is_a_problem_with_the_nearest(read):
    source = read("name,b\n1,2\n", columns=["nmae"])
    assert source.names() is None
    problem = source.problems.found[0]
    assert "no column `nmae`" in problem.what and "did you mean `name`" in problem.hint
    assert problem.where == "project.yaml, line 5: $sources.s, `columns`"


def test_columns_are_renamed_by_their_place(read):
    source = read("a,b\n1,2\n", columns=["b", "a"], rename_cols=True)
    assert (source.names(), source.rows()) == (["b", "a"], [("1", "2")])
    few = read("a,b\n1,2\n", columns=["x"], rename_cols=True)
    assert few.names() is None and "names 1 columns and the source has 2" in few.problems.found[0].what


def test_names_that_are_patterns_elsewhere_are_names(read):
    source = read("*,^a.*$,b\n1,2,3\n", columns=["^a.*$", "*"])
    assert source.rows() == [("2", "1")]


def test_a_row_that_is_too_long_is_an_error_with_its_line(read):
    for text, line in (("a,b\n1,2\n\n3,4,5\n", 4), ("a,b\n1,2,3\n", 2), ('a,b\n"1\n",2\n3,"4",5\n', 4)):
        with pytest.raises(EtlError, match=f"the row has 3 values and the header has 2\n.*a.csv, line {line}\n"):
            read(text).rows()


def test_a_quote_that_is_not_closed_is_an_error_with_the_line_where_it_opens(read):
    with pytest.raises(EtlError, match=r"a quote is not closed\n.*a.csv, line 3"):
        read('a,b\n1,2\n3,"4\n5,6\n').rows()


def test_a_byte_that_is_no_utf_8_is_an_error_with_its_line(read):
    with pytest.raises(EtlError, match=r"byte 0xe9 is not valid utf-8\n.*a.csv, line 3\n\nhint: say `encoding:`"):
        read(b"a,b\n1,2\n" + "é,4\n".encode("latin-1")).rows()


@pytest.mark.parametrize("encoding", ["latin1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "mac-roman"])
def test_other_encodings_are_read(read, encoding):
    assert read("a,ü\né,2\n".encode(encoding), encoding=encoding).rows() == [("é", "2")]


def test_a_byte_that_does_not_fit_the_encoding_is_an_error_with_its_line(read):
    with pytest.raises(EtlError, match=r"byte 0x81 is not valid cp1252\n.*a.csv, line 3"):
        read(b"a,b\n1,2\n3,\x81\n", encoding="cp1252").rows()


def test_an_unknown_encoding_is_a_problem(tmp_path):
    assert problems(tmp_path, file="a.csv", encoding="latin-2000")[0].what == "there is no encoding `latin-2000`"
    assert problems(tmp_path, file="a.csv", encoding="rot13")[0].what == "there is no encoding `rot13`"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_compressed_files_are_read(read, suffix, pack):
    assert read(pack(b"a,b\n1,2\n"), "a.csv" + suffix).rows() == [("1", "2")]
    damaged = read(pack(b"a,b\n" + random.Random(1).randbytes(500).hex().encode() + b",2\n")[:-20], "b.csv" + suffix)
    with pytest.raises(EtlError, match="compressed file is damaged"):
        damaged.rows()


def test_an_archive_is_not_opened(read):
    source = read(b"PK", "a.zip", type="csv")
    assert source.names() is None
    assert source.problems.found[0].what == "archives are not opened"


def test_blocks_of_any_size_give_the_same_rows(read, monkeypatch):
    """Values with separators, quotes, line ends, blank lines and stray quotes; what is expected was written by hand-made rows."""
    chance = random.Random(7)
    parts = ["a", "é", ",", '"', "\n", "\r\n", "\n\n", " ", "", "x y", "NA", "\t", "日本"]
    rows = [tuple("".join(chance.choices(parts, k=chance.randint(0, 4))) for _ in range(3)) for _ in range(400)]
    lines = ["p,q,r\n"]
    for row in rows:
        lines.append(",".join('"' + value.replace('"', '""') + '"' for value in row) + chance.choice(["\n", "\r\n"]))
        lines.append(chance.choice(["", "", "\n", " \n"]))
    text = "".join(lines)
    for size in (7, 64, 1000, 1 << 20):
        default = bytestream.blocks.__defaults__
        monkeypatch.setattr(bytestream.blocks, "__defaults__", (size,))
        assert read(text).rows() == rows
        monkeypatch.setattr(bytestream.blocks, "__defaults__", default)


def test_random_text_is_read_as_python_reads_it(read, monkeypatch):
    """Stray quotes, short rows, blank lines: Python's csv module is the other reader."""
    chance = random.Random(11)
    monkeypatch.setattr(bytestream.blocks, "__defaults__", (256,))
    for _ in range(60):
        pieces = chance.choice(
            [["a", "b", ",", "\n", ""], ["a", ",", "\n", '"', "b"], ["ab", ",", "\n", 'x"', '"a"', '"",', " "]]
        )
        body = "".join(chance.choices(pieces, k=120))
        wanted, state = [], csv.reader([])
        state = csv.reader(body.splitlines(keepends=True))
        fields = list(state)
        if body.count('"') and any("\n" in value for row in fields for value in row):
            continue  # it may end within quotes, which is an error here
        for line in fields:
            if line and not (len(line) == 1 and not line[0].strip(" ") and '"' not in body):
                wanted.append(tuple(line))
        if any(len(line) > 9 for line in wanted) or any(len(line) == 1 and not line[0].strip(" ") for line in wanted):
            continue
        filled = [(*line, *[None] * (9 - len(line))) for line in wanted]
        assert read("1,2,3,4,5,6,7,8,9\n" + body).rows() == filled


def test_batches_are_not_larger_than_they_should_be(read):
    batches = read("a\n" + "1\n" * 120_001).batches()
    assert sum(one.height for one in batches) == 120_001
    assert max(one.height for one in batches) <= 50_000


def test_an_optional_file_that_is_absent_gives_no_rows_with_the_columns(tmp_path):
    for options in ({"file": "absent.csv"}, {"file": None}, {"file": "blank.csv"}):
        (tmp_path / "blank.csv").write_text("")
        source = Opened(tmp_path, {**options, "optional": True, "columns": ["a", "b"], "optional_fields": ["c"]})
        assert source.names() == ["a", "b", "c"]
        assert [(one.height, one.columns) for one in source.batches()] == [(0, ["a", "b", "c"])]


def test_what_is_wrong_with_the_options_is_noted_with_a_hint(tmp_path):
    (tmp_path / "school.csv").write_text("a\n1\n")
    (absent,) = problems(tmp_path, file="shool.csv")
    assert absent.what == "the source file is not there" and "did you mean `school.csv`" in absent.hint
    assert "optional source needs `columns`" in problems(tmp_path, file="school.csv", optional=True)[0].what
    assert "`rename_cols` needs `columns`" in problems(tmp_path, file="school.csv", rename_cols=True)[0].what
    assert problems(tmp_path, file="school.csv", colums=["a"])[0].hint == "did you mean `columns`?"
    assert problems(tmp_path, file="school.csv", require_rows=True, expect=["True"], on_fail="stop") == []
    assert problems(tmp_path, file="school.xyz")[0].what == "the type of `school.xyz` cannot be told from its name"
    assert problems(tmp_path, file="school.csv", type="cvs")[0].hint == "did you mean `csv`?"
    assert problems(tmp_path, query="x")[0].what == "the source says not where it reads"
    assert "cannot be `-1`" in problems(tmp_path, file="school.csv", header_rows=-1)[0].what
    assert "ends before its header" in problems(tmp_path, file="school.csv", header_rows=9)[0].what


@pytest.mark.slow
def test_columns_that_nobody_reads_are_left_out_and_nothing_else_changes(read):
    """Whatever is odd in a row, in columns that are read or not, is seen all the same."""
    chance = random.Random(11)
    odd = ["1,2", "1,2,3,4,5", "1,2,3,4,", "", "  ", "1,2,3,", ",,,", "a\0b,2,c\0d,4", '"1",2,"3,3",4', "é,2,3,ü", '5",6,7,8']
    seen = set()

    def outcome(source, wanted):
        try:
            return [row for batch in source.batches(wanted) for row in batch.select("b", "c").rows()]
        except EtlError as error:
            return str(error)

    for number in range(400):
        lines = [chance.choice(odd) if chance.random() < 0.1 else f"{at},b{at},c{at},d" for at in range(chance.randint(0, 12))]
        end = chance.choice(["\n", "\r\n"])
        text = end.join(["a,b,c,d", *lines]) + chance.choice(["", end])
        source = read(text, f"{number}.csv", columns=["d", "b", "c", "a"])
        assert outcome(source, {"b", "c"}) == outcome(source, None), text
        seen |= {one.width for one in source.batches({"c", "b"})} if isinstance(outcome(source, None), list) else {"an error"}
    assert seen == {2, "an error"}


def test_a_row_that_is_too_long_in_a_column_that_nobody_reads_is_an_error(read):
    source = read("a,b,c\n" + "1,2,3\n" * 1000 + "1,2,3,4\n" + "1,2,3\n" * 1000)
    with pytest.raises(EtlError, match="the row has 4 values and the header has 3") as caught:
        source.batches({"a"})
    assert "line 1,002" in str(caught.value)


def test_a_block_ends_with_a_line_and_a_line_may_be_longer_than_one(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"ab\ncd\nefgh\ni\n")
    assert list(bytestream.blocks(tmp_path / "a.csv", "utf-8", "", bytestream.Size(8))) == [b"ab\ncd\nefgh\n", b"i\n"]
    assert list(bytestream.blocks(tmp_path / "a.csv", "utf-8", "", bytestream.Size(3))) == [b"ab\n", b"cd\n", b"efgh\n", b"i\n"]
    (tmp_path / "a.csv").write_bytes(b"abcdefghij")
    assert list(bytestream.blocks(tmp_path / "a.csv", "utf-8", "", bytestream.Size(3))) == [b"abcdef", b"ghij"]


def test_short_values_come_in_shorter_blocks(read, monkeypatch):
    monkeypatch.setattr(bytestream, "BLOCK", 640)
    monkeypatch.setattr(bytestream, "CELLS", 100)
    heights = [one.height for one in read("a,b,c,d,e\n" + "1,2,3,4,5\n" * 200).batches() if one.height]
    # 160 bytes first, the header and 15 rows; then 100 values, which are 200 bytes or 20 rows of 5
    assert heights == [15, *[20] * 9, 5]


def test_a_checkpoint_depends_on_the_file(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    source = Opened(tmp_path, {"file": "a.csv"}).source
    assert (source.files(), source.remote, source.reads) == ([tmp_path / "a.csv"], False, {"file": "a.csv", "type": "csv"})
    assert source.flow(Context(tmp_path)).again is True
