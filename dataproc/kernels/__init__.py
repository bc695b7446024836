"""What kernels of several modules share: Arrow buffers as arrays, hashing, UTF-8, and how plain Python is compiled."""
