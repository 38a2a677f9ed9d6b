"""Official programs and this one, side by side: see `__main__` and docs/parity.md.

| file | what |
| --- | --- |
| __main__.py | the command: runs both sides and prints the tables |
| compare.py | how far two programs are apart, and the tables |
| ours.py | this library's side: its training step, its network, its scores |
| checkout.py | importing a checkout of a PyTorch repository without editing it, on a CPU |
| augmentation.py | 17 statistics of augmented images, and whether two samples of them differ |
| independent.py | trainings of the official ADAPT and of this library, and whether they differ |
| programs/ | one file per official program: how to call it |
"""
