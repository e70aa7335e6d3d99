"""The portrait as a field: knows geometry and tensors, no paths and no config files.

hash_grid, tri_plane, encodings    position -> features
position_encoding, conditioning    the field's parts by name: one preset is one choice of them
face_sync                          speech and expression -> what they change, and where
head_field, torso_field            features -> density, colour, alpha
occupancy, sampling                rays -> samples
volume_rendering                   samples -> pixels (Eq. 3)
portrait                           head over torso over background
"""
