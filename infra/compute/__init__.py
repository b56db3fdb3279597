"""The engine that runs units of work: Dask, or a loop."""
