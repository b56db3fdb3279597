"""The report: a static site of what is published, made of units like the stages of a run."""
