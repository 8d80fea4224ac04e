"""Pure steps between source and store: rows in, rows out."""
