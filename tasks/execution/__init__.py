"""Units of work: planned, run on the engine, divided where they kill a worker, committed."""
