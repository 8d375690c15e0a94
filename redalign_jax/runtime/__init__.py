"""What every job stands on: devices, processes, the workdir and its tables."""
