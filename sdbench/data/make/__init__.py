"""Data that a data set lacks: painted copies, pictures of optical flow."""
