"""Job: zero-shot OOD detection with CLIP."""
