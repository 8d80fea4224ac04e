"""The dataset census: two tables, joined by a document of the tabular engine."""

import json


def rows(raw, table):
    names, *rest = json.loads((raw / f"sf1_{table}_2010.json").read_text())
    return {f"G{row['state']}0{row['county']}0": row for row in (dict(zip(names, one, strict=True)) for one in rest)}


def test_a_row_of_each_county_has_what_both_tables_say(staged):
    staged.invoke("census.stage")
    raw = staged.data / "local/raw/census"
    people, homes = rows(raw, "population"), rows(raw, "housing")
    found = {row.pop("gis_join"): row for row in staged.query("select * from census_county")}
    assert found.keys() == people.keys() == {row["gis_join"] for row in staged.query("select gis_join from region_county")}
    for county, row in found.items():
        assert row == {
            "population": int(people[county]["P001001"]),
            "median_age_years": float(people[county]["P013001"]),
            "housing_units": int(homes[county]["H003001"]),
            "occupied_housing_units": int(homes[county]["H003002"]),
            "vacant_housing_units": int(homes[county]["H003003"]),
        }
    assert "[+]" not in staged.invoke("census.stage").stderr


def test_tables_that_do_not_fit_together_are_refused_and_named(staged, tmp_path):
    staged.invoke("census.stage")
    before = staged.invoke("store.show", "census_county").stdout
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for file in [*(staged.data / "local/raw/census").iterdir(), *(staged.data / "local/raw/region").iterdir()]:
        (mirror / file.name).write_bytes(file.read_bytes())
    housing = json.loads((mirror / "sf1_housing_2010.json").read_text())
    housing[7][1] = str(int(housing[7][1]) + 1)  # occupied and vacant are no longer all of them
    (mirror / "sf1_housing_2010.json").write_text(json.dumps(housing))
    failed = staged.type("census.stage", ETL_SOURCE=f"mirror:{mirror}")
    assert failed.returncode == 1
    assert "1 of 342 rows of $transformations.counties are not as expected" in failed.stderr
    assert "census.yaml, line 52: $transformations.counties, `expect`" in failed.stderr
    assert staged.invoke("store.show", "census_county").stdout == before


def test_the_document_runs_by_hand_too(staged, tmp_path):
    staged.invoke("census.stage")
    raw = staged.data / "local/raw/census"
    params = json.dumps({"POPULATION": f"{raw}/sf1_population_2010.json", "HOUSING": f"{raw}/sf1_housing_2010.json"})
    shown = staged.invoke("tabular.show", "people", "--limit", "1", "-c", "task/census.yaml", "--params", params).stdout
    first = next(iter(rows(raw, "population").values()))
    assert first["P001001"] in shown and "gis_join" in shown
    done = staged.type("tabular.run", "-c", "task/census.yaml", "--params", params, "--set", f"config.output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "county").stat().st_size > 1000
    missing = staged.type("tabular.run", "-c", "task/cenus.yaml")
    assert missing.returncode == 255 and "census.yaml" in missing.stderr
