"""Other programs' files of annotations: COCO, TPS, DeepLabCut, SLEAP."""
