"""Whether a file is whole, by what its own format says of its length: a server may send less than the file and not tell.

Nothing is unpacked but what says its length nowhere else (gzip, bzip2, xz).
"""

import bz2
import gzip
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 1 << 20
PARSED = 16 * BLOCK  # of JSON that is larger, only its end is looked at
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 2, 10: 8, 11: 8}  # of the types of classic netCDF
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_EXPECTED = {  # what a name promises
    "zip": (".zip", ".kmz", ".xlsx"),
    "HDF5": (".h5", ".hdf5"),
    "gzip": (".gz", ".tgz"),
    "bzip2": (".bz2",),
    "xz": (".xz",),
    "TIFF": (".tif", ".tiff"),
    "Parquet": (".parquet",),
    "GeoPackage": (".gpkg",),
    "GRIB": (".grib", ".grb", ".grib2", ".grb2"),
    "JSON": (".json", ".geojson"),
    "netCDF": (".nc", ".nc4", ".cdf"),
}


class _CutError(Exception):
    """The file is not whole; the text says how that shows."""


def not_whole(path: Path, name: str, by_name: bool = False) -> str:
    """How it shows that the file at `path`, called `name`, is not whole; nothing where it is, or where no format tells.

    by_name: nothing else tells its length, so that it also has to be of the format that its name promises.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        start = file.read(16)
        file.seek(0)
        kind = _kind(start, name)
        promised = next((one for one, endings in _EXPECTED.items() if name.lower().endswith(endings)), "")
        if by_name and promised and kind != promised and (promised, kind) != ("netCDF", "HDF5"):
            return f"it is no {promised} file, as its name says"
        if not kind:
            return ""
        try:
            _CHECKS[kind](file, size)
        except _CutError as cut:
            return f"{kind}: {cut}"
        except (struct.error, IndexError, KeyError):
            return f"{kind}: it ends within its head"
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as error:
            return f"{kind}: {error}"
    return ""


def tells(path: Path, name: str) -> bool:
    """Whether the format of the file says how long it is."""
    with open(path, "rb") as file:
        return bool(_kind(file.read(16), name))


def _kind(start: bytes, name: str) -> str:
    for kind, marks in _MARKS.items():
        if start.startswith(marks):
            return kind
    return "JSON" if start.lstrip()[:1] in (b"{", b"[") and name.lower().endswith(_EXPECTED["JSON"]) else ""


def _reaches(end: int, size: int) -> None:
    if end > size:
        raise _CutError(f"{size:,} bytes, {end:,} by its own head")


def _zip(file: BinaryIO, size: int) -> None:
    with zipfile.ZipFile(file) as archive:  # the list of its files is at its end
        for one in archive.infolist():
            _reaches(one.header_offset + one.compress_size, size)


def _hdf5(file: BinaryIO, size: int) -> None:
    head = file.read(96)
    version = head[8]
    width, at = (head[13], 24 if version == 0 else 28) if version < 2 else (head[9], 12)
    base = int.from_bytes(head[at : at + width], "little")
    end = int.from_bytes(head[at + 2 * width : at + 3 * width], "little")
    if len(head) < at + 3 * width:
        raise _CutError("it ends within its head")
    _reaches(base + end if version < 2 and base else end, size)


def _netcdf(file: BinaryIO, size: int) -> None:
    """Classic netCDF: the head says where each variable begins and how long it is."""
    version = file.read(4)[3]
    count, offset = (">q", ">q") if version == 5 else (">i", ">i" if version == 1 else ">q")

    def number(form: str) -> int:
        return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])

    def skip(bytes_: int) -> None:
        file.seek(-(-bytes_ // 4) * 4, 1)

    def items() -> int:
        tag, found = number(">i"), number(count)
        return found if tag else 0

    def attributes() -> None:
        for _ in range(items()):
            skip(number(count))
            kind = number(">i")
            skip(_SIZES[kind] * number(count))

    records = number(count)
    lengths = []
    for _ in range(items()):
        skip(number(count))
        lengths.append(number(count))
    attributes()
    fixed: list[tuple[int, int]] = []
    in_records: list[tuple[int, int]] = []
    for _ in range(items()):
        skip(number(count))
        shape = [lengths[number(count)] for _ in range(number(count))]
        attributes()
        kind = number(">i")
        number(count)
        begin = number(offset)
        cells = 1
        for length in shape[1:] if shape and shape[0] == 0 else shape:
            cells *= length
        (in_records if shape and shape[0] == 0 else fixed).append((begin, cells * _SIZES[kind]))
    for begin, length in fixed:
        _reaches(begin + length, size)
    if records > 0 and in_records:  # -1: it was being written
        padded = [-(-length // 4) * 4 for _, length in in_records]
        step = in_records[0][1] if len(in_records) == 1 else sum(padded)
        _reaches(max(begin + length for begin, length in in_records) + (records - 1) * step, size)


def _tiff(file: BinaryIO, size: int) -> None:
    """The head leads to a list of tags for each image; two of these say where its pieces lie and how long they are."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    word, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack(order + word, head[8:16] if big else head[4:8])
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        file.seek(at)
        (tags,) = struct.unpack(order + count, file.read(struct.calcsize(count)))
        listed = file.read(tags * entry)
        (following,) = struct.unpack(order + word, file.read(struct.calcsize(word)))
        values: dict[int, tuple[int, ...]] = {}
        for start in range(0, len(listed), entry):
            tag, kind, number = struct.unpack(f"{order}HH{word}", listed[start : start + 4 + struct.calcsize(word)])
            if tag not in (273, 279, 324, 325):  # of strips and of tiles: where, how long
                continue
            field = listed[start + 4 + struct.calcsize(word) : start + entry]
            length = _TIFF_SIZES[kind] * number
            if length > len(field):
                file.seek(struct.unpack(order + word, field)[0])
                field = file.read(length)
            form = {2: "H", 4: "I", 8: "Q"}[_TIFF_SIZES[kind]]
            values[tag] = struct.unpack(f"{order}{number}{form}", field[:length])
        for where, how_long in ((273, 279), (324, 325)):
            for begin, length in zip(values.get(where, ()), values.get(how_long, ()), strict=False):
                _reaches(begin + length, size)
        at = following


def _ends_with(mark: bytes) -> Callable[[BinaryIO, int], None]:
    def check(file: BinaryIO, size: int) -> None:
        file.seek(max(0, size - len(mark)))
        if size < 2 * len(mark) or file.read() != mark:
            raise _CutError(f"it does not end with `{mark.decode()}`")

    return check


def _sqlite(file: BinaryIO, size: int) -> None:
    head = file.read(100)
    page, pages = struct.unpack(">H", head[16:18])[0], struct.unpack(">I", head[28:32])[0]
    _reaches((65536 if page == 1 else page) * pages, size)


def _json(file: BinaryIO, size: int) -> None:
    if size <= PARSED:
        json.loads(file.read())
        return
    first = file.read(64).lstrip()[:1]
    file.seek(max(0, size - 4096))
    last = file.read().rstrip()[-1:]
    if (first, last) not in ((b"{", b"}"), (b"[", b"]")):
        raise _CutError("it is not closed at its end")


def _packed(opened: Callable[..., Any]) -> Callable[[BinaryIO, int], None]:
    def check(file: BinaryIO, size: int) -> None:
        with opened(file) as content:
            while content.read(BLOCK):
                pass

    return check


_MARKS: dict[str, bytes | tuple[bytes, ...]] = {
    "zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "netCDF": (b"CDF\x01", b"CDF\x02", b"CDF\x05"),
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\0",
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "Parquet": b"PAR1",
    "GeoPackage": b"SQLite format 3\0",
    "GRIB": b"GRIB",
}
_CHECKS: dict[str, Callable[[BinaryIO, int], None]] = {
    "zip": _zip,
    "HDF5": _hdf5,
    "netCDF": _netcdf,
    "gzip": _packed(gzip.open),
    "bzip2": _packed(bz2.open),
    "xz": _packed(lzma.open),
    "TIFF": _tiff,
    "Parquet": _ends_with(b"PAR1"),
    "GeoPackage": _sqlite,
    "GRIB": _ends_with(b"7777"),
    "JSON": _json,
}
