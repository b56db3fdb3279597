"""What lies in a destination beside the tables, as it is stored: maps, instances, templates, pictures."""
