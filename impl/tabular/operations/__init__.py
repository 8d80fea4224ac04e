"""The operations of documents, by what they work on. Importing this registers all of them."""

from impl.tabular.operations import columns, expressions, groups, order, rows, shapes, tables  # noqa: F401
