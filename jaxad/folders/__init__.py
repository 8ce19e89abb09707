"""Folders of photographs: what is in them, and what is made of them. Looking into one starts no device."""

from jaxad import _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
