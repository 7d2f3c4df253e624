"""Making synthetic images."""
