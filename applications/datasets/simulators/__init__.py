"""Physical simulators in NumPy and SciPy: seeded, documented, independent of any framework."""
