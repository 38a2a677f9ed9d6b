"""CLIP weights: finding, naming, loading and saving them."""
