"""Writes the inputs of golden projects that are no text: python tests/tabular/golden/make.py FOLDER."""

import sqlite3
import sys
from pathlib import Path


def typed(folder: Path) -> None:
    """The same three rows as Parquet, Feather, ORC, Stata, SAS, SPSS, Excel and SQLite."""
    import pandas
    import pyarrow
    import pyreadstat
    from pyarrow import feather, orc, parquet

    rows = {"gauge": ["G1", "G2", "007"], "mm": [1, 2, 3], "share": [0.5, 2.0, 1e-7], "note": ["é", "", "NA"]}
    table = pyarrow.table(rows)
    missing = pyarrow.table({**rows, "note": ["é", None, ""], "mm": pyarrow.array([1, None, 3], pyarrow.int64())})
    parquet.write_table(missing, folder / "days.parquet")
    (folder / "days").mkdir()
    parquet.write_table(table, folder / "days/part.0.parquet")
    feather.write_feather(table, folder / "days.feather")
    orc.write_table(table, folder / "days.orc")
    frame = pandas.DataFrame(rows)
    frame.to_stata(folder / "days.dta", write_index=False, version=118)
    pyreadstat.write_sav(frame, str(folder / "days.sav"), variable_value_labels={"mm": {1: "one", 2: "two", 3: "three"}})
    plain = frame.assign(note=["e", "", "NA"])  # of this format only the ASCII letters are sure
    pyreadstat.write_xport(plain, str(folder / "days.xpt"), file_format_version=5, table_name="DAYS")
    with pandas.ExcelWriter(folder / "days.xlsx", engine="openpyxl") as book:
        frame.to_excel(book, sheet_name="days", index=False)
        titled = pandas.DataFrame([["a title", None], ["gauge", "mm"], ["G1", 1], ["G2", 2.5]])
        titled.to_excel(book, sheet_name="other", index=False, header=False)
        levels = pandas.DataFrame([["gauge", "rain", None], [None, "mm", "share"], ["G1", 1, 0.5], ["007", 3, 1e-7]])
        levels.to_excel(book, sheet_name="levels", index=False, header=False)
    with sqlite3.connect(folder / "days.sqlite") as base:
        base.execute("create table days (gauge text, mm integer, share real)")
        base.executemany("insert into days values (?, ?, ?)", [("G1", 1, 0.5), ("G2", None, 2.0), ("007", 3, 1e-7)])
    base.close()


MAKERS = {"typed": typed}

if __name__ == "__main__":
    typed(Path(sys.argv[1]))
