"""The training step and everything that feeds it."""
