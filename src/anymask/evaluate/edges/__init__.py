"""How well edges are found: the benchmark of BSDS500, its numbers, matching and thinning."""
