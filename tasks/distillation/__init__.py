"""A student trained on the features of a source, unit by unit."""
