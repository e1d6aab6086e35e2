"""Declarations of search spaces, one TOML file each; data only, read by `autoseg.architecture`."""
