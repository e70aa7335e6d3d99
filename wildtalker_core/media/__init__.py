"""The only place that opens files: video, audio, frame stores, arrays and small tables."""
