"""What Congeal is worth, measured: see README.md of this folder."""
