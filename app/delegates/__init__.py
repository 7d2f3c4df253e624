"""How items are painted."""
