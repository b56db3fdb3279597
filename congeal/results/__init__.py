"""Published results, read and queried. The only package of congeal that stands on storage."""
