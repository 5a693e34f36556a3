"""Things followed through clips.

track.py         `Track`, the value that tracking goes on from
cells.py look.py what frames and things look like, cell by cell; frame.py: a frame, looked at
follow.py        one thing in the next frame; step.py: all of them
clip.py          a whole clip, in both directions; ahead.py: frames read meanwhile
tracks.py        what a `Segmenter` does with clips
"""
