"""Pictures of 3-D Gaussians: knows geometry and tensors, no paths and no config files.

gaussians                          what is computed: Gaussians -> ellipses -> picture
project_numba, rasterise_numba     the same, compiled for the CPU
tiles_numba                        deals Gaussians out to tiles for the latter
rasterise_triton                   pictures on NVIDIA GPUs
rasterisers                        which of them computes; import ``project`` and ``rasterise`` here
"""
