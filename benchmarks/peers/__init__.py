"""The contenders: each module has ``prepare(workload)``, which returns a function that does one step.

A step of training takes the next batch, changes the parameters and returns the loss as a number; a step of inference
returns the outputs as a NumPy array. Each contender gets the data in arrays of its own kind beforehand.
"""
