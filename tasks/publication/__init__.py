"""A version of a destination: what it names, and how other readers find it."""
