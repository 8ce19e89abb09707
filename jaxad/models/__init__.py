"""Flax models: pure `init` and `apply`, no losses, no optimisers. The only room that imports `flax.linen`."""

from jaxad.models.patch_vae import PatchVAE, PatchVAEOutput

__all__ = ["PatchVAE", "PatchVAEOutput"]
