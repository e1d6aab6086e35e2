"""What a dense CRF costs and how far it is from the exact one."""
