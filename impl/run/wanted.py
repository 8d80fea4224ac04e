"""Settings that choose from what a dataset has: `CCSM4,inmcm4`, `all`, `1990-1999,2005`."""

import re
from collections.abc import Iterable, Iterator

from impl.run.errors import EtlError, unknown


def names(text: object, known: Iterable[str], setting: str) -> list[str]:
    """The names in a comma list, in the order of `known`; `all` is all. A name not in `known` is an error."""
    known = list(known)
    asked = [name.strip() for name in str(text).split(",") if name.strip()]
    if asked == ["all"]:
        return known
    for name in asked:
        if name not in known:
            raise unknown("name", name, [*known, "all"], where=f"setting `{setting}`: `{text}`")
    if not asked:
        raise EtlError("nothing is chosen", where=f"setting `{setting}`", hint="name some, with commas, or write `all`")
    return [name for name in known if name in asked]


def years(text: object, first: int, last: int, setting: str) -> list[int]:
    """The years in a list of years and spans, sorted; each within `first`..`last`."""
    chosen: set[int] = set()
    for part in str(text).split(","):
        found = re.fullmatch(r"\s*(\d{4})(?:\s*-\s*(\d{4}))?\s*", part)
        begin, end = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if begin > end or begin < first or end > last:
            raise EtlError(
                f"`{part.strip()}` is not a year or a span of years",
                where=f"setting `{setting}`: `{text}`",
                hint=f"write years from {first} to {last}, as in `{first}-{first + 9},{last}`",
            )
        chosen.update(range(begin, end + 1))
    return sorted(chosen)


def spans(first: int, last: int, length: int) -> Iterator[tuple[int, int]]:
    """Spans of `length` years from `first` on, the last one cut at `last`: (first year, last year)."""
    for begin in range(first, last + 1, length):
        yield begin, min(begin + length - 1, last)
