"""From a scene to a portrait: three short loops (head, lips, torso) over one way of optimising.

losses        Eq. 5, 6, 7 and the regularisers
schedules     learning rates, and what is due every so many steps
checkpoints   a run survives a kill
precision     half precision in the networks
optimise      the loop itself: resume, step, guard, log
clip          a scene's pictures as training reads them
head, lips, torso
"""
