"""Estimators without training, for comparison: each with the assumption that it stands on."""
