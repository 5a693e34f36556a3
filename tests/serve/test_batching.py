from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.serve.conftest import flat_model, png

from anymask import Image, InputError, Masks, Prompt, load
from anymask.serve.batching import Batcher
from anymask.serve.compute import Compute
from anymask.serve.errors import ApiError


class Asking:
    """A request whose client stays, or goes when told."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.scope: dict[str, Any] = {}

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


def hold(model: Any) -> tuple[list[int], threading.Event, threading.Event]:
    """Let the first call wait; count the prompts of each."""
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    decode = model.network.decode

    def slowly(features: Any, prompts: Any, multimask: bool) -> Any:
        sizes.append(len(prompts))
        begun.set()
        assert go_on.wait(30)
        return decode(features, prompts, multimask)

    model.network.decode = slowly
    return sizes, begun, go_on


def test_those_who_wait_are_answered_together_as_they_would_be_alone() -> None:
    model = flat_model()
    embedding = model.embed(Image.open(png()))
    prompts = [Prompt([(x, 20)]) for x in range(2, 60, 6)]
    alone = [model.predict(embedding, prompts=one) for one in prompts]
    sizes, begun, go_on = hold(model)
    seen: list[int] = []

    async def ask() -> list[list[Masks]]:
        compute = Compute(1, 30)
        batcher = Batcher(model, compute, seen.append)
        asked: Any = Asking()
        first = asyncio.create_task(
            batcher.predict(asked, "s", embedding, [Prompt([(2, 20)])], None)
        )
        await asyncio.to_thread(begun.wait, 30)
        others = [
            asyncio.create_task(batcher.predict(asked, "s", embedding, [one], None))
            for one in prompts
        ]
        await asyncio.sleep(0.05)
        go_on.set()
        await first
        return await asyncio.gather(*others)

    answers = asyncio.run(ask())
    assert seen == [1, len(prompts)]
    assert sizes == [1, len(prompts)]
    for found, wanted in zip(answers, alone, strict=True):
        assert found == [wanted]


def test_one_that_cannot_be_answered_does_not_harm_the_others() -> None:
    model = flat_model()
    embedding = model.embed(Image.open(png()))
    _, begun, go_on = hold(model)

    async def ask() -> list[Any]:
        batcher = Batcher(model, Compute(1, 30), lambda number: None)
        asked: Any = Asking()
        prompts = [Prompt([(2, 20)]), Prompt([(30, 20)]), Prompt(text="dog"), Prompt([(8, 8)])]
        asks = [batcher.predict(asked, "s", embedding, [one], None) for one in prompts]
        tasks = [asyncio.create_task(one) for one in asks]
        await asyncio.to_thread(begun.wait, 30)
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(ask())
    assert [isinstance(one, Exception) for one in found] == [False, False, True, False]


def test_an_unexpected_error_of_one_does_not_harm_the_others() -> None:
    model = flat_model()
    embedding = model.embed(Image.open(png()))
    predict, at = model.predict, [(2, 20), (30, 20), (8, 8), (40, 20)]
    begun, go_on = threading.Event(), threading.Event()

    def failing(embedding: Any, *, prompts: Any, multimask: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        if any(one.points_xy.tolist() == [[30, 20]] for one in prompts):
            raise RuntimeError("out of memory")
        return predict(embedding, prompts=prompts, multimask=multimask)

    object.__setattr__(model, "predict", failing)

    async def ask() -> list[Any]:
        batcher = Batcher(model, Compute(1, 30), lambda number: None)
        asked: Any = Asking()
        asks = [batcher.predict(asked, "s", embedding, [Prompt([one])], None) for one in at]
        tasks = [asyncio.create_task(one) for one in asks]
        await asyncio.to_thread(begun.wait, 30)
        go_on.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(ask())
    assert [isinstance(one, RuntimeError) for one in found] == [False, True, False, False]
    assert found[3] == [predict(embedding, prompts=Prompt([at[3]]))]


def test_one_that_goes_while_it_waits_is_not_answered() -> None:
    model = flat_model()
    embedding = model.embed(Image.open(png()))
    sizes, begun, go_on = hold(model)

    async def ask() -> list[Any]:
        batcher = Batcher(model, Compute(1, 30), lambda number: None)
        stays: Any = Asking()
        goes: Any = Asking()
        first = asyncio.create_task(
            batcher.predict(stays, "s", embedding, [Prompt([(2, 20)])], None)
        )
        await asyncio.to_thread(begun.wait, 30)
        second = asyncio.create_task(
            batcher.predict(goes, "s", embedding, [Prompt([(2, 20)])], None)
        )
        third = asyncio.create_task(
            batcher.predict(stays, "other", embedding, [Prompt([(2, 20)])] * 2, True)
        )
        await asyncio.sleep(0)
        goes.gone.set()
        with pytest.raises(ApiError):
            await second
        go_on.set()
        return await asyncio.gather(first, third)

    assert [len(one) for one in asyncio.run(ask())] == [1, 2]
    assert sizes == [1, 2]


def test_large_requests_go_alone() -> None:
    model = flat_model()
    embedding = model.embed(Image.open(png()))
    seen: list[int] = []
    _, begun, go_on = hold(model)

    async def ask() -> None:
        batcher = Batcher(model, Compute(1, 30), seen.append)
        asked: Any = Asking()
        many = [Prompt([(2, 20)])] * 40
        tasks = [
            asyncio.create_task(batcher.predict(asked, "s", embedding, many, None))
            for _ in range(3)
        ]
        await asyncio.to_thread(begun.wait, 30)
        go_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(ask())
    assert seen == [1, 1, 1]


def test_the_bundled_model_answers_the_same_in_company() -> None:
    model = load()
    embedding = model.embed(Image.open(png()))
    prompts = [Prompt([(x, 20)]) for x in (5, 22, 30, 42)] + [Prompt(box=(18, 8, 46, 32))]
    together = model.predict(embedding, prompts=prompts)
    for prompt, masks in zip(prompts, together, strict=True):
        alone = model.predict(embedding, prompts=prompt)
        assert abs(alone.scores - masks.scores).max() < 1e-4  # sums of another order
        both = (alone.dense() & masks.dense()).sum(axis=(1, 2))
        either = (alone.dense() | masks.dense()).sum(axis=(1, 2))
        assert (both >= 0.99 * either).all()


def test_errors_are_the_librarys() -> None:
    model = flat_model()
    embedding = model.embed(Image.open(png()))

    async def ask() -> None:
        asked: Any = Asking()
        batcher = Batcher(model, Compute(1, 30), lambda number: None)
        other = flat_model().embed(Image.open(png()))
        object.__setattr__(other, "signature", "of another model")
        await batcher.predict(asked, "x", other, [Prompt([(2, 2)])], None)

    del embedding
    with pytest.raises(InputError, match="another model"):
        asyncio.run(ask())
