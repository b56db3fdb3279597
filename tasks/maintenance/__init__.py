"""What is done to a destination between runs: prune, verify, status."""
