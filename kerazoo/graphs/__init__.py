"""Networks that label every node of a graph."""
