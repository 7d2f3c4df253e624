"""The methods of DA-Fusion, one file each: `run(spec, inputs, units, ctx) -> None`.

A method is a function of its spec, its input files and its units. It knows neither the project
file nor processes; all it tells goes through the context.
"""
