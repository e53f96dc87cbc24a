"""Measurements: quality over several seeds, and speed side by side. Never part of the tests."""
