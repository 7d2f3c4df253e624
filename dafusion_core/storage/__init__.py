"""The project file: one SQLite database beside one folder of files."""
