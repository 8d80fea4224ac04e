"""The tabular engine beside its peer, earthmover: whole processes, the same documents, outputs compared byte for byte.

    python3.11 -m venv peer && peer/bin/pip install -r benchmarks/peers/tabular.txt
    python benchmarks/tabular.py --peer peer/bin/python [--rows 1000000] [--jobs a,b,c,d,e,shapes,f] [--runs 1] [--folder FOLDER] [--alone] [--long]

The rows are made up: day, school_id (10,000 of them), session, student_id, attended, duration, separated by tabs; 37 MB a
million. a: map_values, rename_columns, a left join with 10,000 rows, add_columns with Jinja, a template of 15 lines (380 bytes
a row). b: group_by with count, sum, mean, max and str_min. c: filter_rows, distinct_rows and sort_rows on three columns.
d, on a fifth of the rows, other ones: a template of 20 lines with two loops, over a split text and over a JSON list, a macro, `set`
and `if`. e: the same template, on lists of which no two elements are the same. f: a filter, rename_columns, add_columns with Jinja and
a template of one line over JSON lines of nine keys (188 MB a million). shapes, on a fifth of the rows: loops as they are written
elsewhere, one job each: columns found by their numbers, lists in the template, `append`, `namespace`, loops in loops, a mapping,
`__row_data__`, files that are included and imported. Then what one pays for nothing: the start, and
500 operations on 10 rows. With --long also, ours alone and for the memory, a chain of row-wise operations and job a on 5, 10 and
50 million rows (15 GB in the folder).
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measure import Cost, cost  # noqa: E402

SCHOOLS = 10_000
OPERATIONS = 500
PATIENCE = 100  # seconds that the peer gets for the 500 operations
RANDOM = 20_240_101

TEMPLATE = """{
  "studentSchoolAttendanceEvent": {
    "eventDate": "{{ day }}",
    "attendanceEventCategoryDescriptor": "uri://example.org/AttendanceEventCategory#{{ category }}",
    "schoolReference": { "schoolId": {{ school }}, "name": {{ name | tojson }} },
    "sessionReference": { "session": {{ session | tojson }}, "year": {{ year }}, "place": "{{ city | lower }}" },
    "studentReference": { "studentUniqueId": "{{ student_id }}" }
    {% if duration != "" %},
    "eventDuration": {{ duration }}
    {% endif %}
    {% if category == "Absence" %},
    "reason": "not given"
    {% endif %}
  }
}
"""

LOOPS = """{% macro descriptor(kind, value) -%}
"uri://example.org/{{ kind }}Descriptor#{{ value | trim | title }}"
{%- endmacro %}
{% set names = programs.split(";") %}
{
  "studentReference": { "studentUniqueId": "{{ student_id }}" },
  "day": "{{ day }}",
  "programs": [
  {% for name in names if name %}
    { "program": {{ descriptor("Program", name) }}, "rank": {{ loop.index }} }{% if not loop.last %},{% endif %}
  {% endfor %}
  ],
  "scores": [
  {% for score in fromjson(scores) %}
    {% set grade = "high" if score.points | int > 80 else "low" %}
    { "subject": {{ score.subject | tojson }}, "points": {{ score.points }}, "grade": "{{ grade }}" }{{ "," if not loop.last }}
  {% endfor %}
  ]
}
"""
PROGRAMS = ("bilingual", "early college", "gifted", "migrant", "special needs", "title I", "homeless", "military")
SUBJECTS = ("Mathematics", "Reading & Writing", "Science", "Français")

SHAPES = {
    "columns": """{ "id": "{{id}}", "scores": [ {% for n in range(1, 9) %}
{% set score = self._TemplateReference__context.resolve('score_' ~ n) %}
{% if score %}{ "n": {{n}}, "score": {{score}}, "level": "{{ 'high' if score | int > 50 else 'low' }}" },{% endif %}
{% endfor %} {} ] }""",
    "listed": """{ "id": "{{id}}", "results": [
{% for subject, points in [["Mathematics", score_1], ["Reading", score_2], ["Science", score_3]] %}
{% if points != "" %}{ "subject": "{{subject}}", "points": {{points}} }{% if not loop.last %},{% endif %}{% endif %}
{% endfor %} ] }""",
    "append": """{% set items = [] %}
{% for code in codes.split(';') %}{% if code %}{% set parts = code.split(':') %}
{% set _ = items.append('{"code": ' ~ parts[0] ~ ', "kind": "' ~ parts[1] | upper ~ '"}') %}
{% endif %}{% endfor %}{ "id": "{{id}}", "codes": [ {{ items | join(', ') }} ] }""",
    "namespace": """{% set sums = namespace(total=0, found=false) %}{% for n in range(1, 9) %}
{% set score = self._TemplateReference__context.resolve('score_' ~ n) %}
{% if score %}{% set sums.total = sums.total + score | int %}{% set sums.found = true %}{% endif %}
{% endfor %}{ "id": "{{id}}", "total": {{ sums.total if sums.found else 'null' }} }""",
    "nested": """{ "id": "{{id}}", "codes": [ {% for code in codes.split(';') if code %}
{ "kinds": [ {% for kind in code.split(':')[1] %}"{{kind}}"{% if not loop.last %},{% endif %}{% endfor %} ],
"digits": [ {% for digit in code.split(':')[0] %}{{digit}}{{ "," if not loop.last }}{% endfor %} ] }{{ "," if not loop.last }}
{% else %} null {% endfor %} ] }""",
    "mapping": """{% set kinds = {'a': 'uri://example.org#A', 'b': 'uri://example.org#B', 'c': 'uri://example.org#C'} %}
{ "id": "{{id}}", "name": {{name|tojson}}, "codes": [ {% for code in codes.split(';') %}{% if code | length > 0 %}
{"kind": "{{ kinds[code.split(':')[1]] }}", "value": {{ code.split(':')[0] | int }} }{% if not loop.last %}, {% endif %}
{% endif %}{% endfor %} ] }""",
    "row_data": """{ {% for key, value in __row_data__.items() if key.startswith('score_') or key == 'id' %}
"{{key}}": "{{value}}"{% if not loop.last %}, {% endif %}{% endfor %} }""",
    "included": """{ "id": "{{id}}", "codes": [ {% for code in codes.split(';') if code %}{% include 'part.jinja' %}{% endfor %} {} ] }""",
    "imported": """{% import 'macros.jinja' as made %}{ "id": "{{id}}", "results": [
{{ made.result("Mathematics", score_1) }}{{ made.result("Reading", score_2) }}
{% for code in codes.split(';') if code %}{{ made.code(code) }}{% if not loop.last %},{% endif %}{% endfor %} ] }""",
}
PARTS = {
    "part.jinja": '{"code": "{{ code }}", "of": "{{ id }}"},',
    "macros.jinja": """{% macro result(what, points) %}{% if points != "" %}{ "what": "{{what}}", "points": {{points}} },{% endif %}{% endmacro %}
{% macro code(of) %}{"code": "{{ of.split(':')[1] | upper }}"}{% endmacro %}
""",
}

DOCUMENTS = {
    "a": """version: 2
config: {output_dir: ./output}
sources:
  days: {file: days.tsv}
  schools: {file: schools.csv}
transformations:
  events:
    source: $sources.days
    operations:
      - {operation: map_values, column: attended, mapping: {"0": Absence, "1": Attendance, "2": Tardy}}
      - {operation: rename_columns, columns: {attended: category, school_id: school}}
      - {operation: join, sources: [$sources.schools], join_type: left, left_key: school, right_key: school}
      - {operation: add_columns, columns: {year: "{%raw%}{{day[0:4]}}{%endraw%}"}}
destinations:
  out: {source: $transformations.events, template: row.jsont, extension: jsonl}
""",
    "b": """version: 2
config: {output_dir: ./output}
sources:
  days: {file: days.tsv}
transformations:
  schools:
    source: $sources.days
    operations:
      - operation: group_by
        group_by_columns: [school_id]
        create_columns:
          rows: count()
          total: sum(duration)
          mean: mean(duration)
          most: max(duration)
          first: str_min(day)
destinations:
  out: {source: $transformations.schools, extension: jsonl}
""",
    "c": """version: 2
config: {output_dir: ./output}
sources:
  days: {file: days.tsv}
transformations:
  some:
    source: $sources.days
    operations:
      - {operation: filter_rows, behavior: include, query: "attended == '0' or duration == '7'"}
      - {operation: distinct_rows, columns: [school_id, session, day]}
      - {operation: sort_rows, columns: [school_id, session, day]}
destinations:
  out: {source: $transformations.some, extension: jsonl}
""",
    "chain": """version: 2
config: {output_dir: ./output}
sources:
  days: {file: days.tsv}
transformations:
  events:
    source: $sources.days
    operations:
      - {operation: filter_rows, behavior: exclude, query: "duration == '0'"}
      - {operation: map_values, column: attended, mapping: {"0": Absence, "1": Attendance, "2": Tardy}}
      - {operation: rename_columns, columns: {attended: category, school_id: school}}
      - operation: add_columns
        columns:
          year: "{%raw%}{{day[0:4]}}{%endraw%}"
          long: "{%raw%}{% if duration | int > 30 %}yes{% else %}no{% endif %}{%endraw%}"
destinations:
  out: {source: $transformations.events, template: short.jsont, extension: jsonl}
""",
}
DOCUMENTS["f"] = """version: 2
config: {output_dir: ./output}
sources:
  days: {file: days.jsonl}
transformations:
  events:
    source: $sources.days
    operations:
      - {operation: filter_rows, behavior: exclude, query: "school_id == 17"}
      - {operation: rename_columns, columns: {school_id: school}}
      - {operation: add_columns, columns: {year: "{%raw%}{{day[0:4]}}{%endraw%}"}}
destinations:
  out: {source: $transformations.events, template: event.jsont, extension: jsonl}
"""
EVENT = (
    '{"id": {{id}}, "school": {{school}}, "name": {{name|tojson}}, "day": "{{day}}", "year": {{year}}, "score": {{score}}, '
    '"present": "{{present}}", "duration": "{{duration}}", "at": "{{updated_at}}", "note": {{note|tojson}}}'
)
LISTS = """version: 2
config: {output_dir: ./output}
sources:
  lists: {file: FILE}
destinations:
  out: {source: $sources.lists, template: loops.jsont, extension: jsonl}
"""
SHAPE = """version: 2
config: {output_dir: ./output}
sources:
  shapes: {file: shapes.tsv}
destinations:
  out: {source: $sources.shapes, template: NAME.jsont, extension: jsonl}
"""
DOCUMENTS |= {name: SHAPE.replace("NAME", name) for name in SHAPES}
DOCUMENTS |= {"d": LISTS.replace("FILE", "lists.tsv"), "e": LISTS.replace("FILE", "different.tsv")}
SHORT = '{"day": "{{day}}", "school": {{school}}, "category": {{category|tojson}}{% if long == "yes" %}, "year": {{year}}{% endif %}}'
LONG = (5_000_000, 10_000_000, 50_000_000)  # rows


def make_rows(folder: Path, rows: int) -> None:
    """days.tsv, schools.csv and row.jsont: the same bytes for the same number of rows."""
    import numpy as np
    import polars as pl

    chance = np.random.default_rng(RANDOM)
    folder.mkdir(parents=True, exist_ok=True)
    days = [f"{year}-{month:02}-{day:02}" for year in (2023, 2024) for month in range(1, 13) for day in range(1, 29)]
    school = pl.Series(chance.integers(0, SCHOOLS, rows) + 100_000)
    table = pl.DataFrame(
        {
            "day": pl.Series(days)[chance.integers(0, len(days), rows)],
            "school_id": school.cast(pl.String),
            "session": pl.Series(["Fall", "Spring", "Summer"])[chance.integers(0, 3, rows)],
            "student_id": pl.Series(chance.integers(0, 500_000, rows) + 1_000_000).cast(pl.String),
            "attended": pl.Series(chance.choice(["0", "1", "2"], rows, p=[0.05, 0.9, 0.05])),
            "duration": pl.Series(chance.integers(0, 60, rows)).cast(pl.String),
        }
    )
    table.write_csv(folder / "days.tsv", separator="\t")
    # one school in a hundred is not in the list, so that the join leaves something missing
    known = [number for number in range(SCHOOLS) if number % 100]
    pl.DataFrame(
        {
            "school": [str(100_000 + number) for number in known],
            "name": [f'École n° {number} "{number % 7}"' for number in known],
            "city": [f"City {number % 97} & Co" for number in known],
        }
    ).write_csv(folder / "schools.csv")
    (folder / "row.jsont").write_text(TEMPLATE, encoding="utf-8")


def make_long(folder: Path, rows: int) -> None:
    """As make_rows, with the same million rows again and again: what is measured does not look behind a batch."""
    make_rows(folder, 1_000_000)
    (folder / "short.jsont").write_text(SHORT, encoding="utf-8")
    body = (folder / "days.tsv").read_bytes().split(b"\n", 1)[1]
    with (folder / "days.tsv").open("ab") as file:
        for _ in range(rows // 1_000_000 - 1):
            file.write(body)


def make_lists(folder: Path, rows: int) -> None:
    """lists.tsv and loops.jsont: programs of a student between semicolons, and scores as JSON."""
    import numpy as np

    chance = np.random.default_rng(RANDOM)
    lists = []
    for _ in range(rows):
        programs = ";".join(PROGRAMS[one] for one in chance.integers(0, len(PROGRAMS), chance.integers(0, 4)))
        taken, points = chance.integers(0, len(SUBJECTS), chance.integers(0, 5)), chance.integers(0, 100, 4)
        scores = [{"subject": SUBJECTS[one], "points": int(found)} for one, found in zip(taken, points, strict=False)]
        lists.append((programs, scores))
    write_lists(folder / "lists.tsv", lists)


def make_different(folder: Path, rows: int) -> None:
    """different.tsv: as lists.tsv, but no program's name and no subject is there twice."""
    import numpy as np

    chance = np.random.default_rng(RANDOM)
    lists = []
    for number in range(rows):
        many, more = (int(one) for one in chance.integers(0, 5, 2))
        points = [int(one) for one in chance.integers(0, 100, more)]
        programs = ";".join(f"p {number} group {place}" for place in range(many))
        scores = [{"subject": f"{SUBJECTS[place]} {number}", "points": found} for place, found in enumerate(points)]
        lists.append((programs, scores))
    write_lists(folder / "different.tsv", lists)


def write_lists(file: Path, lists: list[tuple[str, list]]) -> None:
    """A row for each, and the template for them beside it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["student_id\tday\tprograms\tscores"]
    for number, (programs, scores) in enumerate(lists):
        text = json.dumps(scores, ensure_ascii=False).replace('"', '""')
        lines.append(f'{1_000_000 + number}\t2024-{1 + number % 12:02}-{1 + number % 28:02}\t{programs}\t"{text}"')
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    (file.parent / "loops.jsont").write_text(LOOPS, encoding="utf-8")


def make_shapes(folder: Path, rows: int) -> None:
    """shapes.tsv, and the templates with loops of all shapes."""
    chance = random.Random(RANDOM)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(["id", "name", "codes", *(f"score_{n}" for n in range(1, 9)), "city", "day", "grade", "note"])]
    for number in range(rows):
        codes = ";".join(f"{chance.randrange(10_000)}:{chance.choice('abc')}" for _ in range(chance.randrange(5)))
        scores = [str(chance.randrange(101)) if chance.random() < 0.6 else "" for _ in range(8)]
        name = f"{chance.choice(('Ann', 'Bob', 'Zoë', 'Émile'))} {number % 977}"
        lines.append("\t".join([f"{number:07}", name, codes, *scores, f"City {number % 97}", "2024-01-02", "3", "n/a"]))
    (folder / "shapes.tsv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    for file, text in {**PARTS, **{f"{name}.jsont": text + "\n" for name, text in SHAPES.items()}}.items():
        (folder / file).write_text(text, encoding="utf-8")


def make_lines(folder: Path, rows: int) -> None:
    """days.jsonl and event.jsont: numbers, texts, numbers in quotes, true and false, times, and some that are null."""
    import numpy as np

    chance = np.random.default_rng(RANDOM)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "event.jsont").write_text(EVENT, encoding="utf-8")
    with (folder / "days.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            school, month, day, hour, minute, duration = (int(one) for one in chance.integers(0, (10_000, 12, 28, 24, 60, 66)))
            date = f"2024-{1 + month:02}-{1 + day:02}"
            row = {
                "id": 1_000_000 + number,
                "school_id": str(school),
                "name": f'École {school} "x"' if number % 5 == 0 else f"School {school}",
                "day": date,
                "score": round(float(chance.random()) * 100, 2),
                "present": duration > 5,
                "duration": duration if duration < 60 else None,
                "updated_at": f"{date}T{hour:02}:{minute:02}:00Z",
                "note": None if minute % 2 else "nothing to say",
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def make_job(folder: Path, name: str) -> Path:
    """The document of a job, beside the rows; its output goes to a folder of its own."""
    document = folder / f"{name}.yaml"
    document.write_text(DOCUMENTS[name].replace("./output", f"./{name}"), encoding="utf-8")
    return document


def make_wide(folder: Path) -> Path:
    """500 operations on 10 rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "few.csv").write_text("id,text\n" + "".join(f"{number},x{number}\n" for number in range(10)))
    lines = ["version: 2", "config: {output_dir: ./output}", "sources:", "  few: {file: few.csv}", "transformations:", "  all:"]
    lines += ["    source: $sources.few", "    operations:"]
    for number in range(OPERATIONS):
        expression = f"{{%raw%}}{{{{id}}}}-{number}{{{{text}}}}{{%endraw%}}"
        lines.append(f'      - {{operation: add_columns, columns: {{added_{number % 50}: "{expression}"}}}}')
    lines += ["destinations:", "  out: {source: $transformations.all, extension: jsonl}", ""]
    document = folder / "wide.yaml"
    document.write_text("\n".join(lines), encoding="utf-8")
    return document


def ours(*words: object) -> list[object]:
    return [sys.executable, "-m", "impl.tabular.command", *words]


def peers(python: str, *words: object) -> list[object]:
    return ["env", "PYTHONHASHSEED=0", Path(python).parent / "earthmover", *words]


def same(one: Path, other: Path) -> str:
    """How two files compare, without holding them."""
    with one.open("rb") as a, other.open("rb") as b:
        while True:
            left, right = a.read(1 << 20), b.read(1 << 20)
            if left != right:
                break
            if not left:
                return f"the same {one.stat().st_size:,} bytes"
    if sorted(one.read_bytes().splitlines()) == sorted(other.read_bytes().splitlines()):
        return "THE SAME LINES IN ANOTHER ORDER"
    return "NOT THE SAME"


def say(name: str, costs: Cost) -> None:
    print(f"{name:<44} {costs}", flush=True)


def middle(many: list[Cost]) -> Cost:
    """The run with the middle of CPU seconds."""
    return sorted(many, key=lambda one: one.cpu)[(len(many) - 1) // 2]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--peer", help="Python with the peer")
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--jobs", default="a,b,c,d,e,shapes,f,start,wide")
    arguments.add_argument("--runs", type=int, default=1)
    arguments.add_argument("--folder", type=Path, help="where to keep the generated files (default: a temporary folder)")
    arguments.add_argument("--long", action="store_true", help="also up to 50 million rows, for the memory")
    arguments.add_argument("--alone", action="store_true", help="only ours")
    wish = arguments.parse_args()
    if not wish.peer and not wish.alone:
        arguments.error("name the peer's Python with --peer, or run --alone")
    environment = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    # both with their bytecode at hand: an environment that forbids to write it would let each start compile everything
    environment["env"].pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as temporary:
        warm = make_wide(Path(temporary))
        warm.write_text(warm.read_text().split("      - {operation")[0].replace("operations:", "operations: []")
                        + "destinations:\n  out: {source: $transformations.all}\n")  # fmt: skip
        for command in (ours("run", "-c", warm), *([] if wish.alone else [peers(wish.peer, "run", "-c", warm)])):
            cost(command, **environment)
        folder = (wish.folder or Path(temporary)).resolve()
        jobs = [job for one in wish.jobs.split(",") for job in (SHAPES if one == "shapes" else [one])]
        if set(jobs) & {"a", "b", "c"}:
            make_rows(folder, wish.rows)
        for names, make in (({"d"}, make_lists), ({"e"}, make_different), (set(SHAPES), make_shapes)):
            if names & set(jobs):
                make(folder, wish.rows // 5)
        if "f" in jobs:
            make_lines(folder, wish.rows)
        for name in jobs:
            if name == "start":
                title, document = "start (--version)", None
            elif name == "wide":
                title, document = f"{OPERATIONS} operations on 10 rows", make_wide(folder)
            else:
                title, document = f"job {name}, {wish.rows // (1 if name in 'abcf' else 5):,} rows", make_job(folder, name)
            print(f"\n{title}")
            words: list[object] = ["-v"] if document is None else ["run", "-c", document]
            made = {}
            found: dict[str, list[Cost]] = {"mover": [], "earthmover": []}
            for _ in range(wish.runs):
                for who, command in (("mover", ours(*words)), ("earthmover", peers(wish.peer or "", *words))):
                    if who == "earthmover" and wish.alone:
                        continue
                    out = folder / ("output" if name == "wide" else name) / "out.jsonl"
                    out.unlink(missing_ok=True)
                    if name == "wide" and who == "earthmover":
                        command = ["timeout", str(PATIENCE), *command]
                    try:
                        found[who].append(cost(command, **environment))
                    except SystemExit:
                        if name != "wide" or who == "mover":
                            raise
                        print(f"earthmover was not done after {PATIENCE} s")
                        continue
                    if document is not None:
                        made[who] = out.rename(folder / f"{name}.{who}.jsonl")
            for who, many in found.items():
                if many:
                    say(who, middle(many))
            if found["earthmover"]:
                one, other = middle(found["mover"]), middle(found["earthmover"])
                print(
                    f"ratio: {other.cpu / one.cpu:.1f}x CPU, {other.wall / one.wall:.1f}x wall, {other.memory / one.memory:.1f}x memory"
                )
            if len(made) == 2:
                print(f"output: {same(made['mover'], made['earthmover'])}")
            sys.stdout.flush()
        if wish.long:
            print("\nmemory by rows")
            for rows in LONG:
                make_long(folder / "long", rows)
                for name in ("chain", "a"):
                    document = make_job(folder / "long", name)
                    say(f"{name}, {rows:,} rows", cost(ours("run", "-c", document), **environment))
                    shutil.rmtree(folder / "long" / name)
            shutil.rmtree(folder / "long")


if __name__ == "__main__":
    main()
