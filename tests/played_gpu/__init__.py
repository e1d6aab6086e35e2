"""A GPU that a process plays, to run whole commands on a second device where there is none."""
