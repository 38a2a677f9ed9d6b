"""A trained network and what it says about images."""
