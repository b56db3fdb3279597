"""What a command shows, and how its process begins and ends."""
