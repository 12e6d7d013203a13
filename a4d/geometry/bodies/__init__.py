"""Bodies that joints move, behind one interface: rigged characters, SMPL and SMPL-X, and one of open phenotypes."""
