"""Data sets: embedded TFDS builders, readers for the user's own files, splits."""
