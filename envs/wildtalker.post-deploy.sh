# simple-lama-inpainting asks for pillow < 10 but works with the pinned one.
pip install --no-deps simple-lama-inpainting==0.1.2
