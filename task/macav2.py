"""Daily downscaled climate of the contiguous United States by county (MACAv2-METDATA, CMIP5).

Variables, columns, licence, an example row and known gaps: docs/macav2.md
"""

from itertools import islice
from typing import NamedTuple

from impl.ncproj import tool as ncproj
from impl.run import wanted
from impl.run.checkpoint import checkpoint
from impl.run.namespace import dataset, task
from impl.source import sample
from impl.steps import Pin, collection, kept_parts, raw_file
from impl.store.checks import accepted_range, complete, not_null, references
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


RANGES = {  # by unit: least and greatest that a day over a county can have
    "K": (180, 340), "%": (0, 101), "mm": (0, 2000), "W m-2": (0, 600), "kg kg-1": (0, 0.05), "m s-1": (-75, 75), "kPa": (0, 15),
}  # fmt: skip
ON_THE_GRID = "state_fips not in ('02', '15', '72')"  # without Alaska, Hawaii and Puerto Rico


class File(NamedTuple):
    """One raw file of the catalogue, and the years in it that are wanted."""

    variable: str
    model: str
    scenario: str
    first_year: int
    last_year: int
    years: list[int]

    @property
    def run(self):
        return RUNS.get(self.model, "r1i1p1")

    @property
    def name(self):
        parts = (self.variable, self.model, self.run, self.scenario, self.first_year, self.last_year)
        return f"macav2metdata_{'_'.join(map(str, parts))}_CONUS_daily"

    @property
    def checkpoint(self):
        return f"macav2.{self.variable}.{self.model}.{self.scenario}.{self.first_year}"

    def raw(self, c):
        return c.env.raw / f"macav2/{self.model}/{self.name}.nc"


def files(c):
    """The files that the settings want."""
    wish = c.macav2
    years = wanted.years(wish.years, 1950, 2099, "macav2.years")
    for model in wanted.names(wish.models, MODELS, "macav2.models"):
        for scenario in wanted.names(wish.scenarios, SCENARIOS, "macav2.scenarios"):
            for first, last in wanted.spans(*SCENARIOS[scenario], length=5):
                inside = [year for year in years if first <= year <= last]
                for variable in wanted.names(wish.variables, VARIABLES, "macav2.variables") if inside else ():
                    yield File(variable, model, scenario, first, last, inside)


def stage(c):
    """Publisher, mirror or sample -> raw netCDF files, one per variable and five years."""
    for file in files(c):
        pin = Pin(f"{c.macav2.server}/{file.model}/{file.name}.nc", licence=LICENCE)
        yield raw_file(c, f"{file.checkpoint}.raw", file.raw(c), pin, sample.macav2, run=file.run, **file._asdict())


def index(c):
    """Grid of the first raw file x county boundaries -> the share of each cell that each county covers."""
    for file in islice(files(c), 1):
        reads = [program.path(c), region.rows(c, "county"), file.raw(c)]
        target = c.env.cache / "macav2/county.index"
        yield checkpoint("macav2.index", ncproj.index, *reads, target, key="gis_join", file_dep=reads, targets=[target])


def checks(variables):
    """What has to hold of the rows, with these variables."""
    for variable in variables:
        _, stem, unit, _ = VARIABLES[variable]
        low, high = RANGES[unit]
        columns = [f"{statistic}_{stem}" for statistic in STATISTICS]
        yield not_null(*columns)
        yield accepted_range(*columns, low=low, high=high)
    yield accepted_range("valid_share", low=0, high=1)
    yield references("gis_join", "region_county")
    # models whose calendar has no leap days lack 29 February
    yield complete("gis_join", "timestamp", of="region_county", where=ON_THE_GRID, calendar="either")


def build(c):
    """Raw file x index -> rows by county and day; rows of all variables of a year -> collection macav2_county."""
    tools = [program.path(c), c.env.cache / "macav2/county.index"]
    together: dict[tuple, list] = {}
    for file in files(c):
        raw, target = file.raw(c), c.env.cache / f"macav2/county/{file.name}.parquet"
        inside, stem, *_ = VARIABLES[file.variable]
        yield checkpoint(
            f"{file.checkpoint}.rows", ncproj.aggregate, *tools, [raw], target,
            variables={inside: stem}, statistics=[*STATISTICS, "valid"], file_dep=[*tools, raw], targets=[target],
        )  # fmt: skip
        for year in file.years:
            together.setdefault((file.model, file.scenario, year), []).append(target)
    variables = wanted.names(c.macav2.variables, VARIABLES, "macav2.variables")
    stems = [VARIABLES[variable][1] for variable in variables]
    columns = [*KEY, "year", *(f"{statistic}_{stem}" for stem in stems for statistic in STATISTICS), "valid_share"]
    wanted_parts = [{"model": model, "scenario": scenario, "year": year} for model, scenario, year in together]
    yield kept_parts(c, "macav2.kept", "macav2_county", c.env.cache / "macav2/kept.json", wanted_parts)
    for (model, scenario, year), parts in together.items():
        name, target = f"macav2.{model}.{scenario}.{year}", c.env.cache / f"macav2/county/{model}_{scenario}_{year}.parquet"
        yield checkpoint(
            f"{name}.rows", wide.side_by_side, parts, target, key=["gis_join", "time"], rename={"time": "timestamp"},
            year=year, lowest={"valid_": "valid_share"}, file_dep=parts, targets=[target],
        )  # fmt: skip
        yield collection(
            c, f"{name}.load", "macav2_county", target, key=KEY, part={"model": model, "scenario": scenario, "year": year},
            columns={column: COLUMNS[column] for column in columns}, checks=list(checks(variables)),
            description="One row per county, day, model and scenario: daily weather over the county's area",
            source="MACAv2-METDATA, climate.northwestknowledge.net", licence=LICENCE,
            after=["region.county.load", "macav2.kept"], reads=[region.rows(c, "county")],
        )  # fmt: skip


@task(
    name="map",
    help={
        "variable": "a column of macav2_county, as in docs/macav2.md",
        "date": "the day: 2005-07-15",
        "region": "only one state: state:NAME",
        "model": "climate model (default: the first wanted one)",
        "scenario": "default: the first wanted one",
        "to": "the picture to write (default: below the data folder)",
    },
)
def draw_map(c, variable, date, region="", model="", scenario="", to=""):
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


namespace = dataset("macav2", stage=stage, index=index, build=build, tasks=[draw_map], settings=SETTINGS)
