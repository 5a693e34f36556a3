"""From one frame to the next: a `Track`, a frame and prompts give masks and a new `Track`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from anymask.errors import InputError
from anymask.image.image import Image, ImageLike
from anymask.masks.masks import Masks
from anymask.predict.track import follow as following
from anymask.predict.track.cells import Model, array, describe
from anymask.predict.track.follow import Answer, Frame
from anymask.predict.track.look import Look, margin
from anymask.predict.track.track import Followed, Track
from anymask.prompt import Prompt

FloatArray = npt.NDArray[np.float32]
_STEADY = 0.2
_TURN = 0.5

def step(model: Model, track: Track, image: ImageLike, prompts: Mapping[str, Prompt] = {}, frame_number=None, embedding=None):
    image = Image.open(image)
    embedding = embedding or model.embed(image)
    frame = Frame(model, embedding, describe(model, embedding, image))
    number = track.frame + 1 if frame_number is None else frame_number
    olds = list(track.objects)
    answers: dict[str, Answer | None] = {}
    status: dict[str, str] = {}
    # expected places of others
    expected = {}
    for one in olds:
        if not one.missing:
            mask = following._moved(one.logits.astype(np.float32), one.velocity) > 0
            if mask.any():
                expected[one.name] = following.place_points(frame, mask)
    for one in olds:
        if one.name in prompts or one.missing:
            continue
        others = [p for name, ps in expected.items() if name != one.name for p in ps[:1]]
        answers[one.name], _ = following.follow(frame, one, others)
        status[one.name] = "tracked" if answers[one.name] is not None else "lost"
    def taken(but):
        t = np.zeros(frame.cells.grid_hw, np.float32)
        for name, a in answers.items():
            if a is not None and name != but:
                t = np.maximum(t, following.shares(frame, a.logits))
        return t
    for one in olds:
        if one.name in prompts: continue
        if one.missing or answers.get(one.name) is None:
            a = following.search(frame, one, taken(one.name))
            answers[one.name] = a
            status[one.name] = "found" if a is not None else "lost"
    for name, p in prompts.items():
        lg, q = frame.decode([p], False)
        answers[name] = Answer(lg[0,0], float(q[0,0]), 1.0, np.zeros(2, np.float32))
        status[name] = "prompted"
    names = [n for n in answers if answers[n] is not None]
    shared = dict(zip(names, following.share_out([answers[n].logits for n in names])))
    new = []
    out = {}
    known = {o.name: o for o in olds}
    for name in [*known, *(n for n in prompts if n not in known)]:
        a = answers[name]
        if a is None:
            one = known[name]
            new.append(replace(one, missing=one.missing + 1, velocity=one.velocity*0))
            continue
        lg = shared[name]
        sh = following.shares(frame, lg)
        if not sh.any():
            one = known[name]; status[name]='lost'
            new.append(replace(one, missing=one.missing + 1)); continue
        out[name] = (lg, a.predicted_iou)
        if status[name] == "prompted":
            look = Look.of(frame.cells, sh)
            one = known.get(name)
            ref = look if one is None else one.reference.joined(look)
            new.append(Followed(name, len(new)+1, number, lg.astype(np.float16), np.zeros(2,np.float32), ref, look, 0.15, float(sh.sum())))
            continue
        one = known[name]
        new.append(advance(frame, one, a, lg, sh, status[name]))
    return replace(track, objects=tuple(new), frame=number), out, status

def advance(frame, one, answer, lg, sh, status):
    area = float(sh.sum())
    ref_fit = float((sh*margin(frame.cells,[one.reference])).sum())/area
    fit = answer.fit
    good = fit > one.level - 0.08 and area > 0.6*one.area
    recent = Look.of(frame.cells, sh) if good or status=="found" else one.recent
    if not good: recent = one.recent
    level = one.level + _STEADY*(fit-one.level) if good else one.level
    vel = answer.moved if one.missing else one.velocity + _TURN*(answer.moved-one.velocity)
    if one.missing: vel = np.zeros(2,np.float32)
    return replace(one, logits=lg.astype(np.float16), velocity=vel.astype(np.float32), recent=recent, level=level,
      area=one.area+0.5*(area-one.area) if good else one.area, missing=0)
