"""The verbs of the library that find masks and boxes, as routes."""

# Annotations are evaluated where they stand, for FastAPI's types are imported inside functions.
from typing import TYPE_CHECKING, Any

from anymask.config import PersonalConfig
from anymask.errors import InputError
from anymask.masks.masks import Masks
from anymask.serve.answers import FILES, Content, as_content, described, json_content, respond
from anymask.serve.compute import Task
from anymask.serve.routes import replies, schemas
from anymask.serve.routes.prompts import config_of, dense_of, prompt_of, said
from anymask.serve.server import Server, failures, names_of
from anymask.serve.sessions import Session
from anymask.serve.wire import boxes_document, masks_document

if TYPE_CHECKING:
    from fastapi import FastAPI

    from anymask.image.image import Image

__all__ = ["add_verbs"]

_MANY = 4096  # prompts of a request, all images together


def add_verbs(app: "FastAPI", server: Server) -> None:
    """Add the routes that find something in embedded images."""
    _add_predict(app, server)
    _add_searches(app, server)


# -------------------------------------------------------------------------------- predict


def _add_predict(app: "FastAPI", server: Server) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    @app.post(
        "/v1/predict",
        tags=["masks"],
        summary="Cut out what prompts ask for",
        response_class=Response,
        responses={
            **failures(404, 501),
            **described(*FILES, model=replies.MasksAnswer | replies.ManyAnswers),
        },
    )
    async def predict(asked: schemas.Predict, request: Request) -> Response:
        """Cut out one object said directly, several as prompts, or all that words name.

        One prompt gives masks, best first; a list of them gives a list, in the same order. Requests
        that wait at the same time are answered together, as they would be alone.
        """
        # Once, before the work: they may have to go while it is done.
        sessions = [server.sessions.get(name) for name in names_of(asked.session)]
        found = await _predicted(server, request, asked, sessions)
        return respond(await _shown(server, request, found, [one.image for one in sessions], asked))


async def _predicted(
    server: Server, request: Any, asked: schemas.Predict, sessions: list[Session]
) -> Any:
    """Answer as `Segmenter.predict` does: masks, a list of them, or lists of these."""
    several = not isinstance(asked.session, str)
    if asked.text is not None:
        found = await _by_words(server, request, asked, sessions)
        return found if several else found[0]
    if asked.negative is not None or asked.threshold is not None:
        raise InputError(
            "expected text along with negative and threshold, got none; say what to look for"
        )
    groups, single = _groups(asked, several)
    if len(groups) != len(sessions):
        raise InputError(
            f"expected a list of prompts for each of {len(sessions)} sessions, got {len(groups)}; "
            "give one for each"
        )
    if sum(map(len, groups)) > _MANY:
        raise InputError(f"expected at most {_MANY} prompts, got more; ask several times")
    promptless = "nothing" in server.model.variant.capabilities

    def read() -> list[list[Any]]:
        return [
            [prompt_of(words, one.image.size_hw, promptless=promptless) for words in group]
            for one, group in zip(sessions, groups, strict=True)
        ]

    prompts = await server.compute.answer(read)
    answers = []
    for one, group in zip(sessions, prompts, strict=True):
        answers.append(
            await server.batcher.predict(request, one.id, one.embedding, group, asked.multimask)
            if group
            else []
        )
    return answers if several else answers[0][0] if single else answers[0]


def _groups(asked: schemas.Predict, several: bool) -> tuple[list[list[schemas.PromptWords]], bool]:
    """Sort out prompts by session; and whether there is but one, said directly."""
    direct = said(asked)
    if asked.prompts is None:
        if several:
            raise InputError(
                "expected a list of prompts for each session, or text, got neither; say what to "
                "cut out"
            )
        return [[asked]], True
    if direct:
        raise InputError(
            f"expected {' and '.join(direct)} or prompts, got both; put it all into the prompts"
        )
    nested = [isinstance(one, list) for one in asked.prompts]
    if several != all(nested) or (any(nested) and not several):
        wanted = "a list of prompts for each session" if several else "prompts"
        raise InputError(
            f"expected {wanted}, got lists of another depth; nest them as sessions are"
        )
    groups: Any = asked.prompts if several else [asked.prompts]
    return groups, False


async def _by_words(
    server: Server, request: Any, asked: schemas.Predict, sessions: list[Session]
) -> list[Masks]:
    """Cut out all that words name in each image."""
    if said(asked) or asked.prompts is not None:
        raise InputError(
            "expected text alone, which means all that it names, got other prompts beside it; "
            "leave one of them out"
        )

    def work(task: Task) -> list[Masks]:
        found = []
        for one in sessions:
            task.check()
            words: Any = {"text": asked.text, "multimask": asked.multimask}
            words |= {"negative": asked.negative, "threshold": asked.threshold}
            found.append(server.model.knowing(one.image, one.embedding).predict(one.image, **words))
        return found

    return await server.compute.run(request, work)


async def _shown(
    server: Server, request: Any, found: Any, images: "list[Image]", asked: schemas.Shown
) -> Content:
    """Write an answer as it was asked for; several answers as JSON alone."""
    if isinstance(found, Masks):
        masks: Masks = found

        def write() -> Content:
            kinds: Any = {"soft": asked.soft, "logits": asked.logits}
            return as_content(masks, images[0], asked.format, **kinds)

        if asked.format == "json":
            return await server.compute.answer(write)
        # Files may take as long as what they show: not where clicks wait, and not for ever.
        return await server.compute.run(request, lambda task: write())
    if asked.format != "json":
        raise InputError(
            f"expected format json for several answers, got {asked.format}; ask for one at a time, "
            "or export them"
        )

    def document(one: Any) -> Any:
        if isinstance(one, list):
            return [document(inner) for inner in one]
        return masks_document(one, logits=asked.logits)

    return await server.compute.answer(lambda: json_content({"answers": document(found)}))


# ------------------------------------------------------------------------------- searches


def _add_searches(app: "FastAPI", server: Server) -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    answers = {**failures(404, 501), **described(*FILES, model=replies.MasksAnswer)}

    @app.post(
        "/v1/everything",
        tags=["masks"],
        summary="Find everything",
        response_class=Response,
        responses=answers,
    )
    async def everything(asked: schemas.Everything, request: Request) -> Response:
        """Find all things in an image, without a prompt; ends early when nobody waits."""
        kept = server.sessions.get(asked.session)
        image = kept.image
        config = config_of(server.model.variant.generate, asked.options)

        def work(task: Task) -> Masks:
            masks = server.model.knowing(image, kept.embedding).generate(
                image, config, tile=asked.tile, halo=asked.halo, progress=task.check
            )
            task.check()
            return _named(server, masks, image, asked.labels)

        found = await server.compute.run(request, work)
        return respond(await _shown(server, request, found, [image], asked))

    @app.post(
        "/v1/detect",
        tags=["masks"],
        summary="Find boxes of what words name",
        responses={**failures(404, 501), 200: {"model": replies.BoxesAnswer | dict[str, Any]}},
    )
    async def detect(asked: schemas.Detect, request: Request) -> Response:
        """Find boxes, without cutting anything out; format coco is a file of COCO's layout."""
        image = server.sessions.get(asked.session).image

        def work(task: Task) -> Content:
            found = server.model.detect(
                image, asked.text, negative=asked.negative, threshold=asked.threshold
            )
            return json_content(
                found.to_coco() if asked.format == "coco" else boxes_document(found)
            )

        return respond(await server.compute.run(request, work))

    @app.post(
        "/v1/subject",
        tags=["masks"],
        summary="Cut out what an image is of",
        response_class=Response,
        responses=answers,
    )
    async def subject(asked: schemas.Subject, request: Request) -> Response:
        """Cut out the main subject, without a prompt; no mask if there is none."""
        kept = server.sessions.get(asked.session)
        model, image = server.model.knowing(kept.image, kept.embedding), kept.image
        found = await server.compute.run(request, lambda task: model.subject(image))
        return respond(await _shown(server, request, found, [image], asked))

    @app.post(
        "/v1/personalize",
        tags=["masks"],
        summary="Find things that are known from examples",
        response_class=Response,
        responses={
            **failures(404, 501),
            **described(*FILES, model=replies.MasksAnswer | replies.ManyAnswers),
        },
    )
    async def personalize(asked: schemas.Personalize, request: Request) -> Response:
        """Show things in some images, and find all instances of them in others."""
        shown = [server.sessions.get(one.session) for one in asked.references]
        searched = [server.sessions.get(name) for name in names_of(asked.session)]
        config = config_of(PersonalConfig(), asked.options)

        def work(task: Task) -> list[Masks]:
            masks = [
                dense_of(one.mask, session.image.size_hw)
                for one, session in zip(asked.references, shown, strict=True)
            ]
            personal = server.model.personalize(
                [session.image for session in shown],
                masks,
                names=[one.name for one in asked.references],
                config=config,
            )
            found = []
            for session in searched:
                task.check()
                found.append(personal.find(session.embedding))
            return found

        many = await server.compute.run(request, work)
        found: Any = many[0] if isinstance(asked.session, str) else many
        return respond(await _shown(server, request, found, [one.image for one in searched], asked))


def _named(server: Server, masks: Masks, image: "Image", labels: list[str] | None) -> Masks:
    """Name masks by words, never by a file that a word may be the name of."""
    if labels is None:
        return masks
    from anymask.text.label import label

    words: Any = "bundled" if labels == ["bundled"] else labels
    return label(masks, image, words, device=server.model.device)
