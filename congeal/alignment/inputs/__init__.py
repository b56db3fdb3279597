"""What the solver is given: features, saliency, tokens, batches of sets."""
