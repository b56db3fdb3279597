"""What `congeal propagate` and `transfer` carry: points and edits, from files."""
