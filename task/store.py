"""Look at what is in the data store. What each collection holds: docs/store.md"""

from impl.run.namespace import commands, task, tasks_that_fill
from impl.store import export as exports
from impl.store import open_store, show
from impl.store.deliver import deliver


@task(name="list")
def list_collections(c):
    """List the collections: rows, size, key, fingerprint, when they were loaded"""
    print(show.list_text(open_store(c.env.store)))


@task(name="show", help={"name": "a collection; `invoke store.list` lists them"})
def show_collection(c, name):
    """Show one collection: columns with units and meaning, parts, a few rows"""
    print(show.show_text(open_store(c.env.store), name))


@task(help={"collection": "only this one", "deep": "compute fingerprints again, from all rows"})
def verify(c, collection="", deep=False):
    """Compare what lies in the store with what was loaded: files, sizes, times; with --deep all rows"""
    store = open_store(c.env.store)
    wrong = []
    for one in [collection] if collection else store.names():
        said = store.verify(one, deep)
        wrong += [one] if said else []
        print(f"{'[!]' if said else '[|]'} {one}  {'; '.join(said) or 'as it was loaded'}")
    if wrong:
        raise show.not_as_loaded(c.env, wrong, tasks_that_fill(c))


@task(
    help={
        "sql": "a query over the collections, by their names",
        "format": "table, csv, json, jsonl or parquet",
        "to": "a file to write to (default: the screen)",
        "rows": "how many rows a table shows",
    }
)
def query(c, sql, format="table", to="", rows=40):
    """Query the collections with SQL, read-only (DuckDB; PostgreSQL where the store is PostGIS)"""
    deliver(open_store(c.env.store).query(sql), format, to, rows)


@task(
    help={
        "name": "a collection; `invoke store.list` lists them",
        "to": "the file to write: .parquet (GeoParquet), .geojson, .gpkg or .csv",
        "where": "an SQL condition on the rows",
    }
)
def export(c, name, to, where=""):
    """Export one collection to a file that others read"""
    rows = exports.export(open_store(c.env.store), name, to, where=where or None)
    print(f"{rows:,} rows written to {to}")


namespace = commands("store", list_collections, show_collection, verify, query, export)
