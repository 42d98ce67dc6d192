"""The daemon, its Docker Engine API and its command line."""

__version__ = "0.1.0"

__all__ = ["__version__"]
