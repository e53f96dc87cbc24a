"""Networks that make a better image out of an image."""
