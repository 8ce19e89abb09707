"""Folders of photographs: what is in them, and what is made of them. Looking into one starts no device."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
