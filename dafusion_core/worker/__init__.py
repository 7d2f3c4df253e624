"""The process that does the work: claim, bind, run, record."""
