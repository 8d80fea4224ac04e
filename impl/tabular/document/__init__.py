"""Reads a document: the file is found, its variables put in, its Jinja rendered, its YAML read, its packages merged, its keys checked.

document = load(None, variables=os.environ, folder=Path.cwd())
document.sources["x"].spec(document.problems)      # the options of a node, each with the line in which it was written

Lines are those of the file as written (`rendering.py` says how).
"""

from impl.tabular.document.files import find
from impl.tabular.document.loading import Document, Node, load

__all__ = ["Document", "Node", "find", "load"]
