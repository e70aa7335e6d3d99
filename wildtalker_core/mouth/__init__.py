"""The mouth, whatever draws it: a renderer is told a few numbers for each picture, and no more.

shape       landmarks -> the mouth's shape as a few numbers
ear         audio features -> shapes (kernel regression, ours)
kernel_ridge  the regression, and how cross-validation chooses its numbers
learning    what an ear learns of a scene
rest        the resting mouth, and when silence draws the lips to it
blinks      blinks like the clip's own
speaking    a whole speech -> what a renderer is told: ear, gain, rest, smoothing
"""
