"""From a video file to clips: decode, find shots, cut, resize, crop, paint."""
