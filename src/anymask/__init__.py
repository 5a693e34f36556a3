"""Cut anything out of any image: from a click, a box, a rough mask, or nothing at all.

    import anymask

    model = anymask.load()
    photo = model.embed("truck.jpg")
    masks = model.predict(photo, points=[(500, 375)])
    masks.best().draw("truck.jpg").save("truck-overlay.png")

The public names stand in ``__init__.pyi``, where type checkers find them, too. Each is loaded when
it is first used: importing the package costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
