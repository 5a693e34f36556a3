"""The networks, the table of model variants, and the reading of weights.

``config`` and ``variants`` are plain data and import without torch; everything else is imported
where a network is needed.
"""
