"""Folders of photographs: what is in them, and what is made of them."""

from jaxad.folders.inspection import inspect_folder

__all__ = ["inspect_folder"]
