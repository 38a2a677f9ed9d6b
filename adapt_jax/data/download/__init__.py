"""Downloading, unpacking and remembering published data sets."""
