"""Distillation: the three ways in which a small model learns from a large one."""
