"""The kinds of thing that the samples show, one module each."""
