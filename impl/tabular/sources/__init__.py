"""Readers: files, databases and servers in, batches out. `open_source` chooses by the options of a source."""

from impl.tabular.sources.opening import open_source
from impl.tabular.sources.source import GLOBAL, Source

__all__ = ["GLOBAL", "Source", "open_source"]
