"""From a folder of images to the same point on all of them, without storage:

    python examples/three_lines.py

run in a checkout; in your work, give your own folder. It writes aligned.png into the current folder.
"""

import congeal

aligned = congeal.align_images("samples/mug/images")
print(aligned.transfer("mug-01.jpg", [[150, 160]], "mug-02.jpg"))  # pixels, confidence, visible
aligned.show().save("aligned.png")
