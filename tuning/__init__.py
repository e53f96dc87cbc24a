"""Hyperparameter search over any application."""

from applications.core.search_space import Choice, Integer, Real
from tuning.job import Search, search
from tuning.settings import Settings

__all__ = ["Choice", "Integer", "Real", "Search", "Settings", "search"]
