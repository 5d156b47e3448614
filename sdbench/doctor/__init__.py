"""What this machine can and cannot do, with the cure: `sdbench doctor`. No torch until it is looked at.

finding    one line of the outcome, and what it means for the default run
software   Python, packages, torch and its CUDA, torchvision
machine    cores, memory, shared memory, disk, folders, the container engine
internet   the package index and the publishers of weights and data
published  assets, data sets, and the hours of the published cases by a timed forward pass
examine    all of it at once
"""
