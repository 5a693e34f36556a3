"""The image encoder, for scripts that ask whether they have one; built from a `VitConfig`."""

from anymask.models.vit import Attention, Block, PatchEmbed
from anymask.models.vit import ImageEncoder as ImageEncoderViT

__all__ = ["Attention", "Block", "ImageEncoderViT", "PatchEmbed"]
