"""PLY files of any content: the header, the records of an element in each encoding, and whole tables."""
