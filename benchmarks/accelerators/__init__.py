"""Scoring and training on accelerators: timed on one that is there, or compiled for some that are not."""

PRECISIONS = {
    "TF32": ("tensorfloat32", "float32"),
    "float32": ("float32", "float32"),
    "bfloat16": ("tensorfloat32", "bfloat16"),
}
"""What products may round float32 operands to, where the code asks for nothing else; and what models compute in."""
