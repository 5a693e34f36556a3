"""Prompts about one image that wait at the same time go through the decoder together.

Nobody waits for company: a prompt that finds the decoder free is answered at once. Those that come
while it works are answered together when it is free, those of one image in one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from anymask.serve.compute import Compute, Task
from anymask.serve.notes import NOTES

if TYPE_CHECKING:
    from starlette.requests import Request

    from anymask.embedding import Embedding
    from anymask.masks.masks import Masks
    from anymask.predict.segmenter import Segmenter
    from anymask.prompt import Prompt

__all__ = ["Batcher"]

_AT_ONCE = 64  # prompts, beyond which a batch saves nothing


@dataclass(frozen=True, eq=False)
class _Waiting:
    """The prompts of one request."""

    embedding: Embedding
    prompts: Sequence[Prompt]
    future: asyncio.Future[list[Masks]]
    task: Task = field(default_factory=Task)


class Batcher:
    """Answers prompts about embedded images, those that wait together.

    Args:
        model: Who answers.
        compute: Whose thread for clicks does it.
        seen: Told how many requests each call answered.
    """

    def __init__(self, model: Segmenter, compute: Compute, seen: Callable[[int], None]) -> None:
        self._model, self._compute, self._seen = model, compute, seen
        self._waiting: dict[tuple[str, bool | None], list[_Waiting]] = {}
        self._busy = False

    async def predict(
        self,
        request: Request,
        session: str,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        multimask: bool | None,
    ) -> list[Masks]:
        """Answer prompts about one image, in their order, as `Segmenter.predict` does.

        Raises:
            ApiError: It took too long, or the client has gone.
            AnymaskError: As `Segmenter.predict` raises it.
        """
        future: asyncio.Future[list[Masks]] = asyncio.get_running_loop().create_future()
        one = _Waiting(embedding, prompts, future)
        self._waiting.setdefault((session, multimask), []).append(one)
        self._begin()
        return await self._compute.wait(request, future, one.task)

    def _begin(self) -> None:
        """Take those who have waited longest, unless the decoder works."""
        if self._busy or not self._waiting:
            return
        key = next(iter(self._waiting))
        line = [one for one in self._waiting.pop(key) if not one.future.done()]
        taken = [line.pop(0)] if line else []
        while line and sum(len(one.prompts) for one in [*taken, line[0]]) <= _AT_ONCE:
            taken.append(line.pop(0))
        if line:
            self._waiting[key] = line  # behind the others
        if not taken:
            return self._begin()
        self._busy = True
        self._seen(len(taken))
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._compute.clicks, partial(self._answer, taken, key[1]))
        work.add_done_callback(partial(self._done, taken))

    def _answer(
        self, taken: Sequence[_Waiting], multimask: bool | None
    ) -> list[list[Masks] | Exception]:
        """Answer together; if one of them cannot be answered, each alone."""
        NOTES.set([])  # what there is to warn of was said when the prompts were read
        prompts = [prompt for one in taken for prompt in one.prompts]
        try:
            found = self._model.predict(taken[0].embedding, prompts=prompts, multimask=multimask)
        except Exception as error:  # no fault of one prompt is that of the others
            if len(taken) == 1:
                return [error]
            return [self._answer([one], multimask)[0] for one in taken]
        answers = iter(found)
        return [[next(answers) for _ in one.prompts] for one in taken]

    def _done(
        self,
        taken: Sequence[_Waiting],
        work: asyncio.Future[list[list[Masks] | Exception]],
    ) -> None:
        """Hand out the answers, and go on with those who came meanwhile."""
        self._busy = False
        failed = asyncio.CancelledError() if work.cancelled() else work.exception()
        for i, one in enumerate(taken):
            if one.future.done():
                continue
            answer = failed if failed is not None else work.result()[i]
            if isinstance(answer, asyncio.CancelledError):
                one.future.cancel()
            elif isinstance(answer, BaseException):
                one.future.set_exception(answer)
            else:
                one.future.set_result(answer)
        self._begin()
