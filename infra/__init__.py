"""The ground floor: storage, layouts, commits, settings and the compute engine. Knows nothing of images."""
