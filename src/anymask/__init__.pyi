"""The public names, once: whoever adds one adds a line here, in the alphabet's order of modules.

Type checkers and editors read this file; at run time `__init__.py` makes of it where each name is
loaded from when it is first used. ``tests/guards/test_public_names.py`` holds the list to it.
"""

from .batch.personalize import personalize as personalize
from .batch.process import process as process
from .batch.track import track as track
from .client import Client as Client
from .config import GenerateConfig as GenerateConfig
from .config import InstanceConfig as InstanceConfig
from .config import LabelConfig as LabelConfig
from .config import PersonalConfig as PersonalConfig
from .detections import Detections as Detections
from .embedding import Embedding as Embedding
from .errors import AnymaskError as AnymaskError
from .errors import CapabilityError as CapabilityError
from .errors import InputError as InputError
from .errors import MissingExtraError as MissingExtraError
from .errors import OutputError as OutputError
from .errors import WeightsError as WeightsError
from .export import export as export
from .formats import read as read
from .image.image import Image as Image
from .image.transform import Transform as Transform
from .label import label as label
from .masks.masks import Masks as Masks
from .models.variants import VARIANTS as VARIANTS
from .models.variants import Variant as Variant
from .notebook import pick as pick
from .predict.loading import load as load
from .predict.personal import Personal as Personal
from .predict.segmenter import Segmenter as Segmenter
from .predict.track.track import Track as Track
from .prompt import Prompt as Prompt
from .text.ground import detect as detect

__version__: str
