"""The version of the package, which results, caches and exports record."""

__version__ = "0.1.0"
