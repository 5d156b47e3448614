"""The benchmark run in a container: `python -m sdbench.container`, driven by the Docker SDK for Python.

source      the exact state of the source that an image is made from
engine      the container engine: reaching it, and what it says when something is wrong
base        the base image: its digest, pulling it
builder     BuildKit and the classic builder
image       an image for a source state, built or found
pruning     images of older states
assets      what a run needs from outside, fetched before the network is taken away
run         one run: mounts, limits, output, Ctrl-C, exit status
command     the options of the command
"""
