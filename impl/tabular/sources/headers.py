"""Names of columns from the lines of a header, as the peer makes them."""

from __future__ import annotations

from collections.abc import Sequence


def deduplicated(line: Sequence[str]) -> list[str]:
    """`a, a` -> `a, a.1`; an empty name is `Unnamed: 2` (its place, from 0). Given names come before made ones."""
    names = [name or f"Unnamed: {place}" for place, name in enumerate(line)]
    given = [place for place, name in enumerate(line) if name]
    made = [place for place, name in enumerate(line) if not name]
    counts: dict[str, int] = {}
    for place in given + made:
        first = name = names[place]
        count = counts.get(name, 0)
        while count > 0:
            counts[first] = count + 1
            name = f"{first}.{count}"
            count = count + 1 if name in names else counts.get(name, 0)
        names[place] = name
        counts[name] = count + 1
    return names


def joined(lines: Sequence[Sequence[str]], fill: bool) -> list[str]:
    """`,,X,` over `a,b,a,b` -> `a, b, X__a, b`; with `fill` a gap takes the name on its left: `a, b, X__a, X__b`."""
    width = max(map(len, lines))
    levels = []
    for line in lines:
        level = ["" if name.startswith("Unnamed: ") else name for name in [*line, *[""] * (width - len(line))]]
        if fill:
            last = ""
            for place, name in enumerate(level):
                last = level[place] = name or last
        levels.append(level)
    return ["__".join(parts).removeprefix("__").removesuffix("__") for parts in zip(*levels, strict=True)]
