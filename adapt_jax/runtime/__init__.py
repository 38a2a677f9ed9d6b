"""The process around a job: command line, devices, processes, signals, console."""
