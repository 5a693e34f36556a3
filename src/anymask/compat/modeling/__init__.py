"""SAM as the original has it: three modules to call one by one, above all for fine-tuning.

The networks are those of `anymask.models`, only the arguments are the original's. The keys of
``state_dict()`` are those of the published files.
"""

from anymask.compat.modeling.image_encoder import ImageEncoderViT
from anymask.compat.modeling.mask_decoder import MaskDecoder
from anymask.compat.modeling.prompt_encoder import PromptEncoder
from anymask.compat.modeling.sam import Sam
from anymask.compat.modeling.tiny_vit_sam import TinyViT
from anymask.compat.modeling.transformer import TwoWayTransformer

__all__ = [
    "ImageEncoderViT",
    "MaskDecoder",
    "PromptEncoder",
    "Sam",
    "TinyViT",
    "TwoWayTransformer",
]
