"""One run: its parameters, what is looked at before it, its stages in order, what is told of it."""
