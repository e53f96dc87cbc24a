"""Networks that lay one image on another."""
