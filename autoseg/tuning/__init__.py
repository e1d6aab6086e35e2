"""Choosing a dense CRF's parameters for a trained network, on images that no score is of."""
