"""TR2M (paper, Figure 2): rescale maps from an image and a sentence, and the authors' weights for it."""
