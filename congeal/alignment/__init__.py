"""Joint alignment of the images of a set: poses, dense maps, the atlas."""
