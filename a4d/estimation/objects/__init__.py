"""The camera around an animal or a thing of no known category, out of masks and flow of the frames that show it."""
