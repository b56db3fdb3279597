"""What a run under a Prefect server has beyond a plain one: forms, slots, artifacts."""
