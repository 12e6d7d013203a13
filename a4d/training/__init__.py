"""Training of networks: one loop for every model that a4d trains, from the compact prior to a full-size one."""
