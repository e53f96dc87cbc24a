"""Hyperparameter search over any application."""

from applications.core.search_space import Choice, Integer, Real
from tuning.job import Search, Settings, search

__all__ = ["Choice", "Integer", "Real", "Search", "Settings", "search"]
