"""Readers: files, databases and servers in, batches out. `open_source` chooses by the options of a source."""

from impl.tabular.sources.opening import open_source
from impl.tabular.sources.source import Source

__all__ = ["Source", "open_source"]
