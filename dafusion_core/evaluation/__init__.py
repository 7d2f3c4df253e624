"""What came of it: accuracy, comparison of arms with uncertainty, and the report. numpy only."""
