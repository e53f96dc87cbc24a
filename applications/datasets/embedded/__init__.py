"""Data sets that need no network, as TFDS builders (`digits`, `nuclei`, `imu`).

The builder modules import tensorflow_datasets at their top (a builder is a subclass); nothing imports them
before data are loaded.
"""
