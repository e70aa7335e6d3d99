"""What can be said of the person from single frames: landmarks, parsing, head pose."""
