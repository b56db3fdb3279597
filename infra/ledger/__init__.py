"""What is done: committed units, published versions, and who is at work."""
