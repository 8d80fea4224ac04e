"""The compiled program for the properties too."""

from ..ncproj.conftest import ncproj

__all__ = ["ncproj"]
