"""Readers: files, databases and servers in, batches out. `open_source` chooses by the options of a source."""
