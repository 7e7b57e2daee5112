"""Landmark fine-tuning of one candidate: tokens, training, evaluation and checkpoints of its steps."""
