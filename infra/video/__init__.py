"""Clips as their frames: which there are, any of them as an image, and MP4 files of new ones. Uses PyAV."""
