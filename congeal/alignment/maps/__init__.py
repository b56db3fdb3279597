"""Dense maps between atlas and images: flow, guided matching, errors, confidence."""
