"""Daily downscaled climate of the contiguous United States by county (MACAv2-METDATA, CMIP5).

Variables, columns, licence, an example row and known gaps: docs/macav2.md
"""

from impl.ncproj import tool as ncproj
from impl.run import wanted
from impl.run.checkpoint import checkpoint
from impl.run.namespace import dataset, task
from impl.source import sample
from impl.steps import Pin, collection, raw_file
from impl.transform import wide
from impl.view.day import map_of_day
from task import ncproj as program
from task import region

SETTINGS = {  # name below `macav2`: (default, meaning). Lists are written with commas, `all` is all
    "models": ("CCSM4", "climate models: names as in docs/macav2.md, or `all` 20"),
    "scenarios": ("historical", "`historical` (1950-2005), `rcp45`, `rcp85` (2006-2099), or `all`"),
    "years": ("2004-2005", "years and spans of years: `1990-1999,2005`; those that a scenario lacks are passed over"),
    "variables": ("all", "file names of variables: tasmax, tasmin, rhsmax, rhsmin, pr, rsds, huss, uas, vas, vpd"),
    "server": (
        "https://climate.northwestknowledge.net/thredds/fileServer/MACAV2",
        "the folder of models at the publisher, for source `remote`",
    ),
}
MODELS = (
    "bcc-csm1-1", "bcc-csm1-1-m", "BNU-ESM", "CanESM2", "CCSM4", "CNRM-CM5", "CSIRO-Mk3-6-0", "GFDL-ESM2G",
    "GFDL-ESM2M", "HadGEM2-CC365", "HadGEM2-ES365", "inmcm4", "IPSL-CM5A-LR", "IPSL-CM5A-MR", "IPSL-CM5B-LR",
    "MIROC5", "MIROC-ESM", "MIROC-ESM-CHEM", "MRI-CGCM3", "NorESM1-M",
)  # fmt: skip
RUNS = {"CCSM4": "r6i1p1"}  # all others: r1i1p1
SCENARIOS = {"historical": (1950, 2005), "rcp45": (2006, 2099), "rcp85": (2006, 2099)}  # five years a file, from the first
VARIABLES = {  # in the file's name: (inside the file, column stem with unit, unit, meaning)
    "tasmax": ("air_temperature", "daily_high_temperature_kelvin", "K", "highest air temperature of the day at 2 m"),
    "tasmin": ("air_temperature", "daily_low_temperature_kelvin", "K", "lowest air temperature of the day at 2 m"),
    "rhsmax": ("relative_humidity", "daily_high_relative_humidity_percent", "%", "highest relative humidity of the day"),
    "rhsmin": ("relative_humidity", "daily_low_relative_humidity_percent", "%", "lowest relative humidity of the day"),
    "pr": ("precipitation", "precipitation_mm", "mm", "precipitation of the day"),
    "rsds": (
        "surface_downwelling_shortwave_flux_in_air",
        "shortwave_radiation_w_per_m2",
        "W m-2",
        "solar radiation, day's mean",
    ),
    "huss": ("specific_humidity", "specific_humidity_kg_per_kg", "kg kg-1", "specific humidity, day's mean"),
    "uas": ("eastward_wind", "eastward_wind_m_per_s", "m s-1", "wind towards the east at 10 m, day's mean"),
    "vas": ("northward_wind", "northward_wind_m_per_s", "m s-1", "wind towards the north at 10 m, day's mean"),
    "vpd": ("vpd", "vapor_pressure_deficit_kpa", "kPa", "vapor pressure deficit, day's mean"),
}
STATISTICS = {
    "min": "lowest of the county's cells",
    "max": "highest of the county's cells",
    "mean": "area-weighted mean over the county",
}
LICENCE = "CC0 1.0 (Northwest Knowledge Network, University of Idaho)"
KEY = ["gis_join", "timestamp", "model", "scenario"]
COLUMNS = {
    "gis_join": "join code of the county, as in region_county",
    "timestamp": ("UTC", "the day, at 00:00"),
    "model": "climate model",
    "scenario": "historical, rcp45 or rcp85",
    "year": "year of the day",
    **{
        f"{statistic}_{stem}": (unit, f"{meaning}: {over}")
        for _, stem, unit, meaning in VARIABLES.values()
        for statistic, over in STATISTICS.items()
    },
    "valid_share": ("1", "share of the county's area in cells with a value; the lowest over the variables"),
}


def files(c):
    """The raw files that the settings want: (variable, model, scenario, first year, last year, wanted years of these)."""
    wish = c.macav2
    years = wanted.years(wish.years, 1950, 2099, "macav2.years")
    for model in wanted.names(wish.models, MODELS, "macav2.models"):
        for scenario in wanted.names(wish.scenarios, SCENARIOS, "macav2.scenarios"):
            for first, last in wanted.spans(*SCENARIOS[scenario], length=5):
                inside = [year for year in years if first <= year <= last]
                for variable in wanted.names(wish.variables, VARIABLES, "macav2.variables") if inside else ():
                    yield variable, model, scenario, first, last, inside


def file_name(variable, model, scenario, first, last):
    run = RUNS.get(model, "r1i1p1")
    return f"macav2metdata_{variable}_{model}_{run}_{scenario}_{first}_{last}_CONUS_daily.nc"


def stage(c):
    """Publisher, mirror or sample -> raw netCDF files, one per variable and five years."""
    for variable, model, scenario, first, last, years in files(c):
        name = file_name(variable, model, scenario, first, last)
        pin = Pin(f"{c.macav2.server}/{model}/{name}", licence=LICENCE)
        facts = {"variable": variable, "model": model, "run": RUNS.get(model, "r1i1p1"), "scenario": scenario}
        yield raw_file(
            c, f"macav2.{variable}.{model}.{scenario}.{first}.raw", c.env.raw / f"macav2/{model}/{name}", pin,
            sample.macav2, **facts, first_year=first, last_year=last, years=years,
        )  # fmt: skip


def index(c):
    """Grid of the first raw file x county boundaries -> the share of each cell that each county covers."""
    variable, model, scenario, first, last, _ = next(files(c))
    grid = c.env.raw / f"macav2/{model}/{file_name(variable, model, scenario, first, last)}"
    counties, tool, target = region.rows(c, "county"), program.path(c), c.env.cache / "macav2/county.index"
    yield checkpoint(
        "macav2.index", ncproj.index, tool, counties, grid, target, key="gis_join",
        file_dep=[tool, counties, grid], targets=[target],
    )  # fmt: skip


def build(c):
    """Raw file x index -> rows by county and day; rows of all variables of a year -> collection macav2_county."""
    tool, county_index = program.path(c), c.env.cache / "macav2/county.index"
    together: dict[tuple, list] = {}
    for variable, model, scenario, first, last, years in files(c):
        name = file_name(variable, model, scenario, first, last)
        raw, target = c.env.raw / f"macav2/{model}/{name}", c.env.cache / f"macav2/county/{name}".replace(".nc", ".parquet")
        inside, stem, *_ = VARIABLES[variable]
        yield checkpoint(
            f"macav2.{variable}.{model}.{scenario}.{first}.rows", ncproj.aggregate, tool, county_index, [raw], target,
            variables={inside: stem}, statistics=[*STATISTICS, "valid"],
            file_dep=[tool, county_index, raw], targets=[target],
        )  # fmt: skip
        for year in years:
            together.setdefault((model, scenario, year), []).append(target)
    for (model, scenario, year), parts in together.items():
        name, target = f"macav2.{model}.{scenario}.{year}", c.env.cache / f"macav2/county/{model}_{scenario}_{year}.parquet"
        yield checkpoint(
            f"{name}.rows", wide.side_by_side, parts, target, key=["gis_join", "time"], rename={"time": "timestamp"},
            year=year, lowest={"valid_": "valid_share"}, file_dep=parts, targets=[target],
        )  # fmt: skip
        stems = [VARIABLES[variable][1] for variable in wanted.names(c.macav2.variables, VARIABLES, "macav2.variables")]
        values = [f"{statistic}_{stem}" for stem in stems for statistic in STATISTICS]
        yield collection(
            c, f"{name}.load", "macav2_county", target, key=KEY, part={"model": model, "scenario": scenario, "year": year},
            columns={column: COLUMNS[column] for column in (*KEY, "year", *values, "valid_share")},
            description="One row per county, day, model and scenario: daily weather over the county's area",
            source="MACAv2-METDATA, climate.northwestknowledge.net", licence=LICENCE, after=["region.county.load"],
        )  # fmt: skip


@task(
    help={
        "variable": "a column of macav2_county, as in docs/macav2.md",
        "date": "the day: 2005-07-15",
        "region": "only one state: state:NAME",
        "model": "climate model (default: the first wanted one)",
        "scenario": "default: the first wanted one",
        "to": "the picture to write (default: below the data folder)",
    }
)
def map(c, variable, date, region="", model="", scenario="", to=""):
    """Draw a map of the counties for one variable and day (PNG)"""
    model = model or wanted.names(c.macav2.models, MODELS, "macav2.models")[0]
    scenario = scenario or wanted.names(c.macav2.scenarios, SCENARIOS, "macav2.scenarios")[0]
    place = f"_{region.partition(':')[2]}".replace(" ", "_") if region else ""
    target = to or c.env.data / f"maps/{variable}_{model}_{scenario}_{date}{place}.png"
    print(
        map_of_day(
            c.env.store, target, collection="macav2_county", column=variable, day=date, region=region,
            where={"model": model, "scenario": scenario},
        )
    )  # fmt: skip


namespace = dataset("macav2", stage=stage, index=index, build=build, tasks=[map], settings=SETTINGS)
