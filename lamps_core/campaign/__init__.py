"""Campaigns: which curves are missing, and fine-tuning (model, dataset) pairs until none is."""
