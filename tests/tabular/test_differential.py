"""Both engines on the same documents: the golden projects, the peer's own test project, random chains of operations, a large table.

Bytes are compared; lines are sorted first only where the peer's order depends on how it splits the rows (group_by and
distinct_rows after a union, which has a partition for each table).
"""

import os
import random
import subprocess
from pathlib import Path

import pytest
import yaml

from impl.run.errors import EtlError
from impl.tabular import schema
from tests.tabular import peer

# What comes out of the peer's test project in the order of its partitions: groups after a union or after a join of unions.
UNORDERED = {"families.jsonl", "total_of_each_species.jsonl", "zoo_count_by_species.jsonl"}
OWN = "own"  # the golden project with options that the peer lacks
pytestmark = pytest.mark.slow
CHAINS = int(os.environ.get("ETL_TABULAR_CHAINS", "60"))
SEED = int(os.environ.get("ETL_TABULAR_SEED", "1"))
LARGE = 1_000_000


@pytest.fixture(scope="module")
def python():
    found = peer.interpreter()
    peer.package(found)  # the right version
    return found


def lines(content: bytes) -> list[bytes]:
    return sorted(content.splitlines())


def test_the_golden_projects_give_the_same_bytes_in_both_engines(python, tmp_path, capsys):
    names = [one for one in peer.projects() if one != OWN]
    theirs = [peer.copied(name, tmp_path / "theirs") for name in names]
    codes = peer.run(python, theirs, tmp_path / "said")
    assert dict(zip(names, codes, strict=True)) == dict.fromkeys(names, 0)
    for name, (document, _) in zip(names, theirs, strict=True):
        found = peer.files(document.parent / "output")
        ours = peer.files(peer.run_ours(*peer.copied(name, tmp_path / "ours")))
        assert found and sorted(ours) == sorted(found), name
        for file, content in found.items():
            assert ours[file] == content, f"{name}/{file}"
        # and these are the files that are kept
        assert found == peer.files(peer.GOLDEN / name / "expected"), name


def test_the_peers_test_project_gives_the_same_in_both_engines(python, tmp_path, capsys):
    document = peer.package(python) / "tests/earthmover.yaml"
    where = {side: peer.Options(variables={"OUTPUT_DIR": str(tmp_path / side)}) for side in ("theirs", "ours")}
    assert peer.run(python, [(document, where["theirs"])], tmp_path / "said") == [0]
    peer.run_ours(document, where["ours"])
    theirs, ours = peer.files(tmp_path / "theirs"), peer.files(tmp_path / "ours")
    assert len(theirs) == 16 and sorted(ours) == sorted(theirs)
    for name, content in theirs.items():
        if name in UNORDERED:
            assert lines(ours[name]) == lines(content), name
        else:
            assert ours[name] == content, name


class Chain:
    """A random chain of operations. columns: name -> `text`, `maybe` (text that may be missing), `number`, `rank`, `mixed` or `none`."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.operations: list[dict] = []
        self.columns = {"id": "text", "group": "text", "when": "text", "amount": "text", "words": "text"}
        self.ordered, self.parts = True, 1
        self.sparse = False
        self.counted = True  # rows are numbered as they stand; else the peer gives them the ranks of other rows
        self.numbers = 0
        for _ in range(self.chance.randint(1, 6)):
            kinds = ROW_WISE if not self.ordered else ROW_WISE + OTHERS
            getattr(self, self.chance.choice(kinds))()

    def add(self, operation: str, **options: object) -> None:
        self.operations.append({"operation": operation, **options})

    def new(self) -> str:
        self.numbers += 1
        return f"made_{self.numbers}"

    def pick(self, *kinds: str) -> str | None:
        known = [name for name, kind in self.columns.items() if kind in kinds]
        return self.chance.choice(known) if known else None

    def some(self, *kinds: str) -> list[str]:
        known = [name for name, kind in self.columns.items() if kind in kinds]
        return self.chance.sample(known, self.chance.randint(1, min(3, len(known)))) if known else []

    def add_columns(self) -> None:
        made = {}
        for _ in range(self.chance.randint(1, 3)):
            one, other = self.pick("text", "maybe", "number", "rank"), self.pick("text", "maybe", "number", "rank")
            name = self.new()
            made[name] = self.chance.choice(EXPRESSIONS).replace("A", one).replace("B", other)
        self.add("add_columns", columns=made)
        self.columns |= dict.fromkeys(made, "text")

    def modify_columns(self) -> None:
        pattern = self.chance.choice([self.pick("text", "maybe", "number", "rank"), "*", "w*", "made_*", "?d"])
        other = self.pick("text", "maybe", "number", "rank")
        if self.sparse and pattern not in self.columns:  # what a pivot leaves empty is None in the peer (--explain-diff)
            pattern = other
        expression = self.chance.choice(CHANGES).replace("B", other)
        self.add("modify_columns", columns={pattern: expression})
        if pattern in self.columns:
            self.columns[pattern] = "text"
        elif pattern == "*":
            self.columns = dict.fromkeys(self.columns, "text")

    def rename_columns(self) -> None:
        old, new = self.pick("text", "maybe", "number", "rank"), self.new()
        self.add("rename_columns", columns={old: new})
        self.columns = {new if name == old else name: kind for name, kind in self.columns.items()}

    def duplicate_columns(self) -> None:
        old, new = self.pick("text", "maybe", "number", "rank"), self.new()
        self.add("duplicate_columns", columns={old: new})
        self.columns[new] = self.columns[old]

    def drop_columns(self) -> None:
        gone = self.pick("text", "maybe", "number", "rank")
        if len(self.columns) > 2:
            self.add("drop_columns", columns=[gone, "nobody*"])
            del self.columns[gone]

    def keep_columns(self) -> None:
        kept = self.some("text", "maybe", "number", "rank")
        self.add("keep_columns", columns=kept)
        self.columns = {name: self.columns[name] for name in kept}

    def combine_columns(self) -> None:
        joined, new = self.some("text"), self.new()
        if joined:
            self.add("combine_columns", columns=joined, new_column=new, separator=self.chance.choice(["", "-", " | "]))
            self.columns[new] = "text"

    def map_values(self) -> None:
        column = self.pick("text", "maybe")
        if column:
            keys = self.chance.sample(VALUES, 3)
            self.add(
                "map_values", column=column, mapping=dict.fromkeys(keys[:2], self.chance.choice(VALUES)) | {keys[2]: "new"}
            )

    def date_format(self) -> None:
        column = self.pick("text", "maybe")
        if column:
            self.add(
                "date_format", column=column, from_format="%Y-%m-%d", to_format=self.chance.choice(["%d/%m/%y", "%B %Y", "%j"]),
                ignore_errors=True, exact_match=self.chance.random() < 0.5,
            )  # fmt: skip
            self.columns[column] = "maybe"

    def filter_rows(self) -> None:
        column, other = self.pick("text", "maybe"), self.pick("text", "maybe")
        if column:
            query = self.chance.choice(QUERIES).replace("A", column).replace("B", other)
            query = query.replace("VALUE", repr(self.chance.choice(VALUES))).replace("ELSE", repr(self.chance.choice(VALUES)))
            self.add("filter_rows", query=query, behavior=self.chance.choice(["include", "exclude"]))
            self.counted = False

    def flatten(self) -> None:
        column, new = self.pick("text", "maybe"), self.new()
        # where pieces of several tables come together the peer mixes rows up (--explain-diff)
        if column and len(self.columns) > 1 and (self.parts == 1 or self.ordered):
            kind = self.columns.pop(column)
            if kind == "maybe" and not self.pick("text", "maybe"):  # nothing would be left to work with
                self.columns[column] = kind
                return
            self.add("flatten", flatten_column=column, value_column=new, separator=self.chance.choice([",", " ", "[, ]+"]))
            # what it makes of a missing value is None in the peer (--explain-diff), so that no expression reads it
            self.columns[new] = "none" if kind == "maybe" else "maybe"
            self.sparse = self.sparse or kind == "maybe"

    def distinct_rows(self) -> None:
        self.add("distinct_rows", columns=self.some("text", "maybe", "number", "rank"))
        self.ordered = self.ordered and self.parts == 1
        self.counted = False

    def sort_rows(self) -> None:
        columns = self.some("text", "maybe")
        if columns:
            self.add("sort_rows", columns=[self.chance.choice(["", "+", "-"]) + one for one in columns],
                     descending=self.chance.random() < 0.3)  # fmt: skip
            self.ordered = self.ordered and self.parts == 1  # equal rows of several partitions come in any order
            self.counted = False

    def limit_rows(self) -> None:
        if self.parts == 1:  # the peer limits the first partition
            self.add("limit_rows", count=self.chance.randint(1, 50), offset=self.chance.choice([0, 0, 3, 40]))
            self.counted = False

    def group_by_with_rank(self) -> None:
        column, new = self.pick("text"), self.new()
        if column and self.parts == 1 and self.counted:
            self.add("group_by_with_rank", group_by_columns=[column], rank_column=new)
            self.columns[new] = "rank"

    def group_by(self) -> None:
        keys = self.some("text")
        others = [one for one in self.columns if one not in keys and self.columns[one] == "text"]
        if not keys:
            return
        made: dict[str, str] = {self.new(): "count()"}
        kinds = dict.fromkeys(made, "number")
        for one in others[:2]:
            name = self.new()
            made[name] = self.chance.choice(
                ["agg({})", "agg({},;)", "str_min({})", "str_max({})", "json_array_agg({},str)"]
            ).format(one)
            kinds[name] = "text"
        if self.columns.get("amount") == "text" and "amount" in others and self.amounts:
            name = self.new()
            made[name] = self.chance.choice(["sum", "mean", "min", "max", "std", "var"]) + "(amount)"
            kinds[name] = "number"
        self.add("group_by", group_by_columns=keys, create_columns=made)
        self.columns = dict.fromkeys(keys, "text") | kinds
        self.ordered = self.ordered and self.parts == 1

    @property
    def amounts(self) -> bool:
        """Whether `amount` is as it was read: numbers, and empty texts."""
        return not any(one["operation"] in ("modify_columns", "map_values", "date_format") for one in self.operations)

    def join(self) -> None:
        keys = [one for one in ("id", "group") if self.columns.get(one) in ("text", "maybe")]
        if not keys or self.parts > 1:
            return
        kind = self.chance.choice(["inner", "left", "right", "outer"])
        key = self.chance.choice(keys)
        self.add("join", sources=["$sources.second"], join_type=kind, left_key=key, right_key=key)
        if {"id", "group"} - {key} <= set(self.columns):
            clash = next(iter({"id", "group"} - {key}))
            self.columns = {f"{name}_x" if name == clash else name: kind for name, kind in self.columns.items()}
            self.columns[f"{clash}_y"] = "text"
        else:
            self.columns |= dict.fromkeys({"id", "group"} - {key}, "text")
        self.columns |= {"extra": "text"}
        self.columns = dict.fromkeys(self.columns, "maybe")

    def union(self) -> None:
        if set(self.columns) == {"id", "group", "when", "amount", "words"} or self.chance.random() < 0.3:
            self.add("union", sources=["$sources.first"], fill_missing_columns=True)
            base = dict.fromkeys(("id", "group", "when", "amount", "words"), "text")
            self.columns = dict.fromkeys(self.columns | base, "maybe")
            self.parts += 1

    def pivot(self) -> None:
        rows, across, values = (self.pick("text") for _ in range(3))
        if rows and len({rows, across, values}) == 3 and self.parts == 1:
            self.add("distinct_rows", columns=[rows, across])
            self.add("pivot", rows_by=[rows], cols_by=across, values=values)
            self.sparse = True
            self.columns = {rows: "text"}  # the others are called as the values were
            self.counted = False

    def debug(self) -> None:
        self.add(
            "debug", function=self.chance.choice(["head", "tail", "columns"]), rows=2, transpose=self.chance.random() < 0.5
        )

    def snake_case_columns(self) -> None:
        self.add(self.chance.choice(["snake_case_columns", "lowercase_columns"]))

    def uppercase_columns(self) -> None:
        old, new = self.pick("text", "maybe"), self.new()
        if old and self.columns.keys() >= {"id"}:
            self.add("uppercase_columns")
            self.add("lowercase_columns")
            self.add("duplicate_columns", columns={old: new})
            self.columns[new] = self.columns[old]

    def melt(self) -> None:
        ids = self.some("text", "maybe")
        if ids and self.parts == 1 and len(self.columns) > len(ids):
            self.add("melt", id_vars=ids, var_name="melted", value_name="melted_value")
            mixed = {"number", "rank"} & {kind for name, kind in self.columns.items() if name not in ids}
            self.columns = dict.fromkeys(ids, "maybe") | {"melted": "text", "melted_value": "mixed" if mixed else "maybe"}


ROW_WISE = [
    *("add_columns", "add_columns", "modify_columns", "rename_columns", "duplicate_columns", "drop_columns", "keep_columns"),
    *(
        "combine_columns",
        "map_values",
        "date_format",
        "filter_rows",
        "flatten",
        "debug",
        "snake_case_columns",
        "uppercase_columns",
    ),
]
OTHERS = [
    "distinct_rows",
    "sort_rows",
    "limit_rows",
    "group_by_with_rank",
    "group_by",
    "join",
    "join",
    "union",
    "melt",
    "pivot",
]
VALUES = ["", "1", "007", "NA", "x y", "É", 'a"b', "2024-02-29", "a,b, c", "<&>'", "-1.5", "null", "\u2602", "x"]
AMOUNTS = ["", "1", "2.5", "-3", "0.1", "0.2", "12", "1e3", " 7", "1000000", "0.30000000000000004"]
EXPRESSIONS = [
    "constant", "{{A}}", "{{A}}-{{B}}", "{{A|upper}}", "{{A[1:3]}}", "{{A|string|length}}", "{{A|trim|replace('a', 'b')}}",
    "{% if A == B %}same{% elif A %}other{% endif %}", "{{A ~ B}}", "{{md5(A|string)}}", "{{A|tojson}}", "{{A|int + 1}}",
    "{% for one in (A|string) %}{{loop.index}}{{one}}{% endfor %}", "{% if A != A %}missing{% else %}{{A}}{% endif %}",
    "{{A is none}}{{B in ['x', '1']}}", "{{__row_data__['A']}}", "{{'%s/%s' % (A, B)}}", "{% set x = A|string %}{{x.lower()}}",
    "{{A|string|title|reverse}}", "{{(A|float) * 1.5}}", "{{ 'x' if A else B }}", "  {{A}}\n{{B}} ",
]  # fmt: skip
CHANGES = [
    "{{value}}",
    "{{value|lower}}",
    "<{{value}}|{{B}}>",
    "{{value|string|length}}",
    "{% if value %}{{value}}{% endif %}",
    "x",
]
QUERIES = [
    "A == VALUE", "A != VALUE", "A < VALUE", "A in [VALUE, ELSE]", "A not in [VALUE, ELSE]", "A.isnull()", "A.notnull()",
    "A == B", "A == VALUE or B == ELSE", "A != VALUE and not B == ELSE", "A.str.contains('a', na=False)",
    "A.str.len() > 1", "A.str.startswith('x', na=False)", "VALUE <= A <= ELSE", "(A == VALUE) | (B != ELSE)",
]  # fmt: skip


def write_sources(folder: Path, seed: int) -> None:
    """first.csv and second.csv with random texts; keys often meet."""
    import csv

    chance = random.Random(seed)
    folder.mkdir(parents=True)
    rows = chance.choice([0, 1, 30, 120])
    with (folder / "first.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "group", "when", "amount", "words"])
        for _ in range(rows):
            day = f"{chance.randint(1999, 2026)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
            writer.writerow(
                [str(chance.randint(1, 40)), chance.choice(VALUES[:8]), chance.choice([day, day, "", "no date"]),
                 chance.choice(AMOUNTS), chance.choice(VALUES)]
            )  # fmt: skip
    with (folder / "second.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "group", "extra"])
        for _ in range(chance.choice([1, 25])):
            writer.writerow([str(chance.randint(1, 60)), chance.choice(VALUES[:5]), chance.choice(VALUES)])


def write_chain(folder: Path, chain: Chain, seed: int) -> Path:
    write_sources(folder, seed)
    document = {
        "version": 2,
        "config": {"output_dir": "./output"},
        "sources": {"first": {"file": "first.csv"}, "second": {"file": "second.csv"}},
        "transformations": {"chain": {"source": "$sources.first", "operations": chain.operations}},
        "destinations": {"out": {"source": "$transformations.chain", "extension": "jsonl"}},
    }
    # what is between {%raw%} and {%endraw%} is for the rows
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
    target = folder / "earthmover.yaml"
    target.write_text(f"# {{%raw%}}\n{text}# {{%endraw%}}\n", encoding="utf-8")
    return target


def compare_chains(python: Path, folder: Path, seeds: range) -> tuple[int, list[str]]:
    """How many chains the peer runs, and what differs."""
    chains = {seed: Chain(seed) for seed in seeds}
    theirs = [(write_chain(folder / f"theirs/{seed}", chain, seed), peer.Options()) for seed, chain in chains.items()]
    codes = peer.run(python, theirs, folder / "said")
    run, wrong = 0, []
    for number, (seed, chain) in enumerate(chains.items()):
        ours = write_chain(folder / f"ours/{seed}", chain, seed)
        said = (folder / f"said/{number}.txt").read_text(errors="replace").strip().splitlines()[-1:]
        if codes[number]:
            continue
        run += 1
        try:
            made = (peer.run_ours(ours) / "out.jsonl").read_bytes()
        except EtlError as error:
            wrong.append(f"chain {seed}: only the peer runs {chain.operations}: {error} {said}")
            continue
        found = (folder / f"theirs/{seed}/output/out.jsonl").read_bytes()
        same = made == found if chain.ordered else lines(made) == lines(found)
        if not same:
            pair = next(((a, b) for a, b in zip(found.splitlines(), made.splitlines(), strict=False) if a != b), ("", ""))
            heights = f"{len(found.splitlines())} and {len(made.splitlines())} rows"
            wrong.append(f"chain {seed}: {chain.operations}\n  peer {pair[0]!r}\n  ours {pair[1]!r}\n  {heights}")
    return run, wrong


def test_random_chains_know_every_operation():
    made = {one["operation"] for seed in range(SEED, SEED + 20 * CHAINS) for one in Chain(seed).operations}
    assert made == set(schema.OPERATIONS)


def test_random_chains_of_operations_give_the_same_bytes_in_both_engines(python, tmp_path, capsys):
    run, wrong = compare_chains(python, tmp_path, range(SEED, SEED + CHAINS))
    assert not wrong, "\n".join(wrong)
    assert run >= CHAINS * 0.5


def test_a_million_rows_give_the_same_bytes_in_both_engines(python, tmp_path, capsys):
    from benchmarks.tabular import make_job, make_rows

    folder = tmp_path / "large"
    make_rows(folder, LARGE)
    document = make_job(folder, "a")
    assert peer.run(python, [(document, peer.Options())], tmp_path / "said") == [0]
    (folder / "a/out.jsonl").rename(folder / "theirs.jsonl")
    peer.run_ours(document)
    differ = subprocess.run(["cmp", folder / "theirs.jsonl", folder / "a/out.jsonl"], capture_output=True, text=True)
    assert differ.returncode == 0, differ.stdout
    assert (folder / "a/out.jsonl").stat().st_size > 300 * LARGE
