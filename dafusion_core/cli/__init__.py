"""The command line: every verb calls the API that notebooks use."""
