"""Points, landmarks, annotations and edits of one image, carried to others of its cluster."""
