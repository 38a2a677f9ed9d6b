"""What every folder shares: mathematics on arrays, registries, files, image files and errors."""
