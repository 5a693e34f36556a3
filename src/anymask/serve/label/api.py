"""The studio as the page of a label project: who works on what, and the masks of the store.

Each route is the twin of a command of ``anymask label`` and of a method of `anymask.label.Store`.
"""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from typing import TYPE_CHECKING, Any

from anymask.label.names import ClassesConflict, change_classes
from anymask.label.records import LeaseConflict, RevisionConflict
from anymask.label.review.audit import confirm, next_audited, waiting_masks
from anymask.label.saving import save_masks
from anymask.serve.answers import json_content, respond
from anymask.serve.errors import dumps
from anymask.serve.label import wire
from anymask.serve.label.images import LabelStudio
from anymask.serve.label.review import add_review
from anymask.serve.server import failures
from anymask.serve.studio.page_files import Page
from anymask.serve.studio.pictures import add_pictures

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

    from anymask.label.store import Store

__all__ = ["add_label"]

_ROOT = "/v1/label"


def add_label(app: "FastAPI", store: "Store", version: str | None = None) -> LabelStudio:
    """Add the page of a label project and its routes to an application that `create_app` made.

    Args:
        app: The application.
        store: The store of the project; whoever opened it closes it.
        version: What the store calls the model that serves; None: the name of its variant.
    """
    studio = LabelStudio(store, app.state.server, version)
    add_pictures(app, studio)
    _add_status(app, studio)
    _add_leases(app, studio)
    _add_masks(app, studio)
    add_review(app, studio)
    app.add_middleware(Page, index="label.html")
    return studio


def _add_status(app: "FastAPI", studio: LabelStudio) -> None:
    from starlette.responses import Response

    store, compute = studio.store, studio.server.compute

    @app.post(
        f"{_ROOT}/status", tags=["label"], summary="How far the work is", responses=failures()
    )
    async def status(asked: wire.Look) -> Response:
        """Tell how far the work is and who has what, and look at images again."""

        def look() -> Any:
            images = [studio.gallery.record(one) for one in dict.fromkeys(asked.images)]
            document = {
                "name": store.project,
                "key": studio.key,
                "model": studio.server.model.variant.name,
                "version": studio.version(register=False),
                "words": _words(),
                "status": wire.status_document(store.status(shown=True)),
                "pictures": [wire.picture_document(one) for one in images],
            }
            return json_content(document)

        return respond(await compute.answer(look))

    @app.post(f"{_ROOT}/classes", tags=["label"], summary="Change classes", responses=failures(507))
    async def classes(asked: wire.ChangeClasses) -> Response:
        """Add classes, rename one, give others a colour; answers with all.

        409, with the classes as they are, if somebody has changed one of them meanwhile.
        """

        def now() -> dict[str, Any]:
            return {"classes": wire.classes_document(store.classes(shown=True))}

        def change() -> Any:
            wanted: Any = {"add": asked.add, "rename": asked.rename, "color": asked.color}
            wanted |= {"seen": asked.seen, "token": asked.token}
            store.database.write(lambda t: change_classes(t, store.project_id, **wanted))
            return json_content(now())

        try:
            return respond(await compute.answer(change))
        except ClassesConflict as conflict:
            document = {"error": {"code": "conflict", "message": str(conflict)}}
            document |= {"current": await compute.answer(now)}
            return Response(dumps(document), 409, media_type="application/json")


def _words() -> list[str]:
    from anymask.models.vocabulary import LABELS

    return [word.lower() for word in LABELS]


def _add_leases(app: "FastAPI", studio: LabelStudio) -> None:
    from starlette.responses import Response

    store, compute = studio.store, studio.server.compute

    @app.post(f"{_ROOT}/next", tags=["label"], summary="Get an image", responses=failures(507))
    async def next(asked: wire.Next) -> Response:
        """Give a person the next image, which nobody else gets meanwhile; null if none is left."""

        def take() -> Any:
            if asked.audit is not None:
                lease = next_audited(
                    store, asked.audit, asked.person, seconds=asked.seconds, tab=asked.tab
                )
            else:
                how: Any = {"order": asked.order, "state": asked.state, "seconds": asked.seconds}
                lease = store.next(asked.person, **how, tab=asked.tab)
            if lease is None:
                return json_content({"lease": None, "audited": []})
            audited = waiting_masks(store, asked.audit, lease.image) if asked.audit else []
            document = wire.lease_document(lease)
            return json_content({"lease": document, "audited": [*map(wire.id_of, audited)]})

        return respond(await compute.answer(take))

    @app.post(
        f"{_ROOT}/lease", tags=["label"], summary="Get a certain image", responses=failures(507)
    )
    async def lease(asked: wire.TakeLease) -> Response:
        """Give a person an image; 409 with who has it if that is somebody else."""

        def take() -> Any:
            found = store.lease(asked.image, asked.person, seconds=asked.seconds, tab=asked.tab)
            return json_content({"lease": wire.lease_document(found)})

        try:
            return respond(await compute.answer(take))
        except LeaseConflict as conflict:
            return leased(conflict)

    @app.post(f"{_ROOT}/renew", tags=["label"], summary="Keep an image", responses=failures(507))
    async def renew(asked: wire.Renew) -> Response:
        """Let a lease go on."""
        await compute.answer(lambda: store.renew(asked.token, asked.seconds))
        return respond(json_content({"seconds": asked.seconds}))

    @app.post(
        f"{_ROOT}/release", tags=["label"], summary="Give an image back", responses=failures(507)
    )
    async def release(asked: wire.Release) -> Response:
        """Give an image back as it is."""
        await compute.answer(lambda: store.release(asked.token, skip=asked.skip))
        return respond(json_content({"released": True}))

    @app.post(f"{_ROOT}/finish", tags=["label"], summary="Be done", responses=failures(404, 507))
    async def finish(asked: wire.Finish) -> Response:
        """Say that the work on an image is done; to say it again is no harm."""

        def done() -> Any:
            image = studio.gallery.record(asked.image)
            state = asked.state
            if asked.audit is not None:
                confirm(store, asked.audit, image, person=asked.person)
                state = image.state
            store.finish(asked.token, state, seconds=asked.seconds)
            return json_content({"picture": wire.picture_document(store.image(image.id))})

        try:
            return respond(await compute.answer(done))
        except LeaseConflict as conflict:
            return leased(conflict)


def _add_masks(app: "FastAPI", studio: LabelStudio) -> None:
    from starlette.responses import Response

    store, server = studio.store, studio.server

    @app.get(
        f"{_ROOT}/images/{{image}}/masks",
        tags=["label"],
        summary="Read the masks of an image",
        responses=failures(404),
    )
    async def masks(image: str) -> Response:
        """Give the masks of an image as they are now, and its revision."""

        def read() -> Any:
            return json_content(wire.masks_document(store.masks(studio.gallery.record(image))))

        return respond(await server.compute.answer(read))

    @app.put(
        f"{_ROOT}/images/{{image}}/masks",
        tags=["label"],
        summary="Save the masks of an image",
        responses=failures(404, 507),
    )
    async def save(image: str, asked: wire.SaveMasks) -> Response:
        """Add a revision to each mask that differs; 409 with what is there if that is newer."""

        def write() -> Any:
            record = studio.gallery.record(image)
            classes = {one.id: one.name for one in store.classes()}
            picture = studio.gallery.find(image)
            version = studio.version(register=bool(asked.things))
            wanted, by = wire.wanted_of(asked, picture, version, classes)
            saved = save_masks(store, record, wanted, asked.revision, by)
            return json_content({"revision": saved.revision, "ids": [*map(wire.id_of, saved.ids)]})

        def current() -> dict[str, Any]:
            return wire.masks_document(store.masks(studio.gallery.record(image)))

        try:
            return respond(await server.compute.answer(write))
        except LeaseConflict as conflict:
            return leased(conflict)
        except RevisionConflict as conflict:
            now = await server.compute.answer(current)
            document = {"error": {"code": "conflict", "message": str(conflict)}, "current": now}
            return Response(dumps(document), 409, media_type="application/json")


def leased(conflict: LeaseConflict) -> "Response":
    """Say who has an image."""
    from starlette.responses import Response

    document = {
        "error": {"code": "leased", "message": str(conflict)},
        "person": conflict.person,
        "seconds": conflict.seconds,
    }
    return Response(dumps(document), 409, media_type="application/json")
