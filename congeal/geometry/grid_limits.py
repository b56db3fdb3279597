"""How large grids may be; needs no NumPy, so that settings can be read without it."""

MOST_CELLS = 1024  # along a side; what is computed grows with its square, and more
