"""Item models: rows of the project for views."""
