"""What a run would take, told before it: measured on a sample of the images, on this machine."""
