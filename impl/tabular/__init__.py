"""The tabular engine: YAML documents in, files and tables out.

A document maps tables: sources -> transformations -> destinations, with Jinja in it and Jinja templates for what is
written (docs/tabular.md). It is read and checked as a whole (`document/`, `plan.py`) before a row is read; rows then
flow in batches of Polars frames (`flow.py`, `run.py`). Importing this costs nothing.
"""
