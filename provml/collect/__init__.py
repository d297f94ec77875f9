"""What is collected from around the training: content digests, code, environment, FLOPs.

One file a collector. Imports nothing that derives, and nothing heavy.
"""
