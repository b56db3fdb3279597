"""What the owner of a collection has corrected: which records are in force, what a run makes of them."""
