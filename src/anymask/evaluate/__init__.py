"""Measuring models: one protocol per question, one runner for all of them."""
