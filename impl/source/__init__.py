"""Reads what others made: pinned downloads, shapefiles, grids; and makes sample data of the same shape."""
