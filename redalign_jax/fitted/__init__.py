"""Trained encoders to take home: fitted, applied to new rows, saved and loaded."""
