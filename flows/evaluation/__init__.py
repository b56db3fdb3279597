"""`congeal evaluate`: the main job on an annotated set, and how right what it publishes is."""
