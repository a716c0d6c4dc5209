"""The tasks of `./inv`, by theme. They say what will happen, call, and report; the work is in infra/ and dataset/."""
