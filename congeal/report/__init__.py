"""What the report's pages are made of: quantised maps, sheets of thumbnails, data scripts, the shell."""
