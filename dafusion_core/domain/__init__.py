"""Plain values that every other part speaks in: records, specs, inputs, errors."""
