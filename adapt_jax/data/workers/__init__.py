"""Worker processes that decode and crop images during training."""
