"""Scoring and training on accelerators: timed on one that is there, or compiled for some that are not."""
