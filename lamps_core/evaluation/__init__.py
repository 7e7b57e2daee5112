"""The comparison of methods on recorded curves: what is compared, its folds and their means."""
