"""Files of regions as people and programs write them: keys and shapes come out right, or are refused by name.

The regions are two halves of the grid of odd.py, `WEST` with 8 cells and `EAST` with 8, or its whole with 16: what is counted is worked
out from that. Files are written by geopandas, pyogrio and pyarrow, or byte by byte.
"""

import datetime
import decimal
import gzip
import json
import sqlite3
import struct
import uuid
import zipfile

import geopandas
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pyogrio
import pytest
import shapely

from tests.ncproj.odd import ALL, box

WEST, EAST = shapely.box(10, 0, 12, 4), shapely.box(12, 0, 14, 4)
HALVES = [WEST, EAST]


@pytest.fixture
def table(desk):
    """`table(path, key="id")`: {key: number of cells} of a file of regions, or the error's text."""
    desk.grid(1.0)

    def run(path, *words, key="id"):
        rows = desk.run(path, stats="count", index=words, key=key)
        if isinstance(rows, str):
            return rows
        name = next(iter(rows[0]))
        return {row[name]: float(row["count_v"] or 0) for row in rows}

    return run


def frame(ids, shapes=HALVES, crs=4326):
    return geopandas.GeoDataFrame({"id": ids}, geometry=list(shapes), crs=crs)


def saved(desk, ids, name="r.shp", shapes=HALVES, crs=4326, **how):
    for old in desk.folder.glob("r.*"):
        old.unlink()
    path = desk.folder / name
    frame(ids, shapes, crs).to_file(path, **how)
    return path


# --- shapefiles: the table


def dbf(fields, rows, version=3, driver=0, flags=b" "):
    """A table byte by byte: fields (name, type, width, decimals), rows of bytes; `flags` one mark for each row (`*`: deleted)."""
    width = 1 + sum(field[2] for field in fields)
    head = struct.pack("<BBBBIHH", version, 124, 1, 1, len(rows), 33 + 32 * len(fields), width).ljust(29, b"\0") + bytes(
        [driver, 0, 0]
    )
    for name, kind, size, decimals in fields:
        head += name.ljust(11, b"\0") + kind + bytes(4) + bytes([size % 256, decimals]) + bytes(14)
    body = b"".join(bytes([flags[k % len(flags)]]) + row for k, row in enumerate(rows))
    return head + b"\r" + body + b"\x1a"


def record(shape):
    ring = np.array(shape.exterior.coords)
    return struct.pack("<i4d2ii", 5, *shape.bounds, 1, len(ring), 0) + ring.astype("<f8").tobytes()


def header(size, kind=5):
    return struct.pack(">i20xi", 9994, size // 2) + struct.pack("<2i8d", 1000, kind, 10, 0, 14, 4, 0, 0, 0, 0)


def by_hand(desk, fields, rows, shapes=HALVES, order=None, gap=0, cpg=None, shx=True, **how):
    """A shapefile byte by byte; `order` of the records within the .shp, `gap` bytes between them."""
    for old in desk.folder.glob("r.*"):
        old.unlink()
    order = list(range(len(shapes))) if order is None else order
    places, body = {}, b""
    for number in order:
        body += b"\xee" * gap
        content = record(shapes[number]) if shapes[number] is not None else struct.pack("<i", 0)
        places[number] = (100 + len(body), len(content))
        body += struct.pack(">2i", number + 1, len(content) // 2) + content
    path = desk.folder / "r.shp"
    path.write_bytes(header(100 + len(body)) + body)
    if shx:
        entries = b"".join(struct.pack(">2i", at // 2, size // 2) for at, size in (places[k] for k in range(len(shapes))))
        (desk.folder / "r.shx").write_bytes(header(100 + len(entries)) + entries)
    (desk.folder / "r.dbf").write_bytes(dbf(fields, rows, **how))
    if cpg is not None:
        (desk.folder / "r.cpg").write_text(cpg)
    (desk.folder / "r.prj").write_text(
        'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
    )
    return path


ID = [(b"id", b"C", 10, 0)]


def ids(*texts, width=10):
    return [text.ljust(width) for text in texts]


@pytest.mark.parametrize(
    "encoding, cpg, text",
    [
        ("cp1251", "1251", "Москва"),
        ("cp1251", "ANSI 1251", "Москва"),
        ("cp866", "CP866", "Москва"),
        ("koi8-r", "KOI8-R", "Москва"),
        ("gbk", "CP936", "北京市"),
        ("gbk", "GBK", "北京市"),
        ("gb18030", "GB18030", "北京市"),
        ("big5", "Big5", "臺北市"),
        ("cp932", "SHIFT_JIS", "東京都"),
        ("cp949", "949", "서울시"),
        ("euc-jp", "EUC-JP", "東京都"),
        ("iso8859-2", "ISO 88592", "Łódź"),
        ("iso8859-2", "ISO-8859-2", "Łódź"),
        ("iso8859-1", "ISO 88591", "Doña"),
        ("iso8859-15", "8859-15", "Œuf"),
        ("cp852", "852", "Łódź"),
        ("cp850", "850", "Doña"),
        ("cp437", "OEM 437", "Doña"),
        ("cp1252", "LDID/87", "Doña"),
        ("utf-8", "65001", "Łódź"),
        ("utf-8", "\ufeffUTF-8\r\n", "Łódź"),
        ("cp1253", "windows-1253", "Αθήνα"),
        ("cp1256", "CP1256", "القاهرة"),
    ],
)
def test_a_key_is_read_in_the_encoding_that_the_cpg_file_names(desk, table, encoding, cpg, text):
    path = by_hand(desk, ID, ids(text.encode(encoding), b"b"), cpg=cpg)
    assert table(path) == {text: 8, "b": 8}


@pytest.mark.parametrize(
    "driver, encoding, text",
    [
        (0xC9, "cp1251", "Москва"),
        (0x26, "cp866", "Москва"),
        (0x65, "cp866", "Москва"),
        (0x4D, "gbk", "北京市"),
        (0x13, "cp932", "東京都"),
        (0x79, "cp949", "서울시"),
        (0x78, "big5", "臺北市"),
        (0xC8, "cp1250", "Łódź"),
        (0x64, "cp852", "Łódź"),
        (0x02, "cp850", "Doña"),
        (0x01, "cp437", "Doña"),
        (0x57, "latin-1", "Doña"),
        (0x03, "cp1252", "Doña"),
        (0x7D, "cp1255", "חיפה"),
    ],
)
def test_a_key_is_read_in_the_encoding_that_byte_29_names(desk, table, driver, encoding, text):
    path = by_hand(desk, ID, ids(text.encode(encoding), b"b"), driver=driver)
    assert table(path) == {text: 8, "b": 8}


def test_the_cpg_file_counts_more_than_byte_29(desk, table):
    path = by_hand(desk, ID, ids("Киев".encode(), b"b"), driver=0x57, cpg="UTF-8")
    assert table(path) == {"Киев": 8, "b": 8}


def test_without_a_word_on_encoding_it_is_utf8_where_all_is_and_else_latin1_with_a_warning(desk, table):
    assert table(by_hand(desk, ID, ids("Łódź".encode(), b"b"))) == {"Łódź": 8, "b": 8}
    path = by_hand(desk, ID, ids("Doña".encode("latin-1"), "Núñez".encode("latin-1")))
    assert table(path) == {"Doña": 8, "Núñez": 8}
    said = desk.index(path).stderr
    assert said.count("Latin-1") == 1 and ".cpg" in said


def test_byte_29_that_says_latin1_over_what_looks_like_utf8_is_warned_of(desk, table):
    path = by_hand(desk, ID, ids("Doña".encode(), b"b"), driver=0x57)
    assert "Ã±" in next(iter(table(path)))
    assert "look like UTF-8" in desk.index(path).stderr


@pytest.mark.parametrize("cpg", ["KLINGON", "UTF-16", "12345", "LDID/105"])
def test_an_encoding_that_nobody_knows_is_refused_by_name(desk, table, cpg):
    said = table(by_hand(desk, ID, ids(b"a", b"b"), cpg=cpg))
    assert f"`{cpg}`" in said and ".cpg" in said


def test_a_byte_29_that_nobody_knows_does_no_harm_to_ascii(desk, table):
    assert table(by_hand(desk, ID, ids(b"a", b"b"), driver=0x69)) == {"a": 8, "b": 8}
    assert "0x69" in table(by_hand(desk, ID, ids(b"\x92\x92", b"b"), driver=0x69))


def test_text_that_is_not_in_the_encoding_that_is_said_is_an_error_with_row_and_field(desk, table):
    said = table(by_hand(desk, ID, ids(b"a", b"Do\xf1a x"), cpg="UTF-8"))
    assert "row 2" in said and "`id`" in said and "encoding" in said


def test_a_character_that_the_width_of_the_field_cuts_in_two_is_left_away(desk, table):
    # seven letters of two bytes are 14, of which 9 fit: four and a half
    path = by_hand(desk, [(b"id", b"C", 9, 0)], ["Ленинград".encode()[:9], b"b".ljust(9)], cpg="UTF-8")
    assert table(path) == {"Лени": 8, "b": 8}
    path = by_hand(desk, [(b"id", b"C", 5, 0)], ["北京市".encode("gbk")[:5], b"b".ljust(5)], cpg="GBK")
    assert table(path) == {"北京": 8, "b": 8}


def test_names_of_fields_are_in_that_encoding_too(desk, table):
    path = by_hand(desk, [("Имя".encode("cp1251"), b"C", 10, 0)], ids(b"a", b"b"), cpg="1251")
    assert table(path, key="Имя") == {"a": 8, "b": 8}


@pytest.mark.parametrize(
    "kind, decimals, stored, shown",
    [
        (b"N", 0, "       007", "7"),
        (b"N", 0, "        -5", "-5"),
        (b"N", 3, "    12.000", "12"),
        (b"N", 2, "      1.50", "1.5"),
        (b"N", 0, "4000000000", "4000000000"),
        (b"F", 0, "     1e+03", "1000"),
        (b"F", 2, "1.0000e003", "1000"),
        (b"D", 0, "20240229  ", "2024-02-29"),
        (b"L", 0, "T         ", "true"),
        (b"C", 0, " a b      ", " a b"),
        (b"C", 0, "007       ", "007"),
    ],
)
def test_values_of_a_dbf_are_what_people_read(desk, table, kind, decimals, stored, shown):
    fields = [(b"id", kind, 10, decimals), (b"more", b"C", 1, 0)]
    path = by_hand(desk, fields, [stored.encode() + b"x", stored.replace("7", "8").encode() + b"y"], shapes=HALVES)
    got = table(path, key="{id}/{more}")
    assert next(iter(got)) == f"{shown}/x"


@pytest.mark.parametrize(
    "kind, stored",
    [
        (b"N", b"**********"),
        (b"N", b" " * 10),
        (b"D", b" " * 10),
        (b"D", b"00000000  "),
        (b"L", b"?" + b" " * 9),
        (b"C", b"\0" * 10),
    ],
)
def test_what_stands_for_no_value_is_missing(desk, table, kind, stored):
    assert "row 1" in table(by_hand(desk, [(b"id", kind, 10, 0)], [stored, stored])) and "its key is empty" in table(
        desk.folder / "r.shp"
    )


@pytest.mark.parametrize(
    "kind, stored", [(b"N", b"1,5       "), (b"N", b"abc       "), (b"D", b"20241399  "), (b"D", b"gestern   ")]
)
def test_a_value_that_is_not_of_its_type_is_an_error(desk, table, kind, stored):
    said = table(by_hand(desk, [(b"id", kind, 10, 0)], [stored, stored]))
    assert f"`{stored.decode().strip()}`" in said and "`id`" in said


def test_binary_types_of_foxpro(desk, table):
    fields = [(b"id", b"I", 4, 0), (b"real", b"B", 8, 0), (b"money", b"Y", 8, 0)]
    rows = [struct.pack("<idq", -3, 2.0, 12500), struct.pack("<idq", 70000, 2.5, -5)]
    path = by_hand(desk, fields, rows, version=0x30)
    assert list(table(path)) == ["-3", "70000"]
    assert list(table(path, key="real")) == ["2", "2.5"]
    assert list(table(path, key="money")) == ["1.25", "-0.0005"]


def test_memo_fields_and_tables_of_dbase_7_are_refused_by_name(desk, table):
    assert "memo" in table(by_hand(desk, [(b"id", b"M", 10, 0)], ids(b"1", b"2"), version=0x83))
    assert "dBASE 7" in table(by_hand(desk, ID, ids(b"a", b"b"), version=4))


def test_a_field_of_a_name_that_comes_twice_is_an_error(desk, table):
    assert "twice" in table(by_hand(desk, ID * 2, [b"a".ljust(20), b"b".ljust(20)]))


def test_text_of_more_than_255_bytes_has_its_length_in_two_bytes(desk, table):
    text = "x" * 299
    path = by_hand(desk, [(b"id", b"C", 300, 1)], ids(text.encode() + b"1", text.encode() + b"2", width=300))
    assert list(table(path)) == [text + "1", text + "2"]


# --- shapefiles: the shapes


def test_deleted_rows_are_skipped_with_their_shapes(desk, table):
    shapes = [shapely.box(10, 0, 11, 1), WEST, EAST]
    assert table(by_hand(desk, ID, ids(b"gone", b"a", b"b"), shapes=shapes, flags=b"*  ")) == {"a": 8, "b": 8}
    shapes = [WEST, shapely.box(10, 0, 11, 1), shapely.box(10, 0, 12, 1)]
    assert table(by_hand(desk, ID, ids(b"a", b"gone", b"c"), shapes=shapes, flags=b" * ")) == {"a": 8, "c": 2}


def test_shapes_are_where_the_shx_says_in_any_order_and_with_gaps(desk, table):
    shapes = [WEST, shapely.box(12, 0, 14, 1), shapely.box(12, 1, 13, 2)]
    path = by_hand(desk, ID, ids(b"a", b"b", b"c"), shapes=shapes, order=[2, 0, 1], gap=40)
    assert table(path) == {"a": 8, "b": 2, "c": 1}
    assert list(pyogrio.read_dataframe(path).geometry.area) == [8, 2, 1]


def test_without_a_shx_the_shapes_are_read_one_after_the_other(desk, table):
    assert table(by_hand(desk, ID, ids(b"a", b"b"), shapes=[WEST, shapely.box(12, 0, 13, 1)], shx=False)) == {"a": 8, "b": 1}


@pytest.mark.parametrize(
    "at, value, word",
    [
        (100, 10**6, "leads out"),
        (100, 60, "leads to no record"),
        (104, 4, "leads to no record"),
        (108, 50, "twice"),
        (24, 10**6, "too early"),
    ],
)
def test_a_shx_that_lies_is_an_error(desk, table, at, value, word):
    path = by_hand(desk, ID, ids(b"a", b"b"))
    shx = bytearray((desk.folder / "r.shx").read_bytes())
    shx[at : at + 4] = struct.pack(">i", value)
    (desk.folder / "r.shx").write_bytes(shx)
    said = table(path)
    assert ".shx" in said and word in said


def test_more_rows_than_shapes_is_an_error_with_both_numbers(desk, table):
    said = table(by_hand(desk, ID, ids(b"a", b"b", b"c")))
    assert "(2, in the .shx)" in said and "(3, in the .dbf)" in said


def test_a_shp_that_is_shorter_than_its_header_says_is_an_error(desk, table):
    path = by_hand(desk, ID, ids(b"a", b"b"), shx=False)
    path.write_bytes(path.read_bytes()[:-144])
    assert "damaged" in table(path)


def test_a_shape_of_type_0_is_a_region_without_a_shape(desk, table):
    assert table(by_hand(desk, ID, ids(b"a", b"b"), shapes=[WEST, None])) == {"a": 8, "b": 0}


def test_files_with_endings_in_capitals_belong_together(desk, table):
    by_hand(desk, ID, ids("Ł".encode("cp1250"), b"b"), cpg="1250")
    for ending in ("shp", "shx", "dbf", "cpg", "prj"):
        (desk.folder / f"r.{ending}").rename(desk.folder / f"R.{ending.upper() if ending != 'dbf' else 'Dbf'}")
    assert table(desk.folder / "R.SHP") == {"Ł": 8, "b": 8}


@pytest.mark.parametrize("name", ["r.shp", "r.gpkg", "r.fgb"])
def test_heights_are_passed_over(desk, table, name):
    shape = shapely.from_wkt("POLYGON Z ((10 0 5, 14 0 5, 14 4 5, 10 4 5, 10 0 5))")
    assert table(saved(desk, ["a"], name, [shape])) == {"a": 16}


def test_the_measures_of_a_shapefile_are_passed_over(desk, table):
    path = by_hand(desk, ID, ids(b"a", b"b"), shx=False)
    body = record(WEST)
    body = struct.pack("<i", 25) + body[4:] + np.array([0, 9, 5, 6, 7, 8, 9], "<f8").tobytes()  # range, and one for each corner
    other = record(EAST)
    path.write_bytes(
        header(116 + len(body) + len(other), 25)
        + b"".join(struct.pack(">2i", k, len(b) // 2) + b for k, b in ((1, body), (2, other)))
    )
    assert table(path) == {"a": 8, "b": 8}


@pytest.mark.parametrize("kind, name", [(shapely.Point(11, 1), "point"), (shapely.LineString([(10, 0), (11, 1)]), "line")])
@pytest.mark.parametrize("file", ["r.shp", "r.gpkg", "r.fgb", "r.geojson"])
def test_points_and_lines_are_refused_by_name(desk, table, kind, name, file):
    assert name in table(saved(desk, ["a"], file, [kind])).lower()


# --- archives


def zipped(desk, *names, to="r.zip", folder="", **how):
    path = desk.folder / to
    with zipfile.ZipFile(path, "w", compression=how.pop("compression", zipfile.ZIP_DEFLATED)) as archive:
        for name in names:
            archive.write(desk.folder / name, folder + name)
    return path


SHAPEFILE = ["r.shp", "r.shx", "r.dbf", "r.cpg", "r.prj"]


@pytest.mark.parametrize("to", ["r.zip", "r.shz", "R.ZIP", "nothing"])
def test_a_zipped_shapefile_with_its_cpg_and_shx(desk, table, to):
    by_hand(
        desk,
        ID,
        ids("Москва".encode("cp1251"), b"b"),
        cpg="1251",
        shapes=[WEST, shapely.box(12, 0, 13, 1)],
        order=[1, 0],
        gap=8,
    )
    assert table(zipped(desk, *SHAPEFILE, to=to, folder="données/")) == {"Москва": 8, "b": 1}


def test_what_a_mac_puts_beside_the_files_is_passed_over(desk, table):
    by_hand(desk, ID, ids(b"a", b"b"), cpg="1251")
    path = zipped(desk, *SHAPEFILE)
    with zipfile.ZipFile(path, "a") as archive:
        for name in SHAPEFILE:
            archive.writestr(f"__MACOSX/._{name}", b"rubbish")
            archive.writestr(f"._{name}", b"rubbish")
    assert table(path) == {"a": 8, "b": 8}


@pytest.mark.parametrize("name", ["x.gpkg", "x.geojson", "x.fgb", "x.parquet"])
def test_other_files_of_regions_within_a_zip(desk, table, name):
    if name == "x.parquet":
        frame(["a", "b"]).to_parquet(desk.folder / name)
    else:
        frame(["a", "b"]).to_file(desk.folder / name)
    assert table(zipped(desk, name)) == {"a": 8, "b": 8}


def test_several_files_of_regions_within_a_zip_are_chosen_by_layer(desk, table):
    frame(["a", "b"]).to_file(desk.folder / "x.geojson")
    frame(["c"], [WEST]).to_file(desk.folder / "y.gpkg")
    path = zipped(desk, "x.geojson", "y.gpkg")
    assert "`x`" in table(path) and "`y`" in table(path)
    assert table(path, "--layer", "y") == {"c": 8}
    assert table(path, "--layer", "x.geojson") == {"a": 8, "b": 8}


@pytest.mark.parametrize("method, name", [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_members_packed_otherwise_are_refused_by_name(desk, table, method, name):
    by_hand(desk, ID, ids(b"a", b"b"), cpg="1251")
    assert name in table(zipped(desk, *SHAPEFILE, compression=method))


def test_deflate64_and_encrypted_members_are_refused_by_name(desk, table):
    by_hand(desk, ID, ids(b"a", b"b"), cpg="1251")
    path = zipped(desk, *SHAPEFILE)
    whole = path.read_bytes()

    def marked(offset_local, offset_central, value):
        data = bytearray(whole)
        for magic, offset in ((b"PK\3\4", offset_local), (b"PK\1\2", offset_central)):
            at = data.find(magic)
            while at >= 0:
                data[at + offset : at + offset + 2] = struct.pack("<H", value)
                at = data.find(magic, at + 4)
        path.write_bytes(data)

    marked(8, 10, 9)
    assert "deflate64" in table(path)
    marked(6, 8, 1)
    assert "encrypted" in table(path)


def test_folders_parted_by_backslashes_are_folders(desk, table):
    by_hand(desk, ID, ids(b"a", b"b"), cpg="1251")
    path = desk.folder / "r.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in SHAPEFILE:
            member = zipfile.ZipInfo("x")
            member.filename = f"folder\\{name}"
            archive.writestr(member, (desk.folder / name).read_bytes())
    assert table(path) == {"a": 8, "b": 8}
    assert table(path, "--layer", "r") == {"a": 8, "b": 8}


def test_zip64_archives_are_read(desk, table):
    by_hand(desk, ID, ids(b"a", b"b"), cpg="1251")
    path = desk.folder / "r.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in SHAPEFILE:
            with archive.open(name, "w", force_zip64=True) as member:
                member.write((desk.folder / name).read_bytes())
    # and its directory with the sizes of zip64: 0xffffffff where they stood, and an extra field
    data = path.read_bytes()
    end = data.rfind(b"PK\5\6")
    count, _size, start = struct.unpack("<HII", data[end + 10 : end + 20])
    directory, at = b"", start
    while at < end:
        fields = list(struct.unpack("<4s4B4HL2L5H2L", data[at : at + 46]))
        names = fields[12]
        packed, raw, offset = fields[10], fields[11], fields[18]
        extra = struct.pack("<HHQQQ", 1, 24, raw, packed, offset)
        fields[10] = fields[11] = fields[18] = 0xFFFFFFFF
        old = fields[13]
        fields[13] = len(extra)
        directory += struct.pack("<4s4B4HL2L5H2L", *fields) + data[at + 46 : at + 46 + names] + extra
        at += 46 + names + old + fields[14]
    far = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + len(directory), 1)
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data[:start] + directory + far + locator + tail)
    assert len(zipfile.ZipFile(path).namelist()) == 5
    assert table(path) == {"a": 8, "b": 8}


# --- GeoJSON


def features(*properties, shapes=HALVES, ids=None, **more):
    out = []
    for k, members in enumerate(properties):
        feature = {
            "type": "Feature",
            "properties": members,
            "geometry": shapely.geometry.mapping(shapes[k]) if shapes[k] else None,
        }
        if ids:
            feature["id"] = ids[k]
        out.append(feature)
    return {"type": "FeatureCollection", **more, "features": out}


def text(desk, content, name="r.geojson"):
    path = desk.folder / name
    path.write_bytes(
        content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    return path


@pytest.mark.parametrize("name", ["r.geojson", "r.geojsonl", "r.ndjson", "r.jsonl", "r.geojsons", "r.json", "nothing"])
@pytest.mark.parametrize("way", ["lines", "sequence", "pretty", "crlf", "bom"])
def test_one_feature_after_the_other(desk, table, name, way):
    each = [json.dumps(f, indent=2 if way == "pretty" else None) for f in features({"id": "a"}, {"id": "b"})["features"]]
    content = {
        "lines": "\n".join(each) + "\n",
        "sequence": "".join(f"\x1e{f}\n" for f in each),
        "pretty": "\n".join(each),
        "crlf": "\r\n".join(each) + "\r\n\r\n",
        "bom": "\ufeff" + "\n".join(each),
    }[way]
    assert table(text(desk, content, name)) == {"a": 8, "b": 8}


def test_a_byte_order_mark_before_a_collection(desk, table):
    assert table(text(desk, "\ufeff" + json.dumps(features({"id": "a"}, {"id": "b"})))) == {"a": 8, "b": 8}


def test_a_line_that_is_cut_short_is_an_error(desk, table):
    each = [json.dumps(f) for f in features({"id": "a"}, {"id": "b"})["features"]]
    assert "not whole JSON" in table(text(desk, each[0] + "\n" + each[1][:-9], "r.geojsonl"))


@pytest.mark.parametrize(
    "given, shown",
    [(["x", "y"], ["x", "y"]), ([7, 8], ["7", "8"]), ([12345678901234567890, -1], ["12345678901234567890", "-1"])],
)
def test_the_ids_of_features_are_a_key(desk, table, given, shown):
    assert list(table(text(desk, features({}, {}, ids=given)), key="@id")) == shown
    assert list(table(text(desk, features({}, {}, ids=given)), key="r{@id}")) == [f"r{k}" for k in shown]


def test_an_id_that_is_missing_is_an_error(desk, table):
    assert "no `id`" in table(text(desk, features({"a": 1}, {"a": 2})), key="@id")
    assert "its key is empty" in table(text(desk, features({}, {}, ids=["x", None])), key="@id")
    assert "`@id`" in table(text(desk, features({"a": 1}, {"a": 2}, ids=["x", "y"])))


def test_a_property_of_that_name_counts_more_than_the_id(desk, table):
    assert list(table(text(desk, features({"@id": "way/1"}, {"@id": "way/2"}, ids=["x", "y"])), key="@id")) == [
        "way/1",
        "way/2",
    ]


@pytest.mark.parametrize(
    "written, shown",
    [
        ("1", "1"),
        ("1.0", "1"),
        ("-0", "0"),
        ("1e3", "1000"),
        ("0.1", "0.1"),
        ("12345678901234567890", "12345678901234567890"),
        ("-9007199254740993", "-9007199254740993"),
        ('"1.0"', "1.0"),
        ("true", "true"),
    ],
)
def test_numbers_as_keys_keep_all_their_digits(desk, table, written, shown):
    whole = json.dumps(features({"id": "@"}, shapes=[WEST])).replace('"@"', written)
    assert table(text(desk, whole)) == {shown: 8}


@pytest.mark.parametrize("written", ["1e300", "123456789012345678901234567890"])
def test_a_number_too_large_for_its_digits_is_no_key(desk, table, written):
    assert "too large" in table(text(desk, json.dumps(features({"id": "@"}, shapes=[WEST])).replace('"@"', written)))


@pytest.mark.parametrize("value, what", [({"b": 1}, "an object"), (["x"], "a list"), ([1, 2], "a list")])
def test_a_property_that_is_no_single_value_is_no_key(desk, table, value, what):
    said = table(text(desk, features({"id": value}, shapes=[WEST])))
    assert what in said and "`id`" in said


def test_a_name_with_a_dot_is_a_name(desk, table):
    assert table(text(desk, features({"a.b": "x"}, shapes=[WEST])), key="a.b") == {"x": 8}
    assert "no field `a.b`" in table(text(desk, features({"a": {"b": "x"}}, shapes=[WEST])), key="a.b")


def test_two_members_of_one_name_are_an_error(desk, table):
    said = table(text(desk, json.dumps(features({"id": "a"}, shapes=[WEST])).replace('{"id": "a"}', '{"id": "a", "id": "b"}')))
    assert "`id` comes twice" in said


def nested(depth, *inner):
    shape = {"type": "GeometryCollection", "geometries": list(inner)}
    for _ in range(depth):
        shape = {"type": "GeometryCollection", "geometries": [shape]}
    return shape


@pytest.mark.parametrize("depth", [0, 1, 5, 30])
def test_of_nested_collections_the_polygons_count(desk, table, depth):
    point, polygon = {"type": "Point", "coordinates": [1, 2]}, {"type": "Polygon", "coordinates": [ALL]}
    whole = features({"id": "a"}, shapes=[WEST])
    whole["features"][0]["geometry"] = nested(depth, point, polygon)
    assert table(text(desk, whole)) == {"a": 16}
    whole["features"][0]["geometry"] = nested(depth, polygon, point)
    assert table(text(desk, whole)) == {"a": 16}


def test_collections_too_deep_or_without_polygons_are_refused(desk, table):
    whole = features({"id": "a"}, shapes=[WEST])
    whole["features"][0]["geometry"] = nested(100, {"type": "Polygon", "coordinates": [ALL]})
    assert "recursion" in table(text(desk, whole))
    whole["features"][0]["geometry"] = nested(1, {"type": "Point", "coordinates": [1, 2]})
    assert "Point" in table(text(desk, whole))


def geometry(desk, shape, **more):
    whole = features({"id": "a"}, {"id": "b"}, shapes=[WEST, None], **more)
    whole["features"][1]["geometry"] = shape
    return text(desk, whole)


@pytest.mark.parametrize(
    "shape",
    [
        None,
        {"type": "Polygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "GeometryCollection", "geometries": []},
    ],
)
def test_null_and_empty_geometries_are_regions_without_a_shape(desk, table, shape):
    assert table(geometry(desk, shape)) == {"a": 8, "b": 0}


@pytest.mark.parametrize("position", [[10], ["10", "0"], [10, "0"], [None, 0], [10, [0]], 10])
def test_a_position_that_is_none_is_an_error(desk, table, position):
    assert "feature 2 is damaged" in table(geometry(desk, {"type": "Polygon", "coordinates": [[position, *ALL[1:]]]}))


@pytest.mark.parametrize("more", [[5], [5, 6], [None]])
def test_positions_may_have_heights_and_measures(desk, table, more):
    ring = [[*corner, *more] for corner in box(12, 0, 14, 4)]
    assert table(geometry(desk, {"type": "Polygon", "coordinates": [ring]})) == {"a": 8, "b": 8}


def test_a_ring_that_is_not_closed_is_closed(desk, table):
    assert table(geometry(desk, {"type": "Polygon", "coordinates": [box(12, 0, 14, 4)[:-1]]})) == {"a": 8, "b": 8}


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": None},
        {"coordinates": [ALL]},
        {},
        {"type": "MultiPolygon", "coordinates": [ALL]},
        {"type": "Polygon", "coordinates": ALL},
        {"type": "polygon", "coordinates": [ALL]},
    ],
)
def test_a_geometry_that_is_none_is_an_error(desk, table, shape):
    assert isinstance(table(geometry(desk, shape)), str)


@pytest.mark.parametrize(
    "content, word",
    [
        ({"type": "Topology", "objects": {}, "arcs": []}, "TopoJSON"),
        (
            {"geometryType": "esriGeometryPolygon", "features": [{"attributes": {"id": 1}, "geometry": {"rings": [ALL]}}]},
            "Esri JSON",
        ),
        ({"rings": [ALL], "spatialReference": {"wkid": 4326}}, "Esri JSON"),
        ({"type": "Polygon", "coordinates": [ALL]}, "nothing is its key"),
        ({"type": "GeometryCollection", "geometries": []}, "nothing is its key"),
        ({"type": "FeatureCollection", "features": [{"type": "Polygon", "coordinates": [ALL]}]}, "nothing is its key"),
        ({"a": 1}, "not GeoJSON"),
        ([1, 2], "not GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, "no regions"),
        ({"type": "FeatureCollection", "features": None}, "not GeoJSON"),
    ],
)
def test_json_that_is_no_geojson_is_refused_by_name(desk, table, content, word):
    assert word in table(text(desk, content))


def test_utf16_is_refused_by_name(desk, table):
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        assert "UTF-16" in table(text(desk, json.dumps(features({"id": "a"}, shapes=[WEST])).encode(encoding)))


def test_geojson_in_gzip(desk, table):
    content = gzip.compress(json.dumps(features({"id": "a"}, {"id": "b"})).encode())
    assert table(text(desk, content, "r.geojson.gz")) == {"a": 8, "b": 8}
    assert "gzip" in table(text(desk, content[:-20], "r.geojson.gz"))


CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
MERCATOR = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}


def test_the_crs_member_of_before_2016_is_honoured(desk, table):
    shapes = list(geopandas.GeoSeries(HALVES, crs=4326).to_crs(3857))
    got = table(text(desk, features({"id": "a"}, {"id": "b"}, shapes=shapes, crs=MERCATOR)))
    assert got == pytest.approx({"a": 8, "b": 8})
    for name in (
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "EPSG:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
    ):
        assert table(text(desk, features({"id": "a"}, {"id": "b"}, crs={"type": "name", "properties": {"name": name}}))) == {
            "a": 8,
            "b": 8,
        }
    assert "link" in table(text(desk, features({"id": "a"}, {"id": "b"}, crs={"type": "link", "properties": {"href": "x"}})))


def test_a_crs_within_the_features_is_honoured_where_it_is_one(desk, table):
    whole = features({"id": "a"}, {"id": "b"}, shapes=list(geopandas.GeoSeries(HALVES, crs=4326).to_crs(3857)))
    for feature in whole["features"]:
        feature["geometry"]["crs"] = MERCATOR
    assert table(text(desk, whole)) == pytest.approx({"a": 8, "b": 8})
    del whole["features"][1]["geometry"]["crs"]
    assert "not all in one" in table(text(desk, whole))
    whole["features"][1]["geometry"]["crs"] = CRS84
    assert "not all in one" in table(text(desk, whole))


# --- GeoParquet


def columnar(desk, column, shapes=HALVES, geo=None, geometry=None, **how):
    """GeoParquet by pyarrow: `column` is the key's."""
    path = desk.folder / "r.parquet"
    geometry = (
        pyarrow.array([None if s is None else shapely.to_wkb(s) for s in shapes], pyarrow.binary())
        if geometry is None
        else geometry
    )
    whole = pyarrow.table({"id": column, "geometry": geometry})
    about = {"encoding": "WKB", "geometry_types": [], **(geo or {})}
    meta = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": about}}
    parquet.write_table(whole.replace_schema_metadata({"geo": json.dumps(meta)}), path, **how)
    return path


def arrow(values, kind):
    return pyarrow.array(values, kind)


NOON = datetime.datetime(2024, 2, 29, 12, 0, 0)
UUIDS = [uuid.UUID(int=1), uuid.UUID(int=2)]


@pytest.mark.parametrize(
    "column, shown",
    [
        (arrow([-1, 127], pyarrow.int8()), ["-1", "127"]),
        (arrow([-1, 32767], pyarrow.int16()), ["-1", "32767"]),
        (arrow([-1, 2**31 - 1], pyarrow.int32()), ["-1", "2147483647"]),
        (arrow([-1, 2**63 - 1], pyarrow.int64()), ["-1", "9223372036854775807"]),
        (arrow([0, 255], pyarrow.uint8()), ["0", "255"]),
        (arrow([0, 65535], pyarrow.uint16()), ["0", "65535"]),
        (arrow([1, 4000000000], pyarrow.uint32()), ["1", "4000000000"]),
        (arrow([1, 2**64 - 1], pyarrow.uint64()), ["1", "18446744073709551615"]),
        (arrow([1.0, 2.5], pyarrow.float64()), ["1", "2.5"]),
        (arrow([1.0, 0.1], pyarrow.float32()), ["1", "0.1"]),
        (arrow(["a", "ü"], pyarrow.string()), ["a", "ü"]),
        (arrow(["a", "ü"], pyarrow.large_string()), ["a", "ü"]),
        (
            arrow(["a", "a long text that is not kept in the view itself"], pyarrow.string_view()),
            ["a", "a long text that is not kept in the view itself"],
        ),
        (arrow(["a", "b"], pyarrow.string()).dictionary_encode(), ["a", "b"]),
        (arrow([7, 4000000000], pyarrow.uint32()).dictionary_encode(), ["7", "4000000000"]),
        (arrow([True, False], pyarrow.bool_()), ["true", "false"]),
        (arrow([datetime.date(2024, 2, 29), datetime.date(1969, 12, 31)], pyarrow.date32()), ["2024-02-29", "1969-12-31"]),
        (arrow([datetime.date(2024, 2, 29), datetime.date(1969, 12, 31)], pyarrow.date64()), ["2024-02-29", "1969-12-31"]),
        (arrow([NOON, NOON.replace(second=7)], pyarrow.timestamp("s")), ["2024-02-29T12:00:00", "2024-02-29T12:00:07"]),
        (
            arrow([NOON, NOON.replace(microsecond=5000)], pyarrow.timestamp("ms")),
            ["2024-02-29T12:00:00", "2024-02-29T12:00:00.005"],
        ),
        (
            arrow([NOON, NOON.replace(microsecond=5)], pyarrow.timestamp("us", "UTC")),
            ["2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000005Z"],
        ),
        (arrow([0, -1], pyarrow.timestamp("ns", "Europe/Paris")), ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z"]),
        (arrow([datetime.time(6, 30), datetime.time(7)], pyarrow.time32("ms")), ["06:30:00", "07:00:00"]),
        (arrow([decimal.Decimal("12.50"), decimal.Decimal("-0.05")], pyarrow.decimal128(10, 2)), ["12.50", "-0.05"]),
        (
            arrow([decimal.Decimal("12345678901234567890123"), decimal.Decimal(7)], pyarrow.decimal128(30, 0)),
            ["12345678901234567890123", "7"],
        ),
        (arrow([decimal.Decimal("1.5"), decimal.Decimal("-2.5")], pyarrow.decimal256(60, 1)), ["1.5", "-2.5"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pyarrow.Array) else "",
)
def test_keys_of_any_type_are_what_people_read(desk, table, column, shown):
    assert list(table(columnar(desk, column))) == shown


def test_a_uuid_is_written_with_hyphens(desk, table):
    column = pyarrow.ExtensionArray.from_storage(pyarrow.uuid(), arrow([u.bytes for u in UUIDS], pyarrow.binary(16)))
    assert list(table(columnar(desk, column))) == [str(u) for u in UUIDS]


@pytest.mark.parametrize(
    "column, what",
    [
        (arrow([b"a", b"b"], pyarrow.binary()), "bytes"),
        (arrow([[1], [2]], pyarrow.list_(pyarrow.int32())), "lists"),
        (arrow([{"a": 1}, {"a": 2}], pyarrow.struct({"a": pyarrow.int32()})), "structures"),
        (arrow([1, 2], pyarrow.duration("s")), "durations"),
        (arrow([2.0**60, 1.0], pyarrow.float64()), "too large"),
        (arrow([float("inf"), 1.0], pyarrow.float64()), "inf"),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pyarrow.Array) else "",
)
def test_a_type_that_is_no_key_is_refused_with_the_column(desk, table, column, what):
    said = table(columnar(desk, column))
    assert what in said and "`id`" in said


@pytest.mark.parametrize(
    "column",
    [
        arrow(["a", None], pyarrow.string()),
        arrow([1, None], pyarrow.uint32()),
        arrow(["a", None], pyarrow.string()).dictionary_encode(),
        arrow([1.0, float("nan")], pyarrow.float64()),
    ],
)
def test_a_key_that_is_null_is_an_error_with_its_row(desk, table, column):
    assert "region 2 has no `id`" in table(columnar(desk, column))


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
@pytest.mark.parametrize("page", ["1.0", "2.0"])
def test_pages_of_any_codec_and_version(desk, table, codec, page):
    column = arrow([f"county {k}" for k in range(3)], pyarrow.string())
    shapes = [WEST, None, shapely.box(12, 0, 13, 1)]
    path = columnar(desk, column, shapes, compression=codec, data_page_version=page, row_group_size=1)
    assert table(path) == {"county 0": 8, "county 1": 0, "county 2": 1}


@pytest.mark.parametrize("kind", [pyarrow.binary(), pyarrow.large_binary(), pyarrow.binary_view()])
def test_shapes_in_any_type_of_bytes(desk, table, kind):
    got = columnar(desk, arrow(["a", "b"], pyarrow.string()), geometry=arrow([shapely.to_wkb(s) for s in HALVES], kind))
    assert table(got) == {"a": 8, "b": 8}


def test_the_primary_of_several_columns_of_shapes_counts(desk, table):
    two = frame(["a", "b"])
    two["small"] = geopandas.GeoSeries([shapely.box(10, 0, 11, 1), shapely.box(11, 0, 12, 1)], crs=4326)
    two.to_parquet(desk.folder / "r.parquet")
    assert table(desk.folder / "r.parquet") == {"a": 8, "b": 8}
    two.set_geometry("small").to_parquet(desk.folder / "r.parquet")
    assert table(desk.folder / "r.parquet") == {"a": 1, "b": 1}


@pytest.mark.parametrize("version", ["0.1.0", "0.4.0", "1.0.0", "1.1.0"])
def test_all_versions_of_geoparquet(desk, table, version):
    frame(["a", "b"]).to_parquet(desk.folder / "r.parquet", schema_version=version)
    assert table(desk.folder / "r.parquet") == {"a": 8, "b": 8}


def test_covering_boxes_are_passed_over(desk, table):
    frame(["a", "b"]).to_parquet(desk.folder / "r.parquet", write_covering_bbox=True, schema_version="1.1.0")
    assert table(desk.folder / "r.parquet") == {"a": 8, "b": 8}


@pytest.mark.parametrize("multi", [False, True])
def test_shapes_as_the_lists_of_geoarrow(desk, table, multi):
    shapes = [WEST - shapely.box(10.5, 1, 11.5, 2), EAST]
    shapes = [shapely.MultiPolygon([s]) for s in shapes] if multi else shapes
    frame(["a", "b"], shapes).to_parquet(desk.folder / "r.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    about = json.loads(parquet.read_schema(desk.folder / "r.parquet").metadata[b"geo"])
    assert about["columns"]["geometry"]["encoding"] == ("multipolygon" if multi else "polygon")
    assert table(desk.folder / "r.parquet") == {"a": 7, "b": 8}  # without a hole of the size of a cell


def coordinates(shape):
    return [[list(corner) for corner in ring.coords] for ring in [shape.exterior, *shape.interiors]]


def test_the_hole_of_a_polygon_of_geoarrow_is_one(desk, table):
    hole = shapely.box(10, 0, 14, 4) - shapely.box(11, 1, 13, 3)
    frame(["a"], [hole]).to_parquet(desk.folder / "r.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    assert table(desk.folder / "r.parquet") == {"a": 12}


def test_coordinates_of_geoarrow_one_after_the_other(desk, table):
    kind = pyarrow.list_(pyarrow.list_(pyarrow.list_(pyarrow.float64(), 2)))
    column = arrow([coordinates(WEST), None, coordinates(shapely.box(12, 0, 13, 1))], kind)
    path = columnar(desk, arrow(["a", "b", "c"], pyarrow.string()), geometry=column, geo={"encoding": "polygon"})
    assert table(path) == {"a": 8, "b": 0, "c": 1}


@pytest.mark.parametrize("shape, name", [(shapely.Point(1, 2), "point"), (shapely.LineString([(1, 2), (3, 4)]), "line")])
def test_points_and_lines_of_geoarrow_are_refused(desk, table, shape, name):
    frame(["a"], [shape]).to_parquet(desk.folder / "r.parquet", geometry_encoding="geoarrow", schema_version="1.1.0")
    assert name in table(desk.folder / "r.parquet")


def test_edges_that_are_neither_planar_nor_spherical_are_refused(desk, table):
    column = arrow(["a", "b"], pyarrow.string())
    assert table(columnar(desk, column, geo={"edges": "planar"})) == {"a": 8, "b": 8}
    assert "vincenty" in table(columnar(desk, column, geo={"edges": "vincenty"}))


def test_an_encoding_that_nobody_knows_and_parquet_without_shapes_are_refused(desk, table):
    column = arrow(["a", "b"], pyarrow.string())
    assert "`WKT`" in table(columnar(desk, column, geo={"encoding": "WKT"}))
    parquet.write_table(pyarrow.table({"id": column}), desk.folder / "plain.parquet")
    assert "without geometry" in table(desk.folder / "plain.parquet")
    path = desk.folder / "r.parquet"
    parquet.write_table(pyarrow.table({"id": column}).replace_schema_metadata({"geo": "{"}), path)
    assert "not whole JSON" in table(path)


class Wkb(pyarrow.ExtensionType):
    """What pyarrow writes as Parquet's own GEOMETRY and GEOGRAPHY."""

    def __init__(self, about="{}"):
        self.about = about
        super().__init__(pyarrow.binary(), "geoarrow.wkb")

    def __arrow_ext_serialize__(self):
        return self.about.encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, about):
        return cls(about.decode())


@pytest.fixture
def own_types():
    pyarrow.register_extension_type(Wkb())
    yield
    pyarrow.unregister_extension_type("geoarrow.wkb")


def own(desk, about, shapes=HALVES):
    column = pyarrow.ExtensionArray.from_storage(
        Wkb(json.dumps(about)), arrow([shapely.to_wkb(s) for s in shapes], pyarrow.binary())
    )
    parquet.write_table(pyarrow.table({"id": ["a", "b"], "geometry": column}), desk.folder / "r.parquet", store_schema=False)
    return desk.folder / "r.parquet"


def test_the_types_geometry_and_geography_of_parquet_itself(desk, table, own_types):
    assert table(own(desk, {})) == {"a": 8, "b": 8}
    assert "Geometry(" in str(parquet.ParquetFile(desk.folder / "r.parquet").schema)
    assert table(own(desk, {"crs": "OGC:CRS84"})) == {"a": 8, "b": 8}
    projected = geopandas.GeoSeries(HALVES, crs=4326).to_crs(3857)
    assert table(own(desk, {"crs": "EPSG:3857"}, projected)) == pytest.approx({"a": 8, "b": 8})
    assert table(own(desk, {"crs": projected.crs.to_json_dict()}, projected)) == pytest.approx({"a": 8, "b": 8})


def test_spherical_edges_are_never_taken_as_straight(desk, table, own_types):
    # by either way of saying it: drawn as parts of great circles, or refused
    for path in (
        own(desk, {"edges": "spherical"}),
        columnar(desk, arrow(["a", "b"], pyarrow.string()), geo={"edges": "spherical"}),
    ):
        got = table(path)
        if isinstance(got, str):
            assert "great circle" in got
        else:  # the upper edge from (10, 4) to (12, 4) bulges to the north by less than a cell, the lower one is the equator
            assert 8 < got["a"] + 1e-9 < 8.01 or got["a"] == 8


# --- FlatGeobuf


@pytest.mark.parametrize("how", [{}, {"SPATIAL_INDEX": "NO"}])
@pytest.mark.parametrize("crs", [4326, 3857, None])
def test_flatgeobuf_with_and_without_index_and_system(desk, table, how, crs):
    shapes = list(geopandas.GeoSeries(HALVES, crs=4326).to_crs(crs)) if crs else HALVES
    path = saved(desk, ["a", "b"], "r.fgb", shapes, crs, **how)
    assert table(path) == pytest.approx({"a": 8, "b": 8})


def test_fields_of_flatgeobuf_of_all_types(desk, table):
    columns = {
        "i8": np.array([-1, 1], "i1"),
        "u8": np.array([255, 1], "u1"),
        "i16": np.array([-300, 1], "i2"),
        "u16": np.array([65535, 1], "u2"),
        "i32": np.array([-70000, 1], "i4"),
        "u32": np.array([4000000000, 1], "u4"),
        "i64": np.array([-(2**60), 1], "i8"),
        "f32": np.array([0.1, 1], "f4"),
        "f64": np.array([0.1, 1], "f8"),
        "b": np.array([True, False]),
        "s": ["ü", "x"],
        "d": np.array(["2024-02-29T12:00:00", "2024-03-01T12:00:00"], "M8[ms]"),
    }
    whole = geopandas.GeoDataFrame(columns, geometry=HALVES, crs=4326)
    whole.to_file(desk.folder / "r.fgb", SPATIAL_INDEX="NO")
    shown = {
        "i8": "-1",
        "u8": "255",
        "i16": "-300",
        "u16": "65535",
        "i32": "-70000",
        "u32": "4000000000",
        "i64": str(-(2**60)),
        "f64": "0.1",
        "b": "true",
        "s": "ü",
    }
    for key, expected in shown.items():
        assert next(iter(table(desk.folder / "r.fgb", key=key))) == expected, key
    assert next(iter(table(desk.folder / "r.fgb", key="d"))).startswith("2024-02-29T12:00:00")


def test_a_flatgeobuf_file_that_is_cut_short_is_an_error(desk, table):
    path = saved(desk, ["a", "b"], "r.fgb")
    whole = path.read_bytes()
    for size in (5, 11, 100, len(whole) - 1, len(whole) - 160):
        path.write_bytes(whole[:size])
        assert "FlatGeobuf" in table(path)


def test_null_shapes_and_nested_collections_in_flatgeobuf(desk, table):
    shapes = [None, shapely.GeometryCollection([shapely.Point(1, 1), shapely.MultiPolygon([WEST])])]
    assert table(saved(desk, ["a", "b"], "r.fgb", shapes, SPATIAL_INDEX="NO")) == {"a": 0, "b": 8}


# --- GeoPackage


def package(desk, sql=(), **how):
    path = saved(desk, ["a", "b"], "r.gpkg", **how)
    with sqlite3.connect(path) as db:
        # those of the spatial index call functions that Python's SQLite does not have
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        for statement in sql:
            db.execute(statement)
    db.close()
    return path


def test_the_number_of_a_row_is_a_key(desk, table):
    path = package(desk, ["UPDATE r SET fid = 77 WHERE id = 'b'"])
    assert list(table(path, key="fid")) == ["1", "77"]
    assert list(table(path, key="@id")) == ["1", "77"]


@pytest.mark.parametrize(
    "value, kind, shown",
    [
        ("2.0", "REAL", "2"),
        ("0.1", "REAL", "0.1"),
        ("1", "BOOLEAN", "true"),
        ("'2024-02-29'", "DATE", "2024-02-29"),
        ("123456789012", "INTEGER", "123456789012"),
        ("'x'", '"odd ""type"""', "x"),
    ],
)
def test_fields_of_a_geopackage_are_what_people_read(desk, table, value, kind, shown):
    path = package(
        desk,
        [
            f'ALTER TABLE r ADD COLUMN "a ""b"", c" {kind}',
            f'UPDATE r SET "a ""b"", c" = {value}',
            "DELETE FROM r WHERE id = 'b'",
        ],
    )
    assert list(table(path, key='a "b", c')) == [shown]


def test_bytes_in_a_geopackage_are_no_key(desk, table):
    assert "bytes" in table(package(desk, ["ALTER TABLE r ADD COLUMN k BLOB", "UPDATE r SET k = x'00'"]), key="k")


def test_a_view_is_a_layer(desk, table):
    sql = [
        "CREATE VIEW \"my view\" AS SELECT fid AS fid, 'v' || id AS name, geom FROM r WHERE id = 'b'",
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('my view', 'features', 'my view', 4326)",
        "INSERT INTO gpkg_geometry_columns VALUES ('my view', 'geom', 'POLYGON', 4326, 0, 0)",
    ]
    assert table(package(desk, sql), "--layer", "my view", key="name") == {"vb": 8}


def test_an_endless_view_is_an_error(desk, table):
    sql = [
        "CREATE VIEW v AS WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT k AS id, NULL AS geom FROM n WHERE k < 0",
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id) VALUES ('v', 'features', 'v', 4326)",
        "INSERT INTO gpkg_geometry_columns VALUES ('v', 'geom', 'POLYGON', 4326, 0, 0)",
    ]
    assert "endless" in table(package(desk, sql), "--layer", "v")


def test_changes_that_stand_in_the_log_beside_the_file_count(desk, table):
    path = package(desk)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("UPDATE r SET id = 'new' WHERE id = 'b'")
    db.commit()
    assert (desk.folder / "r.gpkg-wal").stat().st_size > 0
    assert table(path) == {"a": 8, "new": 8}
    db.close()
    assert table(path) == {"a": 8, "new": 8}


def test_reading_a_geopackage_leaves_nothing_beside_it(desk, table):
    path = package(desk)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
    db.close()
    before = path.read_bytes()
    assert table(path) == {"a": 8, "b": 8}
    assert sorted(p.name for p in desk.folder.glob("r.*")) == ["r.gpkg"] and path.read_bytes() == before


def header_of(shape, flags=1, srs=4326):
    return b"GP" + bytes([0, flags]) + struct.pack("<i", srs) + shapely.to_wkb(shape)


@pytest.mark.parametrize(
    "flags, shape, expected",
    [
        (0x11, shapely.Polygon(), 0),
        (0x11, shapely.Point(), 0),
        (0x01, shapely.Polygon(), 0),
        (0x01, shapely.MultiPolygon(), 0),
        (0x01, EAST, 8),
    ],
)
def test_empty_shapes_of_a_geopackage(desk, table, flags, shape, expected):
    path = package(desk)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE r SET geom = ? WHERE id = 'b'", (header_of(shape, flags),))
    db.close()
    assert table(path) == {"a": 8, "b": expected}


def stored(desk, blob):
    path = package(desk)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE r SET geom = ? WHERE id = 'b'", (blob,))
    db.close()
    return path


def test_types_that_an_extension_adds_are_refused(desk, table):
    assert "extension" in table(stored(desk, b"GP\0\x21" + struct.pack("<i", 4326) + b"abcd" + shapely.to_wkb(EAST)))


def wkb(code, *parts, order="<"):
    return struct.pack(f"{order}BI", order == "<", code) + b"".join(parts)


def rings(shape, extra=0, order="<"):
    ring = [[*corner, *([7.0] * extra)] for corner in shape.exterior.coords]
    return struct.pack(f"{order}II", 1, len(ring)) + np.array(ring, f"{order}f8").tobytes()


def line(shape):
    ring = np.array(shape.exterior.coords)
    return struct.pack("<I", len(ring)) + ring.astype("<f8").tobytes()


ONE = struct.pack("<I", 1)
GOOD = {
    "ISO Z": wkb(1003, rings(EAST, 1)),
    "ISO M": wkb(2003, rings(EAST, 1)),
    "ISO ZM": wkb(3003, rings(EAST, 2)),
    "old Z": wkb(0x80000003, rings(EAST, 1)),
    "EWKB M": wkb(0x40000003, rings(EAST, 1)),
    "EWKB with a system": wkb(0x20000003, struct.pack("<i", 4326), rings(EAST)),
    "big-endian": wkb(3, rings(EAST, order=">"), order=">"),
    "MultiPolygon with a big-endian part": wkb(6, ONE, wkb(3, rings(EAST, order=">"), order=">")),
    "MultiSurface": wkb(12, ONE, wkb(3, rings(EAST))),
    "CurvePolygon with straight edges": wkb(10, ONE, wkb(2, line(EAST))),
    "collection in a collection": wkb(
        7, ONE, wkb(7, struct.pack("<I", 2), wkb(1, struct.pack("<2d", 1, 1)), wkb(3, rings(EAST)))
    ),
}
BAD = {
    "arcs": (wkb(10, ONE, wkb(8, line(EAST))), "arcs"),
    "TIN": (wkb(16, ONE, wkb(17, rings(EAST))), "triangulated"),
    "triangle": (wkb(17, rings(EAST)), "triangulated"),
    "polyhedral surface": (wkb(1015, ONE, wkb(1003, rings(EAST, 1))), "polyhedral"),
    "compound curve": (wkb(9, ONE, wkb(2, line(EAST))), "curve"),
    "point": (wkb(1, struct.pack("<2d", 1, 1)), "point"),
    "unknown": (wkb(99), "unknown"),
    "order": (b"\2" + wkb(3, rings(EAST))[1:], "damaged"),
    "count": (wkb(3, struct.pack("<I", 2**31)), "damaged"),
    "not a number": (
        wkb(3, rings(shapely.box(12, 0, 14, 4)).replace(struct.pack("<d", 14), struct.pack("<d", float("nan")))),
        "NaN",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_forms_of_wkb_that_are_polygons(desk, table, name):
    assert table(stored(desk, b"GP\0\1" + struct.pack("<i", 4326) + GOOD[name])) == {"a": 8, "b": 8}
    path = columnar(
        desk, arrow(["a", "b"], pyarrow.string()), geometry=arrow([shapely.to_wkb(WEST), GOOD[name]], pyarrow.binary())
    )
    assert table(path) == {"a": 8, "b": 8}


@pytest.mark.parametrize("name", BAD)
def test_forms_of_wkb_that_are_none(desk, table, name):
    content, word = BAD[name]
    path = columnar(
        desk, arrow(["a", "b"], pyarrow.string()), geometry=arrow([shapely.to_wkb(WEST), content], pyarrow.binary())
    )
    said = table(path)
    assert word in said and ("`b`" in said or "2" in said)


def test_a_geopackage_without_a_system_says_so(desk, table):
    path = package(desk, crs=None)
    assert table(path) == {"a": 8, "b": 8}
    assert "does not say its coordinate system" in desk.index(path).stderr


def test_spatialite_is_refused_by_name(desk, table):
    path = desk.folder / "r.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE geometry_columns (f_table_name TEXT)")
        db.execute("CREATE TABLE spatial_ref_sys (srid INTEGER)")
    db.close()
    assert "SpatiaLite" in table(path)


# --- other formats


@pytest.mark.parametrize(
    "name, word",
    [
        ("r.kml", "KML"),
        ("r.gml", "GML"),
        ("r.csv", "CSV"),
        ("r.topojson", "TopoJSON"),
        ("r.feather", "Feather"),
        ("r.tab", "MapInfo"),
        ("r.dbf", ".shp"),
        ("r.xyz", "FlatGeobuf"),
    ],
)
def test_other_formats_are_refused_by_name(desk, table, name, word):
    (desk.folder / name).write_text("x")
    assert word in table(desk.folder / name)


def test_a_file_geodatabase_is_a_folder_and_refused_by_name(desk, table):
    (desk.folder / "r.gdb").mkdir()
    assert "Geodatabase" in table(desk.folder / "r.gdb")
