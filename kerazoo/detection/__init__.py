"""Networks that find objects, and what turns their maps into objects."""
