"""Video-object-segmentation networks."""
