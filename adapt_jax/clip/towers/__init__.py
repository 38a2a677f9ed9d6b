"""CLIP's image and text towers as pure functions."""
