"""SQL over what is published: the connection, its macros, and the lookups before a query."""
