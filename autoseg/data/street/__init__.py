"""A painter of small street scenes with exact labels, in numpy alone."""
