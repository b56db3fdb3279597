"""Formats that other tools read and write: COCO JSON, TPS. Bytes in, records out, and back."""
