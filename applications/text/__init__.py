"""Text: reading it, and turning it into the numbers of tokens and back."""
