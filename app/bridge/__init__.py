"""Between the core's threads and processes and the window."""
