"""Hyperparameter search over any application."""
