"""Chance that is the same on every machine and in every order: a hash of integers, and smooth noise made of it."""


def uniform(*numbers):
    """One value in [-1, 1) for each combination of integers (arrays are broadcast); equal integers, equal value."""
    import numpy

    with numpy.errstate(over="ignore"):
        mixed = numpy.zeros(1, dtype=numpy.uint64)
        for number in numbers:
            word = numpy.asarray(number).astype(numpy.int64).astype(numpy.uint64)
            mixed = _scramble((mixed ^ word) + numpy.uint64(0x9E3779B97F4A7C15))
    return (mixed >> numpy.uint64(11)).astype(numpy.float64) * 2.0**-52 - 1.0


def smooth(seed: int, *positions):
    """Noise in [-1, 1) that changes smoothly with the positions; the lattice behind it has a distance of 1."""
    import numpy

    lower = [numpy.floor(position) for position in positions]
    inside = [position - low for position, low in zip(positions, lower, strict=True)]
    inside = [share * share * (3.0 - 2.0 * share) for share in inside]
    total = 0.0
    for corner in range(2 ** len(positions)):
        sides = [corner >> axis & 1 for axis in range(len(positions))]
        weight = 1.0
        for side, share in zip(sides, inside, strict=True):
            weight = weight * (share if side else 1.0 - share)
        total = total + weight * uniform(seed, *(low + side for low, side in zip(lower, sides, strict=True)))
    return total


def _scramble(word):
    """Spread every bit of the 64 over all others (the finaliser of splitmix64)."""
    import numpy

    word = (word ^ (word >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return word ^ (word >> numpy.uint64(31))
