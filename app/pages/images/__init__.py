"""The real pictures."""
