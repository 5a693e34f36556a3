"""MobileSAM's image encoder, for scripts that ask whether they have one."""

from anymask.models.tiny_vit import TinyVit as TinyViT

__all__ = ["TinyViT"]
