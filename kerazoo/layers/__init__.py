"""Layers that Keras does not have, registered under the package name `kerazoo`."""
